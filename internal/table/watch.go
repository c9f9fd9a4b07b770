package table

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// File is what a text file says. It is read when it is opened, and again when
// it has changed. While it is gone or has a fault, the last good content holds:
// a slip of an editor must neither stop the mail nor refuse it.
type File[T any] struct {
	o     Options
	path  string
	parse func([]byte) (T, error)

	now    atomic.Pointer[state[T]]
	looked atomic.Int64 // when the file was last looked at
	reload sync.Mutex
}

// state is what was read and of which file.
type state[T any] struct {
	content    T
	time, read time.Time
	size       int64
	fault      string // why a newer file is not used
}

// OpenFile reads a file by a function.
func OpenFile[T any](o Options, path string, parse func([]byte) (T, error)) (*File[T], error) {
	o.defaults()
	f := &File[T]{o: o, path: path, parse: parse}
	s, err := f.load()
	if err != nil {
		return nil, err
	}
	f.now.Store(s)
	return f, nil
}

// tick is how often a file is looked at, and how coarse the times of a file
// system may be: a file that was changed less than that before it was read may
// have been changed since.
const tick = 100 * time.Millisecond

// Content is what the file says now. One caller reads a new one, others go on
// with what there is.
func (f *File[T]) Content() T {
	s := f.now.Load()
	now := f.o.Now().UnixNano()
	if last := f.looked.Load(); now-last < int64(tick) && now >= last {
		return s.content
	}
	f.looked.Store(now)
	info, err := f.o.FS.Stat(f.path)
	if err == nil && info.ModTime().Equal(s.time) && info.Size() == s.size && s.read.Sub(s.time) > tick {
		return s.content
	}
	if !f.reload.TryLock() {
		return s.content
	}
	defer f.reload.Unlock()
	next, err := f.load()
	if err != nil {
		next = &state[T]{content: s.content, fault: err.Error()}
		if info != nil {
			next.time, next.size, next.read = info.ModTime(), info.Size(), f.o.Now()
		}
		if s.fault != next.fault {
			f.o.Log.Error("a file cannot be read, its last content holds", "file", f.path, "error", err)
		}
	}
	f.now.Store(next)
	return next.content
}

func (f *File[T]) load() (*state[T], error) {
	r, err := f.o.FS.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	info, err := r.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a directory", f.path)
	}
	s := &state[T]{time: info.ModTime(), size: info.Size(), read: f.o.Now()}
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if s.content, err = f.parse(text); err != nil {
		return nil, fmt.Errorf("%s, %w", f.path, err)
	}
	return s, nil
}
