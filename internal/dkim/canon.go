package dkim

import (
	"bytes"
	"io"
)

// Canon is a canonicalisation, RFC 6376 section 3.4.
type Canon int

// The canonicalisations.
const (
	Simple Canon = iota
	Relaxed
)

// String is the canonicalisation as c= spells it.
func (c Canon) String() string {
	if c == Relaxed {
		return "relaxed"
	}
	return "simple"
}

// AppendField appends a header field in canonical form, without its line end.
func (c Canon) AppendField(dst []byte, raw []byte) []byte {
	raw = bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte("\n")), []byte("\r"))
	if c == Simple {
		return append(dst, raw...)
	}
	name, value, _ := bytes.Cut(raw, []byte(":"))
	for _, b := range bytes.TrimRight(name, " \t") {
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		dst = append(dst, b)
	}
	dst = append(dst, ':')
	start, space := len(dst), false
	for _, b := range value {
		switch b {
		case '\r', '\n':
		case ' ', '\t':
			space = true
		default:
			if space && len(dst) > start {
				dst = append(dst, ' ')
			}
			space = false
			dst = append(dst, b)
		}
	}
	return dst
}

// body canonicalises a body on its way to a hash. Empty lines are held back
// until it is known that they are not the last.
type body struct {
	c     Canon
	w     io.Writer
	out   []byte
	empty int  // line ends held back
	space bool // relaxed: white space held back
	cr    bool // a carriage return is held back
	any   bool // something was written
}

func newBody(c Canon, w io.Writer) *body {
	return &body{c: c, w: w, out: make([]byte, 0, 8<<10)}
}

// Write takes the next octets of the body.
func (b *body) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		if n := plain(rest); n > 0 && !b.cr {
			b.begin()
			b.out = append(b.out, rest[:n]...)
			rest = rest[n:]
		} else {
			b.octet(rest[0])
			rest = rest[1:]
		}
		if len(b.out) >= 4<<10 {
			b.flush()
		}
	}
	return len(p), nil
}

// plain is how many octets need no thought.
func plain(p []byte) int {
	for i, c := range p {
		if c <= ' ' {
			return i
		}
	}
	return len(p)
}

// begin writes what was held back before an octet that counts.
func (b *body) begin() {
	for ; b.empty > 0; b.empty-- {
		b.out = append(b.out, '\r', '\n')
	}
	if b.space {
		b.out = append(b.out, ' ')
		b.space = false
	}
}

func (b *body) octet(c byte) {
	if b.cr && c != '\n' {
		b.cr = false
		b.begin()
		b.out = append(b.out, '\r')
	}
	switch {
	case c == '\r':
		b.cr = true
	case c == '\n':
		b.cr, b.space = false, false
		b.empty++
	case b.c == Relaxed && (c == ' ' || c == '\t'):
		b.space = true
	default:
		b.begin()
		b.out = append(b.out, c)
	}
}

func (b *body) flush() {
	if len(b.out) > 0 {
		b.any = true
		b.w.Write(b.out) // to a hash: it cannot fail
		b.out = b.out[:0]
	}
}

// end ends the body: with one line end if it has any text; an empty simple body
// is one line end too, RFC 6376 sections 3.4.3 and 3.4.4.
func (b *body) end() {
	if b.cr {
		b.cr = false
		b.begin()
		b.out = append(b.out, '\r')
	}
	b.flush()
	if b.any || b.c == Simple {
		b.w.Write([]byte("\r\n"))
	}
}
