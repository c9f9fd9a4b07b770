package embedded

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// Every record is a version octet, its fields, and a CRC-32C over key, version
// and fields; the key is in it so that a record in a wrong place shows.
const recordVersion = 1

const checksumSize = 4

// castagnoli is never written to; crc32 has it in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errChecksum = errors.New("checksum does not fit")

func checksum(key, record []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, record)
}

// seal ends a record that was begun with its version.
func seal(key, record []byte) []byte {
	return binary.BigEndian.AppendUint32(record, checksum(key, record))
}

// unseal gives the fields of a record.
func unseal(key, record []byte) ([]byte, error) {
	end := len(record) - checksumSize
	if end < 1 {
		return nil, fmt.Errorf("%w: record of %d octets", engine.ErrDamaged, len(record))
	}
	if checksum(key, record[:end]) != binary.BigEndian.Uint32(record[end:]) {
		return nil, fmt.Errorf("%w: %w", engine.ErrDamaged, errChecksum)
	}
	if record[0] != recordVersion {
		return nil, fmt.Errorf("%w: record of version %d, know %d", engine.ErrDamaged, record[0], recordVersion)
	}
	return record[1:end], nil
}

// fields takes a record apart; after a short read everything is zero.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) take(n int) []byte {
	if f.bad || n < 0 || n > len(f.rest) {
		f.bad = true
		return nil
	}
	got := f.rest[:n:n]
	f.rest = f.rest[n:]
	return got
}

func (f *fields) uint() uint64 {
	n, width := binary.Uvarint(f.rest)
	if width <= 0 {
		f.bad = true
		return 0
	}
	f.take(width)
	return n
}

func (f *fields) bytes() []byte {
	n := f.uint()
	if n > uint64(len(f.rest)) {
		f.bad = true
		return nil
	}
	return f.take(int(n))
}

func (f *fields) u32() uint32 {
	if b := f.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (f *fields) u64() uint64 {
	if b := f.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (f *fields) text() string { return string(f.bytes()) }

func (f *fields) time() time.Time {
	n := int64(f.u64())
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

// end says whether the record was as long as its fields.
func (f *fields) end() error {
	if f.bad || len(f.rest) > 0 {
		return fmt.Errorf("%w: fields do not fit the record", engine.ErrDamaged)
	}
	return nil
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return binary.BigEndian.AppendUint64(b, 0)
	}
	return binary.BigEndian.AppendUint64(b, uint64(t.UnixNano()))
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func encodeAccount(key []byte, a *engine.Account) []byte {
	b := []byte{recordVersion}
	b = binary.AppendUvarint(b, uint64(a.ID))
	b = appendText(b, a.Name)
	b = binary.AppendUvarint(b, uint64(a.NextMailbox))
	b = binary.AppendUvarint(b, uint64(a.NextUIDValidity))
	return seal(key, appendTime(b, a.Created))
}

func decodeAccount(key, record []byte) (engine.Account, error) {
	raw, err := unseal(key, record)
	if err != nil {
		return engine.Account{}, err
	}
	f := fields{rest: raw}
	a := engine.Account{
		ID:              engine.AccountID(f.uint()),
		Name:            f.text(),
		NextMailbox:     engine.MailboxID(f.uint()),
		NextUIDValidity: uint32(f.uint()),
		Created:         f.time(),
	}
	return a, f.end()
}

func encodeMailbox(key []byte, m *engine.Mailbox) []byte {
	b := make([]byte, 0, 128)
	b = append(b, recordVersion)
	b = binary.AppendUvarint(b, uint64(m.ID))
	b = appendText(b, m.Name)
	b = binary.AppendUvarint(b, uint64(m.UIDValidity))
	b = binary.AppendUvarint(b, uint64(m.UIDNext))
	b = binary.AppendUvarint(b, uint64(m.HighestModSeq))
	b = binary.AppendUvarint(b, uint64(m.RecentFrom))
	b = appendText(b, m.SpecialUse)
	b = appendBool(b, m.Subscribed)
	b = appendBool(b, m.NoSelect)
	b = binary.AppendUvarint(b, uint64(len(m.Keywords)))
	for _, k := range m.Keywords {
		b = appendText(b, k)
	}
	b = appendTime(b, m.Created)
	b = binary.AppendUvarint(b, uint64(m.Messages))
	b = binary.AppendUvarint(b, uint64(m.Unseen))
	b = binary.AppendUvarint(b, uint64(m.Deleted))
	b = binary.AppendUvarint(b, uint64(m.Bytes))
	b = binary.AppendUvarint(b, uint64(m.ExpungedSince))
	return seal(key, binary.AppendUvarint(b, uint64(m.ExpungedCount)))
}

func decodeMailbox(key, record []byte) (engine.Mailbox, error) {
	raw, err := unseal(key, record)
	if err != nil {
		return engine.Mailbox{}, err
	}
	f := fields{rest: raw}
	m := engine.Mailbox{
		ID:            engine.MailboxID(f.uint()),
		Name:          f.text(),
		UIDValidity:   uint32(f.uint()),
		UIDNext:       engine.UID(f.uint()),
		HighestModSeq: engine.ModSeq(f.uint()),
		RecentFrom:    engine.UID(f.uint()),
		SpecialUse:    f.text(),
		Subscribed:    f.uint() == 1,
		NoSelect:      f.uint() == 1,
	}
	for n := f.uint(); n > 0 && !f.bad; n-- {
		m.Keywords = append(m.Keywords, f.text())
	}
	m.Created = f.time()
	m.Messages = uint32(f.uint())
	m.Unseen = uint32(f.uint())
	m.Deleted = uint32(f.uint())
	m.Bytes = int64(f.uint())
	if len(f.rest) > 0 { // records of before there was a bound have it not
		m.ExpungedSince = engine.ModSeq(f.uint())
		m.ExpungedCount = uint32(f.uint())
	}
	return m, f.end()
}

// An entry's record of format 1, which has pages instead now, has a fixed size.
const entrySize = 1 + 5*8 + 16 + checksumSize

func decodeEntry(key, record []byte) (engine.Entry, error) {
	raw, err := unseal(key, record)
	if err != nil {
		return engine.Entry{}, err
	}
	if len(record) != entrySize || len(key) < 4 {
		return engine.Entry{}, fmt.Errorf("%w: entry of %d octets", engine.ErrDamaged, len(record))
	}
	return engine.Entry{
		UID:      uidOf(key),
		ModSeq:   engine.ModSeq(binary.BigEndian.Uint64(raw)),
		Flags:    engine.Flags(binary.BigEndian.Uint64(raw[8:])),
		Size:     int64(binary.BigEndian.Uint64(raw[16:])),
		Internal: engine.Date(binary.BigEndian.Uint64(raw[24:])),
		Saved:    int64(binary.BigEndian.Uint64(raw[32:])),
		Body:     mail.ID(raw[40:56]),
	}, nil
}

func encodeDetail(b, key []byte, d *engine.Detail) []byte {
	start := len(b)
	b = append(b, recordVersion)
	b = binary.AppendUvarint(b, uint64(len(d.Prefix)))
	b = append(b, d.Prefix...)
	b = append(b, d.Summary...)
	return binary.BigEndian.AppendUint32(b, checksum(key, b[start:]))
}

// detailSize is how long encodeDetail makes a record.
func detailSize(d *engine.Detail) int {
	var number [binary.MaxVarintLen64]byte
	return 1 + binary.PutUvarint(number[:], uint64(len(d.Prefix))) + len(d.Prefix) + len(d.Summary) + 4
}

// decodeDetail gives parts of the record itself.
func decodeDetail(key, record []byte) (engine.Detail, error) {
	raw, err := unseal(key, record)
	if err != nil {
		return engine.Detail{}, err
	}
	f := fields{rest: raw}
	d := engine.Detail{Prefix: f.bytes()}
	if f.bad {
		return engine.Detail{}, f.end()
	}
	d.Summary = f.rest
	return d, nil
}

// An item's record names the body before the rest, so that dropping an item needs
// nothing else of it.
func encodeItem(key []byte, i *mail.Item) ([]byte, error) {
	b := make([]byte, 0, 512)
	b, err := i.AppendBinary(append(append(b, recordVersion), i.Body[:]...))
	if err != nil {
		return nil, fmt.Errorf("item %s: %w", i.ID, err)
	}
	return seal(key, b), nil
}

func decodeItemBody(key, record []byte) (body mail.ID, rest []byte, err error) {
	raw, err := unseal(key, record)
	if err != nil {
		return mail.ID{}, nil, err
	}
	if len(raw) < len(body) {
		return mail.ID{}, nil, fmt.Errorf("%w: item of %d octets", engine.ErrDamaged, len(record))
	}
	return mail.ID(raw[:16]), raw[16:], nil
}

func decodeItem(key, record []byte) (mail.Item, error) {
	_, rest, err := decodeItemBody(key, record)
	if err != nil {
		return mail.Item{}, err
	}
	var i mail.Item
	if len(rest) > 0 && rest[0] == '{' { // as they were up to format 3
		err = json.Unmarshal(rest, &i)
	} else {
		err = i.UnmarshalBinary(rest)
	}
	if err != nil {
		return mail.Item{}, fmt.Errorf("%w: %w", engine.ErrDamaged, err)
	}
	return i, nil
}

// segmentInfo is what is known of a segment that is no longer written to.
type segmentInfo struct {
	size int64 // octets written; 0 while it is the current one
	dead int64 // octets of bodies that were reclaimed
}

func encodeSegment(key []byte, s *segmentInfo) []byte {
	b := binary.AppendUvarint([]byte{recordVersion}, uint64(s.size))
	return seal(key, binary.AppendUvarint(b, uint64(s.dead)))
}

func decodeSegment(key, record []byte) (segmentInfo, error) {
	raw, err := unseal(key, record)
	if err != nil {
		return segmentInfo{}, err
	}
	f := fields{rest: raw}
	s := segmentInfo{size: int64(f.uint()), dead: int64(f.uint())}
	return s, f.end()
}

func encodeNumber(key []byte, n uint64) []byte {
	return seal(key, binary.BigEndian.AppendUint64([]byte{recordVersion}, n))
}

func decodeNumber(key, record []byte) (uint64, error) {
	raw, err := unseal(key, record)
	if err != nil {
		return 0, err
	}
	f := fields{rest: raw}
	n := f.u64()
	return n, f.end()
}
