package smtpd

import (
	"bytes"
	"strings"
)

// blind leaves the Bcc fields out of a header that passes, RFC 5322 section
// 3.6.3: a client that leaves them in means them for us, not for the readers.
type blind struct {
	done bool   // the header has ended
	in   bool   // within a line whose fate is known
	drop bool   // the field at hand is left out
	held []byte // of a line whose fate is not known, at most maxHeld octets
	out  []byte
}

// maxHeld is enough for the longest name that is looked for, with its colon and
// some white space before it.
const maxHeld = 24

// filter gives what of a piece of content goes on. It is good until the next
// call.
func (b *blind) filter(p []byte) []byte {
	if b == nil || b.done {
		return p
	}
	b.out = b.out[:0]
	for len(p) > 0 && !b.done {
		if b.in {
			p = b.rest(p)
		} else {
			p = b.begin(p)
		}
	}
	return append(b.out, p...)
}

// rest takes a line's octets up to its end.
func (b *blind) rest(p []byte) []byte {
	n := bytes.IndexByte(p, '\n') + 1
	if b.in = n == 0; b.in {
		n = len(p)
	}
	if !b.drop {
		b.out = append(b.out, p[:n]...)
	}
	return p[n:]
}

// begin takes one octet of a line whose fate is not known.
func (b *blind) begin(p []byte) []byte {
	c := p[0]
	if len(b.held) == 0 && (c == ' ' || c == '\t') {
		b.in = true // it goes the way of the line before
		return p
	}
	b.held = append(b.held, c)
	text := strings.ToLower(string(b.held))
	name, whole := strings.CutSuffix(text, ":")
	name = strings.TrimRight(name, " \t")
	switch {
	case whole && (name == "bcc" || name == "resent-bcc"):
		b.decide(true)
	case text == "\r", !whole && (strings.HasPrefix("bcc", name) || strings.HasPrefix("resent-bcc", name)):
		if len(b.held) == maxHeld {
			b.decide(false)
		}
	default:
		b.done = text == "\r\n" || text == "\n"
		b.decide(false)
		b.in = c != '\n'
	}
	return p[1:]
}

func (b *blind) decide(drop bool) {
	b.in, b.drop = true, drop
	if !drop {
		b.out = append(b.out, b.held...)
	}
	b.held = b.held[:0]
}

// finish gives what was held when the content ended.
func (b *blind) finish() []byte {
	if b == nil {
		return nil
	}
	return b.held
}
