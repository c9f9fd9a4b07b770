package vfs

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Watcher tells of changes in directories of the disk that other programs make:
// as they happen where the system can, else by looking every second; both where
// other hosts may make them, of which the system does not tell.
type Watcher struct {
	system *fsnotify.Watcher // nil if the system has none
	shared func(dir string) bool
	every  time.Duration
	end    chan struct{}
	done   sync.WaitGroup

	mark mark

	mu     sync.Mutex
	dirs   map[string]*watched
	inodes map[uint64]string    // where the system watches what; it does so under one name
	polled map[string]time.Time // of what the system does not tell all, with its time
	closed bool
}

// watched is a directory: what the system watches there, and who is told.
type watched struct {
	inode uint64
	by    map[*watch]bool
}

// watch is one who is told.
type watch struct{ changed func(name string) }

// NewWatcher makes a Watcher.
func NewWatcher() *Watcher {
	w := &Watcher{every: time.Second, shared: shared, end: make(chan struct{}), dirs: map[string]*watched{}, inodes: map[uint64]string{}, polled: map[string]time.Time{}}
	w.system, _ = fsnotify.NewBufferedWatcher(1024)
	if w.system != nil {
		system := w.system
		w.done.Go(func() { w.hear(system) })
	}
	w.done.Go(w.poll)
	return w
}

// Watch calls changed for each name that comes, goes or changes in a directory,
// or with "" when it is not known which; changed must not wait.
func (w *Watcher) Watch(dir string, changed func(name string)) (stop func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil, os.ErrClosed
	}
	one := &watch{changed}
	if w.dirs[dir] == nil {
		info, err := os.Stat(dir)
		if err != nil {
			return nil, err
		}
		at := &watched{Inode(info), map[*watch]bool{}}
		if w.inodes[at.inode] != "" || w.system == nil || w.system.Add(dir) != nil || w.shared(dir) {
			w.polled[dir] = info.ModTime()
		} else if at.inode != 0 {
			w.inodes[at.inode] = dir
		}
		w.dirs[dir] = at
	}
	w.dirs[dir].by[one] = true
	return func() { w.stop(dir, one) }, nil
}

func (w *Watcher) stop(dir string, one *watch) {
	w.mu.Lock()
	defer w.mu.Unlock()
	at := w.dirs[dir]
	if at == nil || w.closed {
		return
	}
	if delete(at.by, one); len(at.by) > 0 {
		return
	}
	delete(w.dirs, dir)
	delete(w.polled, dir)
	if w.inodes[at.inode] == dir {
		delete(w.inodes, at.inode)
	}
	if w.system != nil {
		_ = w.system.Remove(dir) // one that is gone is watched no more
	}
}

// Close ends it.
func (w *Watcher) Close() error {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return nil
	}
	w.closed = true
	clear(w.dirs) // it holds nobody any more
	close(w.end)
	w.mu.Unlock()
	var err error
	if w.system != nil {
		err = w.system.Close()
	}
	w.done.Wait()
	w.mark.close()
	return err
}

func (w *Watcher) tell(dir, name string) {
	w.mu.Lock()
	var all []*watch
	if at := w.dirs[dir]; at != nil {
		all = slices.Collect(maps.Keys(at.by))
	}
	w.mu.Unlock()
	for _, one := range all {
		one.changed(name)
	}
}

// lose has a directory polled that is there no more: the system watches it no
// longer, though one of the same name may come.
func (w *Watcher) lose(dir string) {
	w.mu.Lock()
	at := w.dirs[dir]
	if at != nil {
		w.polled[dir] = time.Time{}
		if w.inodes[at.inode] == dir {
			delete(w.inodes, at.inode)
		}
	}
	w.mu.Unlock()
	if at != nil {
		w.tell(dir, "")
	}
}

// tellAll says that something may have changed anywhere.
func (w *Watcher) tellAll() {
	w.mu.Lock()
	dirs := make([]string, 0, len(w.dirs))
	for dir := range w.dirs {
		dirs = append(dirs, dir)
	}
	w.mu.Unlock()
	for _, dir := range dirs {
		w.tell(dir, "")
	}
}

// hear passes on what the system says.
func (w *Watcher) hear(system *fsnotify.Watcher) {
	for {
		select {
		case e, ok := <-system.Events:
			if !ok {
				return
			}
			if e.Op == fsnotify.Chmod || w.mark.heard(e) {
				continue
			}
			w.tell(filepath.Dir(e.Name), filepath.Base(e.Name))
			if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) {
				w.lose(e.Name)
			}
		case err, ok := <-system.Errors:
			if !ok {
				return
			}
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				w.tellAll()
			}
		}
	}
}

// poll looks at what the system does not tell all of.
func (w *Watcher) poll() {
	tick := time.NewTicker(w.every)
	defer tick.Stop()
	for {
		select {
		case <-w.end:
			return
		case <-tick.C:
		}
		w.mu.Lock()
		var changed []string
		for dir, had := range w.polled {
			info, err := os.Stat(dir)
			if err == nil && !info.ModTime().Equal(had) {
				w.polled[dir] = info.ModTime()
				changed = append(changed, dir)
			}
		}
		w.mu.Unlock()
		for _, dir := range changed {
			w.tell(dir, "")
		}
	}
}
