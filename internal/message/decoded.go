package message

import (
	"bytes"
	"fmt"
	"io"
)

// Decoded is what is known of a body without its transfer encoding once it was gone
// through: how long it is, and where to begin when octets of its midst are wanted. It
// holds no content, and does not change.
type Decoded struct {
	Size     int64
	NUL      bool // it has one
	encoding string
	marks    []mark
}

// mark is a place that decoding can be begun at.
type mark struct {
	in, out int64 // octets before it, encoded and decoded
	state   stepper
}

// The marks of a body: how many there are at most, about, and how far they are apart
// at least.
const (
	manyMarks = 64
	markEvery = 64 << 10
)

// GoThrough decodes a body as DecodeBody does, and calls rest again and again
// meanwhile. The error is that of rest, or the reader's.
func GoThrough(src *io.SectionReader, encoding string, rest func() error) (*Decoded, error) {
	d := &Decoded{encoding: encoding}
	step := newStepper(encoding)
	size := src.Size()
	in, out := make([]byte, min(size, 16<<10)), []byte(nil)
	every := max(markEvery, size/manyMarks)
	at, next := int64(0), every
	for at < size {
		if at >= next && step != nil {
			d.marks = append(d.marks, mark{at, d.Size, step.clone()})
			next = at + every
		}
		if err := rest(); err != nil {
			return nil, err
		}
		n, err := src.ReadAt(in[:min(int64(len(in)), size-at)], at)
		if at += int64(n); n == 0 || err != nil && err != io.EOF {
			return nil, fmt.Errorf("a body ends after %d octets of %d: %v", at, size, err)
		}
		if step == nil {
			out = in[:n]
		} else {
			out = step.step(out[:0], in[:n], at == size)
		}
		d.Size += int64(len(out))
		d.NUL = d.NUL || bytes.IndexByte(out, 0) >= 0
	}
	return d, nil
}

// From gives the decoded octets of the same body from an offset on.
func (d *Decoded) From(src *io.SectionReader, off int64) (io.Reader, error) {
	step := newStepper(d.encoding)
	if step == nil {
		return io.NewSectionReader(src, off, src.Size()-off), nil
	}
	from := mark{state: step}
	for _, m := range d.marks {
		if m.out <= off {
			from = mark{m.in, m.out, m.state.clone()}
		}
	}
	r := newDecoder(io.NewSectionReader(src, from.in, src.Size()-from.in), from.state)
	_, err := io.CopyN(io.Discard, r, off-from.out)
	return r, err
}
