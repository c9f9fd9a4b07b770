package vfs

import (
	"io"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Memory is a file system in memory whose CrashClone keeps only what was
// synced.
type Memory struct {
	*vfs.MemFS
	// Some operations of Pebble's take its lock for reading a second time, and would
	// wait for ever for a CrashClone that has come in between. They keep it out.
	nested sync.RWMutex
}

// NewMemory makes an empty file system for tests of crashes.
func NewMemory() *Memory { return &Memory{MemFS: vfs.NewCrashableMem()} }

// CrashClone is what might be left if power failed now.
func (m *Memory) CrashClone(c CrashConfig) *Memory {
	m.nested.Lock()
	defer m.nested.Unlock()
	return &Memory{MemFS: m.MemFS.CrashClone(c)}
}

// Link is that of FS.
func (m *Memory) Link(oldname, newname string) error {
	m.nested.RLock()
	defer m.nested.RUnlock()
	return m.MemFS.Link(oldname, newname)
}

// ReuseForWrite is that of FS.
func (m *Memory) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (File, error) {
	m.nested.RLock()
	defer m.nested.RUnlock()
	return m.MemFS.ReuseForWrite(oldname, newname, category)
}

// Lock is that of FS.
func (m *Memory) Lock(name string) (io.Closer, error) {
	m.nested.RLock()
	defer m.nested.RUnlock()
	return m.MemFS.Lock(name)
}
