package deflate

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
)

// maxHistory is how much a Writer remembers; more is of little use.
const maxHistory = 8 << 10

// maxPiece is how much goes out in one Write of the destination, which TLS sends as
// a record. imaplib2, and so offlineimap, takes at most 32 KiB out of what it has
// read, and then waits for more from the network before it takes the rest. Larger
// blocks are not made anyway.
const maxPiece = 32<<10 - maxHistory - 1

// maxBuffer is the largest buffer that is kept for the next Write.
const maxBuffer = 64 << 10

var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// Writer compresses what is written. Each Write ends at a whole octet, so that
// the other end can read all of it.
type Writer struct {
	dst     io.Writer
	history []byte // what was written last
}

// NewWriter writes to dst.
func NewWriter(dst io.Writer) *Writer { return &Writer{dst: dst} }

// Write compresses and sends p, in pieces that can each be read when it is there.
func (w *Writer) Write(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	b := buffers.Get().(*bytes.Buffer)
	defer func() {
		if b.Cap() <= maxBuffer {
			b.Reset()
			buffers.Put(b)
		}
	}()
	for n < len(p) {
		piece := p[n:min(len(p), n+maxPiece)]
		b.Reset()
		if err := flate.StatelessDeflate(b, piece, false, w.history); err != nil {
			return n, fmt.Errorf("compress: %w", err)
		}
		w.remember(piece)
		if _, err := w.dst.Write(b.Bytes()); err != nil {
			return n, err
		}
		n += len(piece)
	}
	return n, nil
}

func (w *Writer) remember(p []byte) {
	p = p[max(0, len(p)-maxHistory):]
	if over := len(w.history) + len(p) - maxHistory; over > 0 {
		w.history = w.history[:copy(w.history, w.history[over:])]
	}
	w.history = append(w.history, p...)
}

// Rest forgets what was written: the stream goes on, at first a little longer.
func (w *Writer) Rest() { w.history = nil }
