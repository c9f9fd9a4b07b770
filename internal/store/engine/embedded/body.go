package embedded

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

const (
	bodyInMemory = 128 << 10 // a longer body goes to a file of its own
	bodyStart    = 4 << 10   // what a body's buffer begins with
	blockSize    = 64 << 10  // of a file, with a checksum each
	writeBytes   = 32 << 10  // of one write to a file
	syncBytes    = 1 << 20   // a file is synced as it fills by so much
)

func bodyName(id mail.ID) string { return id.String() + bodySuffix }

// writer is a body coming in.
type writer struct {
	e    *Engine
	id   mail.ID
	size int64
	err  error // the first error; the body is of no use after it
	done bool  // taken or discarded

	buf []byte // while it is small

	file  vfs.File // once it is large
	name  string
	sums  []uint32 // of the full blocks
	block uint32   // of the block that fills
	copy  []byte
}

// NewBody starts a body.
func (e *Engine) NewBody(context.Context) (engine.BodyWriter, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.leave()
	return &writer{e: e, id: mail.NewID(e.o.Now())}, nil
}

func (w *writer) ID() mail.ID { return w.id }
func (w *writer) Size() int64 { return w.size }

func (w *writer) Write(p []byte) (int, error) {
	if w.done {
		return 0, fmt.Errorf("body %s is closed", w.id)
	}
	if w.err != nil {
		return 0, w.err
	}
	if w.file == nil && w.size+int64(len(p)) <= bodyInMemory {
		w.grow(len(p))
		w.buf = append(w.buf, p...)
		w.size += int64(len(p))
		return len(p), nil
	}
	if w.err = w.spill(p); w.err != nil {
		return 0, w.err
	}
	return len(p), nil
}

// grow quadruples the buffer: an idle body costs nothing, a full one few moves.
func (w *writer) grow(n int) {
	if len(w.buf)+n <= cap(w.buf) {
		return
	}
	size := max(bodyStart, 4*cap(w.buf), len(w.buf)+n)
	w.buf = append(make([]byte, 0, min(size, bodyInMemory)), w.buf...)
}

// spill writes to the file, which it makes when the body becomes large.
func (w *writer) spill(p []byte) error {
	if err := w.e.enter(); err != nil {
		return err
	}
	defer w.e.leave()
	if err := w.e.space.room(int64(len(p))); err != nil {
		return err
	}
	if w.file == nil {
		w.name = w.e.fs.PathJoin(w.e.bodies, bodyName(w.id))
		file, err := w.e.fs.Create(w.name, vfs.Mail)
		if err != nil {
			return noSpace(fmt.Errorf("body %s: %w", w.id, err))
		}
		w.file = vfs.Syncing(file, syncBytes)
		buf := w.buf
		w.buf, w.size = nil, 0
		if err := w.put(buf); err != nil {
			return err
		}
	}
	return w.put(p)
}

func (w *writer) put(p []byte) error {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), int(blockSize-w.size%blockSize))
		w.block = crc32.Update(w.block, castagnoli, rest[:n])
		w.size += int64(n)
		if w.size%blockSize == 0 {
			w.sums = append(w.sums, w.block)
			w.block = 0
		}
		rest = rest[n:]
	}
	// A copy is written: a vfs.File may change what it is given.
	if w.copy == nil {
		w.copy = make([]byte, writeBytes)
	}
	for rest := p; len(rest) > 0; {
		n := copy(w.copy, rest)
		if _, err := w.file.Write(w.copy[:n]); err != nil {
			return noSpace(fmt.Errorf("body %s: %w", w.id, err))
		}
		rest = rest[n:]
	}
	return nil
}

// persist syncs a large body. Its name is synced with the directory.
func (w *writer) persist() error {
	if err := w.file.Sync(); err != nil {
		w.err = noSpace(fmt.Errorf("body %s: sync: %w", w.id, err))
		return w.err
	}
	return nil
}

// location of a large body that is complete.
func (w *writer) location() location {
	l := location{size: w.size, blocks: append([]uint32{}, w.sums...)}
	if w.size%blockSize != 0 {
		l.blocks = append(l.blocks, w.block)
	}
	return l
}

// taken ends the writing of a body that a batch has taken.
func (w *writer) taken() {
	w.done = true
	w.copy = nil
	if w.file != nil {
		w.file.Close()
		w.file = nil
	}
}

func (w *writer) Discard() {
	if w.done {
		return
	}
	w.done = true
	w.buf, w.copy = nil, nil
	if w.file == nil {
		return
	}
	w.file.Close()
	w.file = nil
	// One that cannot be removed now is swept at the next start.
	if err := w.e.fs.Remove(w.name); err != nil {
		w.e.o.Log.Warn("removing a discarded body failed", "body", w.id, "error", err)
	}
}

func (w *writer) Body() mail.Body {
	if w.name == "" {
		return memoryBody(w.buf)
	}
	if w.file != nil {
		return openWriting{w.file, w.size}
	}
	b, err := w.e.OpenBody(context.Background(), w.id)
	if err != nil {
		return failedBody{err, w.size}
	}
	return b
}

// memoryBody is a body that is whole in memory.
type memoryBody []byte

func (b memoryBody) Size() int64  { return int64(len(b)) }
func (b memoryBody) Close() error { return nil }

func (b memoryBody) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	if off >= int64(len(b)) {
		return 0, io.EOF
	}
	n := copy(p, b[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// openWriting reads a file that is being written.
type openWriting struct {
	file vfs.File
	size int64
}

func (b openWriting) Size() int64  { return b.size }
func (b openWriting) Close() error { return nil }

func (b openWriting) ReadAt(p []byte, off int64) (int, error) {
	return io.NewSectionReader(b.file, 0, b.size).ReadAt(p, off)
}

// failedBody is a body that can no longer be read.
type failedBody struct {
	err  error
	size int64
}

func (b failedBody) Size() int64                       { return b.size }
func (b failedBody) Close() error                      { return nil }
func (b failedBody) ReadAt([]byte, int64) (int, error) { return 0, b.err }

// fileBody reads a large body, block by checked block.
type fileBody struct {
	id     mail.ID
	file   vfs.File
	size   int64
	blocks []uint32

	mu     sync.Mutex
	buf    []byte // the block read last
	number int64  // its number, -1 for none
}

func (b *fileBody) Size() int64  { return b.size }
func (b *fileBody) Close() error { return b.file.Close() }

func (b *fileBody) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errors.New("negative offset")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for n < len(p) && off < b.size {
		if err := b.load(off / blockSize); err != nil {
			return n, err
		}
		c := copy(p[n:], b.buf[off%blockSize:])
		n += c
		off += int64(c)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (b *fileBody) load(number int64) error {
	if number == b.number {
		return nil
	}
	if b.buf == nil {
		b.buf = make([]byte, blockSize)
	}
	b.number = -1
	b.buf = b.buf[:min(blockSize, b.size-number*blockSize)]
	n, err := b.file.ReadAt(b.buf, number*blockSize)
	if n < len(b.buf) {
		if err == nil || errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: body %s ends in block %d", engine.ErrDamaged, b.id, number)
		}
		return fmt.Errorf("body %s: %w", b.id, err)
	}
	if crc32.Checksum(b.buf, castagnoli) != b.blocks[number] {
		return fmt.Errorf("%w: body %s, block %d: %w", engine.ErrDamaged, b.id, number, errChecksum)
	}
	b.number = number
	return nil
}

// OpenBody reads a body that an applied batch has taken. A small one is read
// and checked here, a large one block by block as it is read.
func (e *Engine) OpenBody(_ context.Context, id mail.ID) (mail.Body, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.leave()
	var last location
	for try := 0; ; try++ {
		l, err := e.locate(id)
		if err != nil {
			return nil, fmt.Errorf("body %s: %w", id, err)
		}
		b, err := e.openAt(id, &l)
		if err == nil {
			return b, nil
		}
		// It may have been moved while we looked.
		moved := try == 0 || l.place != last.place
		if moved && try < 5 && vfs.NotExist(err) {
			last = l
			continue
		}
		if vfs.NotExist(err) {
			err = fmt.Errorf("%w: %w", engine.ErrDamaged, err)
		}
		return nil, fmt.Errorf("body %s: %w", id, err)
	}
}

func (e *Engine) locate(id mail.ID) (location, error) {
	key := idKey(kindLocation, id)
	value, closer, err := e.db.Get(key)
	if err != nil {
		return location{}, e.readError(err)
	}
	defer closer.Close()
	return decodeLocation(key, value)
}

func (e *Engine) openAt(id mail.ID, l *location) (mail.Body, error) {
	if !l.own() {
		return e.readFrame(id, l)
	}
	file, err := e.fs.Open(e.fs.PathJoin(e.bodies, bodyName(id)))
	if err != nil {
		return nil, err
	}
	return &fileBody{id: id, file: file, size: l.size, blocks: l.blocks, number: -1}, nil
}

func (e *Engine) readFrame(id mail.ID, l *location) (memoryBody, error) {
	raw := make([]byte, frameHead+l.size)
	err := e.segments.handles.read(l.segment, raw, l.offset)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("%w: segment %d ends", engine.ErrDamaged, l.segment)
	}
	if err != nil {
		return nil, err
	}
	f, body, err := openFrame(raw)
	if err != nil {
		return nil, err
	}
	if f.id != id || f.sum != l.sum {
		return nil, fmt.Errorf("%w: another body in its place", engine.ErrDamaged)
	}
	return body, nil
}

// readError names the errors of Pebble as engine does.
func (e *Engine) readError(err error) error {
	if errors.Is(err, pebble.ErrNotFound) {
		return engine.ErrNotFound
	}
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %w", engine.ErrDamaged, err)
	}
	return err
}
