package embedded

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
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

	buf      []byte // while it is small
	frame    []byte // the same as it goes to a segment, once finished
	packed   bool   // the frame holds it compressed
	finished bool

	file   vfs.File // once it is large
	name   string
	blocks []block // those in the file
	fills  []byte  // the next
	copy   []byte
}

// NewBody starts a body.
func (e *Engine) NewBody(context.Context) (engine.BodyWriter, error) {
	if err := e.enter(); err != nil {
		return nil, err
	}
	defer e.leave()
	return &writer{e: e, id: e.ids.New(e.o.Now())}, nil
}

func (w *writer) ID() mail.ID { return w.id }
func (w *writer) Size() int64 { return w.size }

func (w *writer) Write(p []byte) (int, error) {
	if w.done || w.finished {
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

// put fills blocks and writes those that are full.
func (w *writer) put(p []byte) error {
	if w.fills == nil {
		w.fills = make([]byte, 0, blockSize)
	}
	for len(p) > 0 {
		n := min(len(p), blockSize-len(w.fills))
		w.fills = append(w.fills, p[:n]...)
		w.size += int64(n)
		p = p[n:]
		if len(w.fills) == blockSize {
			if err := w.endBlock(); err != nil {
				return err
			}
		}
	}
	return nil
}

// endBlock writes a block, compressed if that gains.
func (w *writer) endBlock() error {
	stored := w.fills
	if packed, ok := w.e.packer.pack(w.copy[:0], stored); ok {
		stored, w.copy = packed, packed
	} else { // a copy is written: a vfs.File may change what it is given
		w.copy = append(w.copy[:0], stored...)
		stored = w.copy
	}
	w.blocks = append(w.blocks, block{crc32.Checksum(stored, castagnoli), uint32(len(stored))})
	w.fills = w.fills[:0]
	for len(stored) > 0 {
		n := min(len(stored), writeBytes)
		if _, err := w.file.Write(stored[:n]); err != nil {
			return noSpace(fmt.Errorf("body %s: %w", w.id, err))
		}
		stored = stored[n:]
	}
	return nil
}

// Finish says that all is written. A small body is compressed now, so that no
// lock is held meanwhile.
func (w *writer) Finish() {
	if w.done || w.finished || w.err != nil {
		return
	}
	w.finished = true
	if w.file != nil {
		if len(w.fills) > 0 {
			w.err = w.endBlock()
		}
		return
	}
	w.frame, w.packed = w.e.packer.pack(make([]byte, frameHead, frameHead+packedMost(len(w.buf))), w.buf)
	if !w.packed {
		w.frame = append(make([]byte, frameHead, frameHead+len(w.buf)), w.buf...)
	}
	fillFrame(w.frame, w.id, w.packed)
}

// persist syncs a large body. Its name is synced with the directory.
func (w *writer) persist() error {
	if w.Finish(); w.err != nil {
		return w.err
	}
	if err := w.file.Sync(); err != nil {
		w.err = noSpace(fmt.Errorf("body %s: sync: %w", w.id, err))
		return w.err
	}
	return nil
}

// location of a large body that is complete.
func (w *writer) location() location {
	l := location{size: w.size, blocks: slices.Clone(w.blocks)}
	for i, b := range l.blocks {
		l.packed = l.packed || int64(b.stored) < min(blockSize, w.size-int64(i)*blockSize)
	}
	return l
}

// taken ends the writing of a body that a batch has taken.
func (w *writer) taken() {
	w.done = true
	w.frame, w.copy, w.fills = nil, nil, nil
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
	w.buf, w.frame, w.copy, w.fills = nil, nil, nil, nil
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
		return openWriting{newFileBody(w.e, w.id, w.file, w.size, w.blocks, w.fills)}
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

// Bytes is that of mail.InMemory.
func (b memoryBody) Bytes() []byte { return b }

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
type openWriting struct{ *fileBody }

func (openWriting) Close() error { return nil }

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
	e       *Engine
	id      mail.ID
	file    vfs.File
	size    int64
	blocks  []block
	offsets []int64 // of the blocks
	tail    []byte  // what is not in the file yet

	mu     sync.Mutex
	stored []byte
	buf    []byte // the block read last
	number int64  // its number, -1 for none
}

func newFileBody(e *Engine, id mail.ID, file vfs.File, size int64, blocks []block, tail []byte) *fileBody {
	b := &fileBody{e: e, id: id, file: file, size: size, blocks: blocks, offsets: make([]int64, len(blocks)), tail: tail, number: -1}
	at := int64(0)
	for i := range blocks {
		b.offsets[i] = at
		at += int64(blocks[i].stored)
	}
	return b
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
	if number >= int64(len(b.blocks)) {
		b.buf, b.number = b.tail, number
		return nil
	}
	what := b.blocks[number]
	if cap(b.stored) < int(what.stored) {
		b.stored = make([]byte, blockSize)
	}
	b.number = -1
	b.stored = b.stored[:what.stored]
	n, err := b.file.ReadAt(b.stored, b.offsets[number])
	if n < len(b.stored) {
		if err == nil || errors.Is(err, io.EOF) {
			return fmt.Errorf("%w: body %s ends in block %d", engine.ErrDamaged, b.id, number)
		}
		return fmt.Errorf("body %s: %w", b.id, err)
	}
	if crc32.Checksum(b.stored, castagnoli) != what.sum {
		return fmt.Errorf("%w: body %s, block %d: %w", engine.ErrDamaged, b.id, number, errChecksum)
	}
	b.buf = b.stored
	if size := min(blockSize, b.size-number*blockSize); int64(what.stored) < size {
		if b.buf, err = b.e.packer.unpack(nil, b.stored, size); err != nil {
			return fmt.Errorf("body %s, block %d: %w", b.id, number, err)
		}
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
	return newFileBody(e, id, file, l.size, l.blocks, nil), nil
}

// page gives a buffer to read packed bodies into.
func (e *Engine) page() *[]byte {
	if page, _ := e.pages.Get().(*[]byte); page != nil {
		return page
	}
	return new(slices.Grow([]byte(nil), frameHead+bodyInMemory/4))
}

func (e *Engine) readFrame(id mail.ID, l *location) (memoryBody, error) {
	if !l.packed {
		return e.readStored(nil, id, l)
	}
	page := e.page()
	defer e.pages.Put(page)
	stored, err := e.readStored(*page, id, l)
	if err != nil {
		return nil, err
	}
	return e.packer.unpack(nil, stored, l.size)
}

// readStored gives a body as it is in its segment, in a buffer if that is large
// enough.
func (e *Engine) readStored(buf []byte, id mail.ID, l *location) ([]byte, error) {
	raw := slices.Grow(buf, frameHead+int(l.stored))[:frameHead+l.stored]
	err := e.segments.handles.read(l.segment, raw, l.offset)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("%w: segment %d ends", engine.ErrDamaged, l.segment)
	}
	if err != nil {
		return nil, err
	}
	return checkFrame(raw, id, l)
}

// checkFrame gives what a frame holds, if it is the body that belongs there.
func checkFrame(raw []byte, id mail.ID, l *location) ([]byte, error) {
	f, body, err := openFrame(raw)
	if err != nil {
		return nil, err
	}
	if f.id != id || f.sum != l.sum || f.packed != l.packed {
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
