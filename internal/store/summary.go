package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"plic/internal/imap"
	"plic/internal/message"
	"plic/internal/store/engine"
)

// summaryVersion is the first octet of a summary. One of an older version, or of
// none, is still to be made from the body; any other that cannot be read is damaged.
const summaryVersion = 2

// noSummary is what a message has whose summary is still to be made.
var noSummary = []byte{0}

// errPending says that a summary is still to be made.
var errPending = errors.New("not analysed yet")

func pending(summary []byte) bool { return len(summary) > 0 && summary[0] < summaryVersion }

// summarize writes what is kept of a message beside its body, so that listing
// it needs no body: ENVELOPE, BODY, BODYSTRUCTURE, the preview and the keys to
// sort by, each with its length before it. The fields stand before those of the
// message.
func summarize(m *message.Message, before []message.Field) []byte {
	root := *m.Root
	if len(before) > 0 {
		root.Header = slices.Concat(before, root.Header)
	}
	b := append(make([]byte, 0, 1280), summaryVersion)
	env := root.Envelope()
	b = appendField(b, func(b []byte) []byte { return imap.AppendEnvelope(b, env) })
	b = appendField(b, func(b []byte) []byte { return imap.AppendStructure(b, m.Root, false) })
	b = appendField(b, func(b []byte) []byte { return imap.AppendStructure(b, m.Root, true) })
	b = appendField(b, func(b []byte) []byte { return append(b, m.Text...) })
	return appendField(b, func(b []byte) []byte { return appendKeys(b, env, root.Get("References")) })
}

// foreword gives the fields of a prefix if there are some that ENVELOPE or
// the keys tell of, as the Date of a message that was submitted without one. Mostly there are
// none, and nothing to read.
func foreword(prefix []byte) []message.Field {
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

func appendField(b []byte, write func([]byte) []byte) []byte {
	at := len(b)
	b = write(append(b, 0, 0, 0, 0))
	binary.BigEndian.PutUint32(b[at:], uint32(len(b)-at-4))
	return b
}

// Detail is what is known of a message without opening its body. The octets are
// not to be changed, and hold until the next Detail is asked for.
type Detail struct {
	UID           UID
	Prefix        []byte // the header lines before the body
	Envelope      []byte // ENVELOPE as IMAP sends it
	Body          []byte // BODY
	BodyStructure []byte // BODYSTRUCTURE
	preview       []byte
	keys          []byte
}

// Preview is the beginning of the text, RFC 8970; at most 200 characters.
func (d *Detail) Preview() string { return string(d.preview) }

// Keys is what messages are sorted and threaded by.
func (d *Detail) Keys() Keys { return readKeys(d.keys) }

func readSummary(uid UID, d engine.Detail) (Detail, error) {
	out := Detail{UID: uid, Prefix: d.Prefix}
	rest := d.Summary
	if pending(rest) {
		return out, errPending
	}
	if len(rest) == 0 || rest[0] != summaryVersion {
		return out, fmt.Errorf("summary of UID %d is of another version: %w", uid, engine.ErrDamaged)
	}
	rest = rest[1:]
	for _, field := range [...]*[]byte{&out.Envelope, &out.Body, &out.BodyStructure, &out.preview, &out.keys} {
		if len(rest) < 4 || uint32(len(rest)-4) < binary.BigEndian.Uint32(rest) {
			return out, fmt.Errorf("summary of UID %d is cut: %w", uid, engine.ErrDamaged)
		}
		n := binary.BigEndian.Uint32(rest)
		*field, rest = rest[4:4+n:4+n], rest[4+n:]
	}
	return out, nil
}
