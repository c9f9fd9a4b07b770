package dkim

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"plic/internal/message"
)

// Field is a header field as it stands in the message, with its line end.
type Field struct {
	Name string
	Raw  []byte
}

// Message is a message that signatures are checked against or made for. It is
// for one goroutine.
type Message struct {
	Fields []Field
	body   *io.SectionReader
	hashes [2][]byte // of the body, by Canon, once they are known
}

// MaxHeader bounds the header that is read, in octets.
const MaxHeader = 1 << 20

// ErrHeader is the answer to a message whose header is too long to be signed or
// checked.
var ErrHeader = errors.New("the header is too long")

// Read reads the header of a message.
func Read(r io.ReaderAt, size int64) (*Message, error) {
	buf := make([]byte, min(size, 16<<10))
	for {
		n, err := r.ReadAt(buf, 0)
		if err != nil && err != io.EOF {
			return nil, fmt.Errorf("read the header: %w", err)
		}
		m, end := &Message{}, 0
		for name, raw := range message.Fields(buf[:n]) {
			m.Fields = append(m.Fields, Field{name, raw})
			end += len(raw)
		}
		switch {
		case end < n || int64(n) == size:
			m.body = bodyOf(r, size, int64(end))
			return m, nil
		case n >= MaxHeader:
			return nil, ErrHeader
		}
		buf = make([]byte, min(size, int64(4*n), MaxHeader))
	}
}

// bodyOf is what follows the blank line after the header.
func bodyOf(r io.ReaderAt, size, end int64) *io.SectionReader {
	var blank [2]byte
	n, _ := r.ReadAt(blank[:], end)
	switch {
	case n == 2 && blank == [2]byte{'\r', '\n'}:
		end += 2
	case n > 0 && blank[0] == '\n':
		end++
	}
	return io.NewSectionReader(r, end, size-end)
}

// BodyHash is the SHA-256 of the canonicalised body.
func (m *Message) BodyHash(c Canon) ([]byte, error) {
	if m.hashes[c] != nil {
		return m.hashes[c], nil
	}
	h := sha256.New()
	w := newBody(c, h)
	if _, err := io.Copy(w, io.NewSectionReader(m.body, 0, m.body.Size())); err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	w.end()
	m.hashes[c] = h.Sum(nil)
	return m.hashes[c], nil
}

// Pick gives the fields that a list of names stands for: each name the lowest
// that was not taken, RFC 6376 section 5.4.2. A name without a field left stands
// for nothing.
func (m *Message) Pick(names []string) []Field {
	taken := map[string]int{} // how many of a name, from the bottom
	byName := map[string][]int{}
	for i, f := range m.Fields {
		key := lower(f.Name)
		byName[key] = append(byName[key], i)
	}
	var out []Field
	for _, name := range names {
		key := lower(name)
		have := byName[key]
		if n := taken[key]; n < len(have) {
			out = append(out, m.Fields[have[len(have)-1-n]])
			taken[key] = n + 1
		}
	}
	return out
}
