package mail

import (
	"bytes"
	"io"
)

// WithPrefix is a body with header lines before it. Closing it closes the body.
func WithPrefix(prefix []byte, body Body) Body {
	if len(prefix) == 0 {
		return body
	}
	return &prefixed{prefix, body}
}

type prefixed struct {
	prefix []byte
	Body
}

func (p *prefixed) Size() int64 { return int64(len(p.prefix)) + p.Body.Size() }

func (p *prefixed) ReadAt(b []byte, off int64) (int, error) {
	n := 0
	if off < int64(len(p.prefix)) {
		n = copy(b, p.prefix[max(off, 0):])
		if n == len(b) {
			return n, nil
		}
	}
	m, err := p.Body.ReadAt(b[n:], off+int64(n)-int64(len(p.prefix)))
	return n + m, err
}

// Reader reads a body from its start, once.
func Reader(b Body) io.Reader { return io.NewSectionReader(b, 0, b.Size()) }

// Bytes is a body in memory.
func Bytes(text []byte) Body { return inMemory{bytes.NewReader(text)} }

type inMemory struct{ *bytes.Reader }

// Close does nothing.
func (inMemory) Close() error { return nil }
