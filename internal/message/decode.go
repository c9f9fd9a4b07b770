package message

import (
	"bytes"
	"io"
	"strings"
)

// DecodeBody undoes a Content-Transfer-Encoding, RFC 2045 section 6. Broken
// input gives what can be made of it, never an error; an unknown encoding is
// passed through.
func DecodeBody(r io.Reader, encoding string) io.Reader {
	if step := newStepper(encoding); step != nil {
		return newDecoder(r, step)
	}
	return r
}

// stepper decodes a stream piece by piece.
type stepper interface {
	// step appends to dst what src gives; at the end also what was held back.
	step(dst, src []byte, end bool) []byte
	// clone gives one that goes on by itself from here.
	clone() stepper
}

// newStepper gives the one of an encoding; nil for those that change nothing.
func newStepper(encoding string) stepper {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		return new(base64Decoder)
	case "quoted-printable":
		return new(quotedPrintable)
	}
	return nil
}

// decoder reads through a stepper.
type decoder struct {
	src  io.Reader
	step stepper
	in   []byte
	out  []byte // decoded, not yet read
	buf  []byte // of out
	err  error
}

func newDecoder(r io.Reader, s stepper) *decoder { return &decoder{src: r, step: s} }

func (d *decoder) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if d.in == nil {
		d.in = make([]byte, 8<<10)
	}
	for empty := 0; len(d.out) == 0 && d.err == nil; {
		n, err := d.src.Read(d.in)
		if n == 0 && err == nil {
			if empty++; empty == 100 {
				err = io.ErrNoProgress
			}
		}
		d.err = err
		d.buf = d.step.step(d.buf[:0], d.in[:n], err != nil)
		d.out = d.buf
	}
	if len(d.out) == 0 {
		return 0, d.err
	}
	n := copy(p, d.out)
	d.out = d.out[n:]
	return n, nil
}

// base64Decoder skips what is no base64 (RFC 2045 section 6.8), goes on after
// padding in the middle, and does not need padding at the end.
type base64Decoder struct {
	bits uint32
	n    int // sextets in bits
}

// base64Value maps the alphabet, and the URL-safe one; pad is 64, other
// octets 255.
var base64Value = func() (table [256]byte) {
	for i := range table {
		table[i] = 255
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range len(alphabet) {
		table[alphabet[i]] = byte(i)
	}
	table['-'], table['_'], table['='] = 62, 63, 64
	return table
}()

func (d *base64Decoder) step(dst, src []byte, end bool) []byte {
	bits, n := d.bits, d.n
	for _, c := range src {
		v := base64Value[c]
		switch {
		case v < 64:
			bits = bits<<6 | uint32(v)
			if n++; n == 4 {
				dst = append(dst, byte(bits>>16), byte(bits>>8), byte(bits))
				bits, n = 0, 0
			}
		case v == 64:
			dst = flushBase64(dst, bits, n)
			bits, n = 0, 0
		}
	}
	if end {
		dst = flushBase64(dst, bits, n)
		bits, n = 0, 0
	}
	d.bits, d.n = bits, n
	return dst
}

func (d *base64Decoder) clone() stepper {
	c := *d
	return &c
}

// flushBase64 gives the whole octets of an unfinished group.
func flushBase64(dst []byte, bits uint32, n int) []byte {
	switch n {
	case 2:
		dst = append(dst, byte(bits>>4))
	case 3:
		dst = append(dst, byte(bits>>10), byte(bits>>2))
	}
	return dst
}

// maxTrailing bounds the white space that is held back for the end of a line.
const maxTrailing = 1024

// quotedPrintable follows RFC 2045 section 6.7; what is no escape stays as it
// is, and white space at the end of a line goes.
type quotedPrintable struct {
	held []byte // "=" and what followed, or white space that may end a line
}

func (q *quotedPrintable) step(dst, src []byte, end bool) []byte {
	for _, c := range src {
		dst = q.octet(dst, c)
	}
	if end && len(q.held) > 0 {
		if q.held[0] == '=' && len(q.held) > 1 && isHex(q.held[1]) {
			dst = append(dst, q.held...)
		}
		q.held = q.held[:0]
	}
	return dst
}

func (q *quotedPrintable) clone() stepper { return &quotedPrintable{bytes.Clone(q.held)} }

func (q *quotedPrintable) octet(dst []byte, c byte) []byte {
	if len(q.held) == 0 {
		if c == '=' || c == ' ' || c == '\t' {
			q.held = append(q.held, c)
			return dst
		}
		return append(dst, c)
	}
	if q.held[0] != '=' { // white space
		switch {
		case c == ' ' || c == '\t' || c == '\r':
			if len(q.held) >= maxTrailing {
				dst = append(dst, q.held...)
				q.held = q.held[:0]
			}
			q.held = append(q.held, c)
			return dst
		case c == '\n':
			if q.held[len(q.held)-1] == '\r' {
				dst = append(dst, '\r')
			}
			q.held = q.held[:0]
			return append(dst, '\n')
		}
		dst = append(dst, q.held...)
		q.held = q.held[:0]
		return q.octet(dst, c)
	}
	return q.escape(dst, c)
}

// escape takes the next octet after "=".
func (q *quotedPrintable) escape(dst []byte, c byte) []byte {
	soft := len(q.held) == 1 || !isHex(q.held[1])
	switch {
	case len(q.held) == 1 && isHex(c):
		q.held = append(q.held, c)
	case len(q.held) == 2 && !soft && isHex(c):
		dst = append(dst, unhex(q.held[1])<<4|unhex(c))
		q.held = q.held[:0]
	case soft && c == '\n': // a soft line break, perhaps with space before its end
		q.held = q.held[:0]
	case soft && (c == ' ' || c == '\t' || c == '\r') && len(q.held) < maxTrailing:
		q.held = append(q.held, c)
	default:
		dst = append(dst, q.held...)
		q.held = q.held[:0]
		return q.octet(dst, c)
	}
	return dst
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'A' <= c && c <= 'F' || 'a' <= c && c <= 'f'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	}
	return c - 'a' + 10
}
