package embedded

import (
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// logFS is the file system that Pebble sees. When Pebble changes from one log to
// the next and that fails, it panics while others hold its locks, and the runtime
// ends the process at once. So what fails there stops the engine and does not
// return: the engine leaves who is stuck behind, and tells everybody else.
type logFS struct {
	vfs.FS
	e       *Engine
	created *atomic.Bool // a log, whose name is not yet durable
}

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

// stuck stops the engine and does not return, but while the database opens or
// closes, which takes errors.
func (e *Engine) stuck(err error) {
	if e.dbOpen.Load() {
		e.fail(fmt.Errorf("records: log: %w", err))
		<-make(chan struct{})
	}
}

func (l logFS) begun(name string, file vfs.File, err error) (vfs.File, error) {
	switch {
	case !isLog(name):
		return file, err
	case err != nil:
		l.e.stuck(err)
		return file, err
	}
	l.created.Store(true)
	f := &logFile{File: file, e: l.e}
	f.number, _ = logNumber(l.PathBase(name))
	if i, err := file.Stat(); err == nil {
		f.filled = i.Size() // one that is used again
	}
	return f, nil
}

// Create is that of vfs.FS.
func (l logFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := l.FS.Create(name, category)
	return l.begun(name, file, err)
}

// ReuseForWrite is that of vfs.FS.
func (l logFS) ReuseForWrite(old, name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := l.FS.ReuseForWrite(old, name, category)
	return l.begun(name, file, err)
}

// Open is that of vfs.FS. It refuses a log that a start cannot read all of.
func (l logFS) Open(name string, o ...vfs.OpenOption) (vfs.File, error) {
	if isLog(name) && !l.e.dbOpen.Load() {
		if err := l.e.checkLog(name); err != nil {
			return nil, err
		}
	}
	return l.FS.Open(name, o...)
}

// OpenDir is that of vfs.FS.
func (l logFS) OpenDir(name string) (vfs.File, error) {
	dir, err := l.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return &logDir{File: dir, of: l}, nil
}

// Unwrap is that of vfs.FS.
func (l logFS) Unwrap() vfs.FS { return l.FS }

// logDir is a directory that may have a new log.
type logDir struct {
	vfs.File
	of logFS
}

// Sync is that of vfs.File.
func (d *logDir) Sync() error {
	err := d.File.Sync()
	if err != nil && d.of.created.Load() {
		d.of.e.stuck(err)
	}
	d.of.created.Store(false)
	return err
}

// aheadBytes is how much of a log is filled before it is written.
const aheadBytes = 256 << 10

// logFile is a log. Who waits for it is told of the first error; nobody comes
// beyond that.
//
// A sync of a file that grows waits for the disk twice: for the octets, and for
// where the file ends now. So a new log is filled with zeros some way ahead,
// which Pebble takes for its end, and most syncs are of octets alone, as those of
// a log that is used again. Where much is written at once that does not pay.
type logFile struct {
	vfs.File
	e      *Engine
	number uint64
	broken atomic.Pointer[error]

	at     int64 // where the next write goes
	synced int64 // where it went when the file was synced last
	filled int64 // the file holds something up to here
	zeros  []byte
}

// fill fills the file ahead of a write of n octets, if that pays. It need not
// come about.
func (f *logFile) fill(n int64) {
	ahead := min(aheadBytes, int64(f.e.o.memTable)/8)
	end := f.at + n
	if end <= f.filled || end-f.synced > ahead/2 || f.e.space.room(ahead) != nil {
		return
	}
	if f.zeros == nil {
		f.zeros = make([]byte, ahead)
	}
	clear(f.zeros) // a write may change what it is given
	from := max(f.at, f.filled)
	if n, err := f.File.WriteAt(f.zeros, from); err == nil {
		f.filled = from + int64(n)
	}
}

func (f *logFile) do(run func() error) error {
	if before := f.broken.Load(); before != nil {
		f.e.stuck(*before)
	}
	err := run()
	if err != nil {
		f.broken.Store(&err)
	}
	return err
}

// Write is that of vfs.File.
func (f *logFile) Write(b []byte) (n int, err error) {
	f.fill(int64(len(b)))
	f.at += int64(len(b))
	err = f.do(func() error { n, err = f.File.Write(b); return err })
	return n, err
}

// Stat is that of vfs.File.
func (f *logFile) Stat() (info vfs.FileInfo, err error) {
	if info, err = f.File.Stat(); err != nil {
		f.e.stuck(err)
	}
	return info, err
}

// Sync is that of vfs.File.
func (f *logFile) Sync() error {
	return f.sync(f.File.Sync)
}

// SyncData is that of vfs.File.
func (f *logFile) SyncData() error {
	return f.sync(f.File.SyncData)
}

// sync has the commits to come say how far the log is synced.
func (f *logFile) sync(run func() error) error {
	f.synced = f.at
	err := f.do(run)
	if err == nil {
		promise := encodePromise(f.number, f.synced)
		f.e.promise.Store(&promise)
	}
	return err
}

// SyncTo is that of vfs.File.
func (f *logFile) SyncTo(length int64) (full bool, err error) {
	err = f.do(func() error { full, err = f.File.SyncTo(length); return err })
	return full, err
}

// Close is that of vfs.File.
func (f *logFile) Close() error {
	err := f.do(f.File.Close)
	if err != nil {
		f.e.stuck(err)
	}
	return err
}
