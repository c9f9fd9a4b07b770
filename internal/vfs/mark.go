package vfs

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// markWait is how long the system may take to tell of what has happened.
const markWait = 500 * time.Millisecond

// mark is a file of a Watcher's own, without a name. The system tells of changes in
// their order: when it tells of one of the mark, it has told of all before.
type mark struct {
	asking sync.Mutex // one question at a time
	file   *os.File
	failed bool

	mu   sync.Mutex
	name string // under which the mark was made
	told chan struct{}
}

// Told returns when Watch has told of all that happened in directories until now;
// false if that cannot be known, as where they are only looked at every second.
func (w *Watcher) Told(dirs ...string) bool {
	return w.watches(dirs) && w.mark.ask(w.system) && w.watches(dirs)
}

// watches says that the system tells of all directories, and that they are not
// others, which have come with what is around them.
func (w *Watcher) watches(dirs []string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, dir := range dirs {
		at := w.dirs[dir]
		if _, polled := w.polled[dir]; polled || at == nil {
			return false
		}
		if info, err := os.Stat(dir); err != nil || Inode(info) != at.inode {
			return false
		}
	}
	return w.system != nil && !w.closed
}

// ask changes the mark, and waits until that is told.
func (m *mark) ask(system *fsnotify.Watcher) bool {
	m.asking.Lock()
	defer m.asking.Unlock()
	if m.file == nil && !m.failed {
		m.failed = m.make(system) != nil
	}
	if m.failed {
		return false
	}
	told := make(chan struct{})
	m.mu.Lock()
	m.told = told
	m.mu.Unlock()
	_, err := m.file.WriteAt([]byte{0}, 0)
	late := time.NewTimer(markWait)
	defer late.Stop()
	if err == nil {
		select {
		case <-told:
			return true
		case <-late.C:
		}
	}
	m.failed = true // what is told now may be of this time
	return false
}

func (m *mark) make(system *fsnotify.Watcher) error {
	f, err := newMark()
	if err != nil {
		return err
	}
	name := fmt.Sprintf("/proc/self/fd/%d", f.Fd())
	m.mu.Lock()
	m.name = name
	m.mu.Unlock()
	m.file = f
	return system.Add(name)
}

// heard takes what the system tells of the mark.
func (m *mark) heard(e fsnotify.Event) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.name == "" || e.Name != m.name {
		return false
	}
	if e.Has(fsnotify.Write) && m.told != nil {
		close(m.told)
		m.told = nil
	}
	return true
}

func (m *mark) close() {
	m.asking.Lock()
	defer m.asking.Unlock()
	if m.file != nil {
		_ = m.file.Close()
	}
	m.failed = true
}
