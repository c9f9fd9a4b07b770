package maildir

import (
	"bytes"
	"errors"
	"io"
	"sort"
	"sync"

	"plic/internal/mail"
	"plic/internal/vfs"
)

// Files have line ends as their writers liked: mostly LF. Readers get CRLF. A
// file whose name gives it the same size in both forms (S and W) is read as it
// is, octet by octet.

const (
	small  = 256 << 10 // a file up to here is converted as a whole
	stride = 64 << 10  // of larger ones, how far apart places are known
)

// wireSize is the size of a file with CRLF line ends.
func wireSize(f vfs.File, size int64, base string) (int64, error) {
	if said, wire := sizes(base); said == size && wire >= size {
		return wire, nil
	}
	c := counter{}
	if err := c.count(io.NewSectionReader(f, 0, size), size); err != nil {
		return 0, err
	}
	return size + c.bare, nil
}

// counter counts line ends.
type counter struct {
	bare   int64 // LF without CR before it
	doubt  bool  // CR CR LF, which is another thing after LF was made of CRLF
	before [2]byte
}

// count counts in a text of about so many octets.
func (c *counter) count(r io.Reader, size int64) error {
	buf := make([]byte, min(size+1, 64<<10))
	for {
		n, err := r.Read(buf)
		c.add(buf[:n])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (c *counter) add(p []byte) {
	for i, b := range p {
		if b != '\n' {
			continue
		}
		one, two := c.back(p, i, 1), c.back(p, i, 2)
		if one != '\r' {
			c.bare++
		} else if two == '\r' {
			c.doubt = true
		}
	}
	if n := len(p); n >= 2 {
		c.before = [2]byte{p[n-2], p[n-1]}
	} else if n == 1 {
		c.before = [2]byte{c.before[1], p[0]}
	}
}

// back is the octet k before p[i].
func (c *counter) back(p []byte, i, k int) byte {
	if i >= k {
		return p[i-k]
	}
	return c.before[2-(k-i)]
}

// newBody reads a file that is open.
func newBody(f vfs.File, base string) (mail.Body, error) {
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	size := info.Size()
	said, wire := sizes(base)
	if said == size && wire == size {
		return plain{f, size}, nil
	}
	if size <= small {
		text := make([]byte, size)
		_, err := io.ReadFull(io.NewSectionReader(f, 0, size), text)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, err
		}
		return converted{bytes.NewReader(toCRLF(nil, text, 0))}, nil
	}
	b := &large{f: f}
	if err := b.survey(size); err != nil {
		f.Close()
		return nil, err
	}
	return b, nil
}

// toCRLF appends text with CR before each LF that has none; before is the octet
// in front of it.
func toCRLF(out, text []byte, before byte) []byte {
	for len(text) > 0 {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			return append(out, text...)
		}
		if i > 0 {
			before = text[i-1]
		}
		out = append(out, text[:i]...)
		if before != '\r' {
			out = append(out, '\r')
		}
		out = append(out, '\n')
		text, before = text[i+1:], '\n'
	}
	return out
}

// plain is a file as it is.
type plain struct {
	vfs.File
	size int64
}

func (b plain) Size() int64 { return b.size }

// converted is a small file with CRLF line ends.
type converted struct{ *bytes.Reader }

func (converted) Close() error { return nil }

// large is a large file with CRLF line ends: places in it are known every so
// often, and what is between two is converted when it is read.
type large struct {
	f      vfs.File
	places []spot
	size   int64

	mu    sync.Mutex
	index int // of the piece in memory, 0 for none: number 1 is the first
	piece []byte
}

// spot is a place in the file and in what is read of it.
type spot struct {
	file, wire int64
	before     byte
}

// survey finds the places.
func (b *large) survey(size int64) error {
	at := spot{}
	buf := make([]byte, stride)
	for at.file < size {
		b.places = append(b.places, at)
		n := min(stride, size-at.file)
		if _, err := b.f.ReadAt(buf[:n], at.file); err != nil && err != io.EOF {
			return err
		}
		c := counter{before: [2]byte{0, at.before}}
		c.add(buf[:n])
		at = spot{at.file + n, at.wire + n + c.bare, buf[n-1]}
	}
	b.places = append(b.places, at)
	b.size = at.wire
	return nil
}

func (b *large) Size() int64 { return b.size }

func (b *large) Close() error { return b.f.Close() }

func (b *large) ReadAt(p []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, errors.New("read before the beginning of a message")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for n < len(p) {
		if off >= b.size {
			return n, io.EOF
		}
		k := sort.Search(len(b.places), func(i int) bool { return b.places[i].wire > off })
		if err := b.load(k); err != nil {
			return n, err
		}
		m := copy(p[n:], b.piece[off-b.places[k-1].wire:])
		n, off = n+m, off+int64(m)
	}
	return n, nil
}

// load reads the piece before place k.
func (b *large) load(k int) error {
	if b.index == k {
		return nil
	}
	from, to := b.places[k-1], b.places[k]
	text := make([]byte, to.file-from.file)
	if _, err := b.f.ReadAt(text, from.file); err != nil && err != io.EOF {
		return err
	}
	piece := toCRLF(b.piece[:0], text, from.before)
	if int64(len(piece)) != to.wire-from.wire {
		b.index = 0
		return errors.New("the file was changed while it was read")
	}
	b.piece, b.index = piece, k
	return nil
}
