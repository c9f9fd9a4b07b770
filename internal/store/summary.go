package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"plic/internal/imap"
	"plic/internal/message"
	"plic/internal/store/engine"
)

// summaryVersion is the first octet of a summary. One of the version before is read
// as well. One of an older, or of none, is still to be made from the body; any other
// that cannot be read is damaged.
const (
	summaryVersion = 3
	summaryBefore  = 2
)

// noSummary is what a message has whose summary is still to be made.
var noSummary = []byte{0}

// errPending says that a summary is still to be made.
var errPending = errors.New("not analysed yet")

func pending(summary []byte) bool { return len(summary) > 0 && summary[0] < summaryBefore }

// summarize writes what is kept of a message beside its body, so that listing
// it needs no body: ENVELOPE, BODYSTRUCTURE, the preview and the keys to sort by,
// each with its length before it. What can be told from the rest is left out: BODY,
// and in ENVELOPE Sender and Reply-To where they are From's. The fields stand before
// those of the message.
func summarize(m *message.Message, before []message.Field) []byte {
	root := *m.Root
	if len(before) > 0 {
		root.Header = slices.Concat(before, root.Header)
	}
	b := append(make([]byte, 0, 1024), summaryVersion)
	env := root.Envelope()
	room := make([]byte, 0, 512)
	room = imap.AppendEnvelope(room, env)
	at, n := imap.SameSenders(room)
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(at)), uint64(n))
	b = appendField(b, slices.Delete(room, at+n, at+n+2*repeated(n)))
	room = imap.AppendStructure(room[:0], m.Root, true)
	b = appendField(b, room)
	b = appendField(b, m.Text)
	return appendField(b, appendKeys(room[:0], env, root.Get("References")))
}

// repeated is how many octets a repetition of n octets takes, with a space before it.
func repeated(n int) int {
	if n == 0 {
		return 0
	}
	return 1 + n
}

// endsHeader says that a prefix has the empty line after the header in it, as that of
// a message that came without any header: all behind it is text, whatever its lines
// look like.
func endsHeader(prefix []byte) bool {
	return bytes.HasSuffix(prefix, []byte("\n\r\n")) || string(prefix) == "\r\n"
}

// foreword gives the fields of a prefix if there are some that ENVELOPE or
// the keys tell of, as the Date of a message that was submitted without one. Mostly there are
// none, and nothing to read. There is nothing to put before a header that the prefix has
// ended: it was read with the message.
func foreword(prefix []byte) []message.Field {
	if endsHeader(prefix) {
		return nil
	}
	for line := range bytes.Lines(prefix) {
		name, _, _ := bytes.Cut(line, []byte{':'})
		switch strings.ToLower(string(name)) {
		case "date", "subject", "from", "sender", "reply-to", "to", "cc", "bcc", "in-reply-to", "message-id",
			"references":
			m, err := message.Parse(bytes.NewReader(prefix), message.Limits{})
			if err != nil {
				return nil // it is in memory: there is none
			}
			return m.Root.Header
		}
	}
	return nil
}

func appendField[T []byte | string](b []byte, field T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(field))), field...)
}

// Detail is what is known of a message without opening its body. The octets are
// not to be changed, and hold until the next Detail is asked for.
type Detail struct {
	UID           UID
	Prefix        []byte // the header lines before the body
	BodyStructure []byte // as IMAP sends it
	envelope      []byte // that of IMAP, or without two repetitions of
	from, same    int    // so many octets from one on
	preview       []byte
	keys          []byte
}

// AppendEnvelope writes ENVELOPE as IMAP sends it.
func (d *Detail) AppendEnvelope(dst []byte) []byte {
	end := d.from + d.same
	dst = append(dst, d.envelope[:end]...)
	if d.same > 0 {
		for range 2 {
			dst = append(append(dst, ' '), d.envelope[d.from:end]...)
		}
	}
	return append(dst, d.envelope[end:]...)
}

// AppendBody writes BODY as IMAP sends it.
func (d *Detail) AppendBody(dst []byte) ([]byte, error) {
	b, err := imap.AppendBody(dst, d.BodyStructure)
	if err != nil {
		err = fmt.Errorf("UID %d: %w: %w", d.UID, err, engine.ErrDamaged)
	}
	return b, err
}

// Preview is the beginning of the text, RFC 8970; at most 200 characters.
func (d *Detail) Preview() string { return string(d.preview) }

// Keys is what messages are sorted and threaded by.
func (d *Detail) Keys() Keys { return readKeys(d.keys) }

func readSummary(uid UID, d engine.Detail) (Detail, error) {
	out := Detail{UID: uid, Prefix: d.Prefix}
	if pending(d.Summary) {
		return out, errPending
	}
	version, r := byte(0), fields{}
	if len(d.Summary) > 0 {
		version, r.rest = d.Summary[0], d.Summary[1:]
	}
	switch version {
	case summaryVersion:
		out.from, out.same = r.number(), r.number()
		out.envelope = r.field(r.number())
		r.bad = r.bad || out.from > len(out.envelope)-out.same
		out.BodyStructure, out.preview, out.keys = r.field(r.number()), r.field(r.number()), r.field(r.number())
	case summaryBefore:
		out.envelope = r.field(r.length())
		r.field(r.length()) // BODY
		out.BodyStructure, out.preview, out.keys = r.field(r.length()), r.field(r.length()), r.field(r.length())
	default:
		return out, fmt.Errorf("summary of UID %d is of another version: %w", uid, engine.ErrDamaged)
	}
	if r.bad {
		return out, fmt.Errorf("summary of UID %d is cut: %w", uid, engine.ErrDamaged)
	}
	return out, nil
}

// fields reads a summary; bad once it is cut.
type fields struct {
	rest []byte
	bad  bool
}

// number is one of at most 31 bits.
func (f *fields) number() int {
	v, n := binary.Uvarint(f.rest)
	if n <= 0 || v > math.MaxInt32 {
		f.bad = true
		return 0
	}
	f.rest = f.rest[n:]
	return int(v)
}

// length is a number of the version before.
func (f *fields) length() int {
	if len(f.rest) < 4 {
		f.bad = true
		return 0
	}
	n := binary.BigEndian.Uint32(f.rest)
	f.rest = f.rest[4:]
	return int(min(n, math.MaxInt32))
}

func (f *fields) field(n int) []byte {
	if f.bad || n > len(f.rest) {
		f.bad = true
		return nil
	}
	out := f.rest[:n:n]
	f.rest = f.rest[n:]
	return out
}
