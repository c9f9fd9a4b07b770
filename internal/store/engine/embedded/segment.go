package embedded

import (
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/vfs"
)

const (
	segmentSize = 64 << 20 // a segment is sealed when it is longer
	openHandles = 64       // segments kept open for reading

	segmentSuffix = ".seg"
	bodySuffix    = ".body"
)

func segmentName(n uint64) string { return fmt.Sprintf("%016x", n) + segmentSuffix }

func segmentNumber(name string) (uint64, bool) {
	hex, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(hex) != 16 {
		return 0, false
	}
	n, err := strconv.ParseUint(hex, 16, 64)
	return n, err == nil
}

// segments are the files that hold small bodies. Only the current one, begun by
// this process, is written to.
type segments struct {
	e *Engine

	mu      sync.Mutex
	next    uint64 // number of the next segment
	current *segmentFile
	pending []*segmentFile // sealed but not yet synced
	fresh   bool           // a name in the directory is not yet synced
	info    map[uint64]segmentInfo
	handles handles
}

// segmentFile is a segment being written.
type segmentFile struct {
	number uint64
	file   vfs.File
	syncer vfs.File // vfs.File forbids Write and Sync of one at the same time
	size   int64
	synced int64
	pushed int64 // on its way to the disk
}

func (f *segmentFile) close() {
	f.file.Close()
	f.syncer.Close()
}

// openSegments lists what is there.
func openSegments(e *Engine) (*segments, error) {
	s := &segments{e: e, next: 1, info: map[uint64]segmentInfo{}}
	s.handles.open = func(n uint64) (vfs.File, error) {
		return e.fs.Open(e.fs.PathJoin(e.bodies, segmentName(n)))
	}
	names, err := e.fs.List(e.bodies)
	if err != nil {
		return nil, fmt.Errorf("bodies: %w", err)
	}
	for _, name := range names {
		if n, ok := segmentNumber(name); ok {
			s.info[n] = segmentInfo{}
		}
		e.reclaimer.sweep(name)
	}
	err = e.eachRecord(kindSegment, func(key, value []byte) error {
		if len(key) != 9 {
			return nil
		}
		n := numberOf(key)
		if info, err := decodeSegment(key, value); err == nil {
			s.info[n] = info
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for n := range s.info {
		s.next = max(s.next, n+1)
	}
	return s, nil
}

// append adds a frame to the current segment, without waiting for the disk.
func (s *segments) append(frame []byte) (place, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil && s.current.size+int64(len(frame)) > s.e.o.segment {
		s.seal()
	}
	if s.current == nil {
		if err := s.begin(); err != nil {
			return place{}, err
		}
	}
	c := s.current
	at := place{c.number, c.size}
	if _, err := c.file.Write(frame); err != nil {
		// What the file holds from here on is unknown.
		s.seal()
		return place{}, fmt.Errorf("segment %d: %w", c.number, err)
	}
	c.size += int64(len(frame))
	if c.size-c.synced > settleBytes {
		s.e.poke()
	}
	if c.size-c.pushed > pushBytes {
		c.pushed = c.size
		select {
		case s.e.push <- struct{}{}:
		default:
		}
	}
	return at, nil
}

// unsynced is how many octets no settle has synced.
func (s *segments) unsynced() (n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.pending {
		n += f.size - f.synced
	}
	if c := s.current; c != nil {
		n += c.size - c.synced
	}
	return n
}

// pushable is the current segment, and where it ends.
func (s *segments) pushable() (*segmentFile, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current == nil {
		return nil, 0
	}
	return s.current, s.current.size
}

func (s *segments) begin() error {
	name := s.e.fs.PathJoin(s.e.bodies, segmentName(s.next))
	file, err := s.e.fs.Create(name, vfs.Mail)
	if err != nil {
		return err
	}
	syncer, err := s.e.fs.OpenReadWrite(name, vfs.Mail)
	if err != nil {
		file.Close()
		return err
	}
	s.current = &segmentFile{number: s.next, file: file, syncer: syncer}
	s.next++
	s.fresh = true
	return nil
}

func (s *segments) seal() {
	if s.current != nil {
		s.pending = append(s.pending, s.current)
		s.current = nil
	}
}

// finish seals the last segment.
func (s *segments) finish() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seal()
	return nil
}

// unsynced is what a settle has to sync.
type unsynced struct {
	sealed  []*segmentFile
	current *segmentFile
	fresh   bool
	upTo    place // every body placed before this is in those files
}

func (s *segments) take() (unsynced, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := unsynced{sealed: s.pending, fresh: s.fresh}
	s.pending, s.fresh = nil, false
	u.upTo = place{segment: s.next}
	if c := s.current; c != nil {
		u.upTo = place{c.number, c.size}
		if c.size > c.synced {
			u.current = c
		}
	}
	return u, len(u.sealed) > 0 || u.current != nil
}

// Settle syncs the segments and then drops the redo records that are no longer
// needed. The engine does it by itself now and then.
func (e *Engine) Settle() error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	return e.settle()
}

func (e *Engine) settle() error {
	e.settling.Lock()
	defer e.settling.Unlock()
	u, any := e.segments.take()
	if !any {
		return nil
	}
	if err := e.syncSegments(&u); err != nil {
		return e.fail(err)
	}
	b := e.db.NewBatch()
	if err := b.DeleteRange([]byte{kindRedo}, redoKey(u.upTo), nil); err != nil {
		return err
	}
	e.segments.recordSealed(b, u.sealed)
	// Without a sync of its own: if it is lost, bodies are only written again.
	return e.commitLater(b)
}

func (e *Engine) syncSegments(u *unsynced) error {
	if u.fresh {
		if err := vfs.SyncDir(e.fs, e.bodies); err != nil {
			return err
		}
	}
	for _, f := range u.sealed {
		if err := f.syncer.Sync(); err != nil {
			return fmt.Errorf("sync segment %d: %w", f.number, err)
		}
		f.close()
	}
	if f := u.current; f != nil {
		if err := f.syncer.Sync(); err != nil {
			return fmt.Errorf("sync segment %d: %w", f.number, err)
		}
		e.segments.mu.Lock()
		f.synced = u.upTo.offset
		e.segments.mu.Unlock()
	}
	return nil
}

// recordSealed puts down how long the sealed segments are.
func (s *segments) recordSealed(b *pebble.Batch, sealed []*segmentFile) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range sealed {
		info := s.info[f.number]
		info.size = f.size
		s.info[f.number] = info
		key := numberKey(kindSegment, f.number)
		b.Set(key, encodeSegment(key, &info), nil)
	}
}

// known says that a segment was there at the start, or is sealed.
func (s *segments) known(number uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, is := s.info[number]
	return is
}

// bury adds dead octets to a segment.
func (s *segments) bury(b *pebble.Batch, number uint64, octets int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	info := s.info[number]
	info.dead += octets
	s.info[number] = info
	key := numberKey(kindSegment, number)
	b.Set(key, encodeSegment(key, &info), nil)
}

// count is how many segments there are.
func (s *segments) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.info)
	for _, f := range append([]*segmentFile{s.current}, s.pending...) {
		if f == nil {
			continue
		}
		if _, known := s.info[f.number]; !known {
			n++
		}
	}
	return n
}

func (s *segments) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seal()
	for _, f := range s.pending {
		f.close()
	}
	s.pending = nil
	s.handles.closeAll()
}

// handles keeps some segments open for reading.
type handles struct {
	open func(number uint64) (vfs.File, error)

	mu    sync.Mutex
	files map[uint64]*handle
	clock int64
}

type handle struct {
	file  vfs.File
	users int
	used  int64
	gone  bool // to be closed by its last user
}

// read fills a buffer from a segment.
func (h *handles) read(number uint64, b []byte, offset int64) error {
	f, err := h.acquire(number)
	if err != nil {
		return err
	}
	defer h.release(f)
	_, err = f.file.ReadAt(b, offset)
	return err
}

func (h *handles) acquire(number uint64) (*handle, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	if f := h.files[number]; f != nil {
		f.users++
		f.used = h.clock
		return f, nil
	}
	file, err := h.open(number)
	if err != nil {
		return nil, err
	}
	if h.files == nil {
		h.files = map[uint64]*handle{}
	}
	if len(h.files) >= openHandles {
		h.evict()
	}
	f := &handle{file: file, users: 1, used: h.clock}
	h.files[number] = f
	return f, nil
}

// evict drops the handle that was not used for the longest time.
func (h *handles) evict() {
	var oldest uint64
	var used int64 = -1
	for n, f := range h.files {
		if used < 0 || f.used < used {
			oldest, used = n, f.used
		}
	}
	h.forget(oldest)
}

func (h *handles) release(f *handle) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if f.users--; f.users == 0 && f.gone {
		f.file.Close()
	}
}

func (h *handles) forget(number uint64) {
	f := h.files[number]
	if f == nil {
		return
	}
	delete(h.files, number)
	f.gone = true
	if f.users == 0 {
		f.file.Close()
	}
}

// drop forgets a segment that was removed.
func (h *handles) drop(number uint64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.forget(number)
}

func (h *handles) closeAll() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for n := range h.files {
		h.forget(n)
	}
}
