package store

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"plic/internal/casemap"
	"plic/internal/message"
)

// Keys is what a message is sorted and threaded by, RFC 5256 and RFC 5957.
// Texts are folded as package casemap does. Not to be changed.
type Keys struct {
	Sent      int64 // seconds since 1970; only if Dated
	Zone      int   // minutes east of UTC, as the sender wrote
	Dated     bool  // the Date field could be read
	Reply     bool  // the subject says that it answers or forwards
	ID        uint64
	refs      []byte
	Base      []byte // base subject
	From      []byte // mailbox of the first address, without its domain; as To and Cc
	To        []byte
	Cc        []byte
	ShownFrom []byte // display name or address of the first From
	ShownTo   []byte // of the first To
}

// Refs gives the messages that this one refers to, the parent last: hashes of
// their Message-IDs, as ID is of its own.
func (k *Keys) Refs() []uint64 {
	if len(k.refs) == 0 {
		return nil
	}
	out := make([]uint64, 0, len(k.refs)/8)
	for b := k.refs; len(b) >= 8; b = b[8:] {
		out = append(out, binary.BigEndian.Uint64(b))
	}
	return out
}

// SentDay is the day of the Date field in days since 1970, whatever its zone.
func (k *Keys) SentDay() int64 {
	at := k.Sent + int64(k.Zone)*60
	if at < 0 {
		at -= 86399
	}
	return at / 86400
}

// Root gives the message that began the conversation, as far as this one tells;
// 0 if it has no Message-ID and refers to nothing.
func (k *Keys) Root() uint64 {
	if len(k.refs) >= 8 {
		return binary.BigEndian.Uint64(k.refs)
	}
	return k.ID
}

// Bounds of what is kept: the first ancestor and those nearest to the message,
// and the beginning of texts.
const (
	maxRefs    = 64
	maxKeyText = 1 << 10
)

const (
	keyDated = 1 << iota
	keyReply
)

// appendKeys writes the keys of a message, of which these are the envelope and
// References.
func appendKeys(b []byte, e *message.Envelope, references string) []byte {
	base, reply := message.BaseSubject(message.DecodeHeader(e.Subject))
	sent, err := message.ParseDate(e.Date)
	var marks byte
	var at, zone int64
	if err == nil {
		marks |= keyDated
		at, zone = sent.Unix(), zoneOf(sent)
	}
	if reply {
		marks |= keyReply
	}
	b = binary.AppendVarint(append(b, marks), at)
	b = binary.AppendVarint(b, zone)
	var own uint64
	if ids := message.MessageIDs(e.MessageID); len(ids) > 0 {
		own = hashID(ids[0])
	}
	b = binary.BigEndian.AppendUint64(b, own)
	refs := message.MessageIDs(references)
	if len(refs) == 0 { // RFC 5256 section 3
		if refs = message.MessageIDs(e.InReplyTo); len(refs) > 1 {
			refs = refs[:1]
		}
	}
	if len(refs) > maxRefs {
		refs = slices.Concat(refs[:1], refs[len(refs)-maxRefs+1:])
	}
	b = binary.AppendUvarint(b, uint64(8*len(refs)))
	for _, id := range refs {
		b = binary.BigEndian.AppendUint64(b, hashID(id))
	}
	for _, text := range [...]string{base, mailboxOf(e.From), mailboxOf(e.To), mailboxOf(e.Cc), shown(e.From), shown(e.To)} {
		folded := casemap.Fold(text)
		folded = folded[:min(len(folded), maxKeyText)]
		b = append(binary.AppendUvarint(b, uint64(len(folded))), folded...)
	}
	return b
}

func zoneOf(t time.Time) int64 {
	_, seconds := t.Zone()
	return int64(seconds / 60)
}

// hashID stands for a Message-ID; 0 is that of none.
func hashID(id string) uint64 {
	sum := sha256.Sum256([]byte(id))
	return max(binary.BigEndian.Uint64(sum[:]), 1)
}

// mailboxOf is addr-mailbox of the first address, RFC 5256 section 3.
func mailboxOf(list []message.Mailbox) string {
	if len(list) == 0 {
		return ""
	}
	return list[0].Local
}

// shown is what a person sees of the first address, RFC 5957 section 3.
func shown(list []message.Mailbox) string {
	if len(list) == 0 {
		return ""
	}
	a := list[0]
	if name := message.DecodeHeader(a.Name); name != "" || a.Group {
		if a.Group {
			return a.Local
		}
		return name
	}
	if a.Host == "" {
		return a.Local
	}
	return a.Local + "@" + a.Host
}

// readKeys reads what appendKeys wrote; what is cut has empty keys.
func readKeys(b []byte) Keys {
	if len(b) == 0 {
		return Keys{}
	}
	r := keyReader{rest: b[1:]}
	k := Keys{Dated: b[0]&keyDated != 0, Reply: b[0]&keyReply != 0}
	k.Sent = r.varint()
	k.Zone = int(r.varint())
	if id := r.take(8); id != nil {
		k.ID = binary.BigEndian.Uint64(id)
	}
	for _, field := range [...]*[]byte{&k.refs, &k.Base, &k.From, &k.To, &k.Cc, &k.ShownFrom, &k.ShownTo} {
		*field = r.text()
	}
	if r.bad {
		return Keys{}
	}
	return k
}

type keyReader struct {
	rest []byte
	bad  bool
}

func (r *keyReader) varint() int64 {
	n, size := binary.Varint(r.rest)
	if size <= 0 {
		r.bad = true
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

func (r *keyReader) take(n uint64) []byte {
	if n > uint64(len(r.rest)) {
		r.bad = true
		return nil
	}
	out := r.rest[:n:n]
	r.rest = r.rest[n:]
	return out
}

func (r *keyReader) text() []byte {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.bad = true
		return nil
	}
	r.rest = r.rest[size:]
	return r.take(n)
}
