package mail

import (
	"bytes"
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"math/bits"
	"sync"
	"time"
)

// ID names a message, a connection or a queue item: 48 bits of milliseconds
// since 1970 and 80 random bits, so that IDs sort by time and never meet.
// It is the name in the journal, the queue, Received and the 250 reply.
type ID [16]byte

// idText is base32 with a sorting, lower-case alphabet (RFC 4648 section 7).
var idText = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding)

// NewID makes an ID of the given instant.
func NewID(now time.Time) ID {
	var id ID
	rand.Read(id[:]) // never fails since Go 1.24
	id.setTime(now)
	return id
}

// IDs makes IDs of which those of one millisecond rise too, so that records of what
// comes together are neighbours. The zero value is ready.
type IDs struct {
	mu   sync.Mutex
	last ID
}

// New makes an ID of the given instant.
func (s *IDs) New(now time.Time) ID {
	id := NewID(now)
	s.mu.Lock()
	defer s.mu.Unlock()
	if [6]byte(id[:6]) == [6]byte(s.last[:6]) && bytes.Compare(id[:], s.last[:]) <= 0 {
		step := 1 + uint64(binary.BigEndian.Uint32(id[12:])) // nobody guesses the next one
		low, carry := bits.Add64(binary.BigEndian.Uint64(s.last[8:]), step, 0)
		high := binary.BigEndian.Uint16(s.last[6:]) + uint16(carry)
		if carry == 0 || high != 0 { // else there is none above
			binary.BigEndian.PutUint16(id[6:], high)
			binary.BigEndian.PutUint64(id[8:], low)
		}
	}
	s.last = id
	return id
}

// FirstID is the smallest ID of an instant: where a scan by time starts.
func FirstID(at time.Time) ID {
	var id ID
	id.setTime(at)
	return id
}

func (id *ID) setTime(at time.Time) {
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(at.UnixMilli()))
	copy(id[:6], ms[2:])
}

// Time is the instant of the ID, to the millisecond.
func (id ID) Time() time.Time {
	var ms [8]byte
	copy(ms[2:], id[:6])
	return time.UnixMilli(int64(binary.BigEndian.Uint64(ms[:])))
}

// IsZero says that there is no ID.
func (id ID) IsZero() bool { return id == ID{} }

// String is the 26 character text of the ID; it sorts as the ID does.
func (id ID) String() string { return idText.EncodeToString(id[:]) }

// MarshalText makes the ID readable in JSON.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (id *ID) UnmarshalText(text []byte) error {
	got, err := ParseID(string(text))
	if err == nil {
		*id = got
	}
	return err
}

// ParseID reads the text of an ID.
func ParseID(text string) (ID, error) {
	var id ID
	raw, err := idText.DecodeString(text)
	if err != nil || len(raw) != len(id) {
		return ID{}, fmt.Errorf("%q is not an id: 26 characters 0-9 a-v", text)
	}
	copy(id[:], raw)
	return id, nil
}
