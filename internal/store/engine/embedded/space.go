package embedded

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"time"

	"plic/internal/store/engine"
	"plic/internal/store/engine/embedded/wal"
	"plic/internal/vfs"
)

// usageAge is how long a reading of the free space holds.
const usageAge = 250 * time.Millisecond

// space watches the free space of the disk and keeps the ballast: a file that
// is given up when a write finds no room, so that what must be written (the
// log, a flush, a delete) still can.
type space struct {
	o       *Options
	ballast string
	quit    chan struct{}

	mu        sync.Mutex
	read      time.Time // when free was read
	free      int64
	releasing bool // the ballast is about to go: writes that fail try again
	released  bool // the ballast is gone
	closed    bool
}

func newSpace(o Options) *space {
	return &space{
		o:       &o,
		ballast: o.FS.PathJoin(o.Dir, "ballast"),
		quit:    make(chan struct{}),
	}
}

// open makes the ballast if it is missing.
func (s *space) open() {
	if s.o.Ballast == 0 {
		return
	}
	if i, err := s.o.FS.Stat(s.ballast); err == nil && i.Size() == s.o.Ballast {
		return
	}
	s.mu.Lock()
	s.released = true
	s.mu.Unlock()
	s.restore()
}

// startRoom is what an open needs besides room for what is in the log.
const startRoom = 1 << 20

// start refuses to open a store on a disk that has no room for what the log holds
// to be written out, and no ballast to give up: Pebble would try that for ever.
func (s *space) start(records string) error {
	free, released := s.available()
	if s.o.Ballast > 0 && !released {
		return nil
	}
	names, err := s.o.FS.List(records)
	if err != nil {
		return err
	}
	need := int64(0)
	for _, name := range names {
		if i, err := s.o.FS.Stat(s.o.FS.PathJoin(records, name)); err == nil && (strings.HasSuffix(name, wal.Suffix) || strings.HasSuffix(name, oldLogSuffix)) {
			need += i.Size()
		}
	}
	if need = min(need, int64(s.o.memTable)) + startRoom; free < need {
		return fmt.Errorf("%w: a start needs %d MiB, and %d MiB are free; make room on this disk", engine.ErrFull, need>>20, free>>20)
	}
	return nil
}

// full is called when a write found no room. It gives up the ballast; when that
// is gone it waits a moment, because Pebble tries a failed flush again at once.
func (s *space) full() {
	s.mu.Lock()
	held := s.o.Ballast > 0 && !s.released && !s.releasing && !s.closed
	s.releasing = s.releasing || held
	s.mu.Unlock()
	gone := false
	if held {
		s.o.Log.Error("disk full: gave up the ballast, refusing mail", "ballast", s.o.Ballast)
		gone = s.o.FS.Remove(s.ballast) == nil
	}
	s.mu.Lock()
	if held {
		s.releasing, s.released = false, true
	}
	s.read = time.Time{} // what was read before the ballast went is too little
	s.mu.Unlock()
	if gone {
		return
	}
	wait := time.NewTimer(50 * time.Millisecond)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-s.quit:
	}
}

// available is the free space, large where it cannot be known.
func (s *space) available() (free int64, released bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now()
	if age := now.Sub(s.read); s.read.IsZero() || age >= usageAge || age < 0 {
		s.read, s.free = now, 1<<62
		if u, err := s.o.FS.GetDiskUsage(s.o.Dir); err == nil {
			s.free = int64(min(u.AvailBytes, 1<<62))
		}
	}
	return s.free, s.released
}

// room says whether mail of the size can be taken.
func (s *space) room(size int64) error {
	free, released := s.available()
	if released || free-size < s.o.Reserve {
		return fmt.Errorf("%w: %d MiB free, %d MiB are kept back", engine.ErrFull, free>>20, s.o.Reserve>>20)
	}
	return nil
}

// tight says that there is hardly room even for changes of flags and deletes:
// they are refused before a write of the log fails, which would stop the
// engine.
func (s *space) tight() error {
	free, released := s.available()
	if released && free < s.o.Ballast/8 {
		return fmt.Errorf("%w: %d MiB free", engine.ErrFull, free>>20)
	}
	return nil
}

// restore makes the ballast again when there is room for it and the reserve.
func (s *space) restore() {
	s.mu.Lock()
	missing := s.released && !s.closed
	s.mu.Unlock()
	if !missing {
		return
	}
	if free, _ := s.available(); free < s.o.Reserve+s.o.Ballast {
		return
	}
	if err := s.fill(); err != nil {
		s.o.Log.Warn("making the ballast failed", "error", err)
		return
	}
	s.mu.Lock()
	s.released, s.read = false, time.Time{}
	s.mu.Unlock()
}

// fill makes the ballast, below the layer that would give it up at once. Where
// the file system cannot set blocks aside it writes them.
func (s *space) fill() error {
	on := s.o.FS
	if err := on.Remove(s.ballast); err != nil && !vfs.NotExist(err) {
		return err
	}
	f, err := on.OpenReadWrite(s.ballast, vfs.Mail)
	if err != nil {
		return err
	}
	if err = f.Preallocate(0, s.o.Ballast); err == nil {
		_, err = f.WriteAt([]byte{0}, s.o.Ballast-1)
	} else {
		zeros := make([]byte, min(s.o.Ballast, 1<<20))
		for at := int64(0); at < s.o.Ballast; at += int64(len(zeros)) {
			if _, err = f.WriteAt(zeros[:min(int64(len(zeros)), s.o.Ballast-at)], at); err != nil {
				break
			}
		}
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		on.Remove(s.ballast)
	}
	return err
}

func (s *space) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.closed = true
		close(s.quit)
	}
}

// noSpace turns the error of a write into ErrFull if that is what it is.
func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", engine.ErrFull, err)
	}
	return err
}
