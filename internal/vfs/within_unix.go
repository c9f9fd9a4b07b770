//go:build unix

package vfs

import (
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// ErrPlanted says that a name is not the plain file or directory that it should
// be: a link, a device, or somebody else's.
var ErrPlanted = errors.New("not a plain file of its directory's owner")

// Within is the part of the disk below a directory, which must belong to the
// owner if there is one. Names are relative to it, and no name or symbolic link
// leads out of it. Files that are opened must be plain, and belong to the owner
// of the directory or of this process; new ones get the owner, and of the mode
// of the directory what is for reading and writing. Create makes only what is not
// there.
func Within(dir string, o Owner) (FS, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	at, err := root.Open(".")
	if err != nil {
		root.Close()
		return nil, err
	}
	w := &within{root: root, at: at, dir: dir, beneath: opensBeneath(at)}
	if err := w.belong(o); err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// belong finds whose the directory is.
func (w *within) belong(o Owner) error {
	info, err := w.at.Stat()
	if err != nil {
		return err
	}
	own := info.Sys().(*syscall.Stat_t)
	if o.UID > 0 && own.Uid != uint32(o.UID) {
		return fmt.Errorf("%s belongs to user %d, not %d: %w", w.dir, own.Uid, o.UID, ErrPlanted)
	}
	if o.UID <= 0 && os.Geteuid() == 0 {
		o = Owner{UID: int(own.Uid), GID: int(own.Gid)}
	}
	w.owner, w.uid, w.mode = o, own.Uid, info.Mode().Perm()&0o666
	return nil
}

type within struct {
	root    *os.Root
	at      *os.File // the same directory
	dir     string
	beneath bool // openBeneath is of use
	owner   Owner
	uid     uint32
	mode    os.FileMode
}

// Close ends the use of the directory.
func (w *within) Close() error { return errors.Join(w.at.Close(), w.root.Close()) }

func (w *within) Create(name string, _ vfs.DiskWriteCategory) (File, error) {
	f, err := w.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, w.mode|0o600)
	if err != nil {
		return nil, err
	}
	if err := w.give(f.Chown); err != nil {
		f.Close()
		return nil, errors.Join(err, w.root.Remove(name))
	}
	return disked{f}, nil
}

// give makes a new thing the owner's.
func (w *within) give(chown func(uid, gid int) error) error {
	if w.owner.UID > 0 && (w.owner.UID != os.Geteuid() || w.owner.GID != os.Getegid()) {
		return chown(w.owner.UID, w.owner.GID)
	}
	return nil
}

func (w *within) open(name string, flag int) (File, error) {
	f, err := (*os.File)(nil), errors.ErrUnsupported
	if w.beneath {
		f, err = openBeneath(w.at, name, flag)
	}
	if errors.Is(err, errors.ErrUnsupported) {
		f, err = w.openByParts(name, flag)
	}
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !w.plain(info) {
		f.Close()
		return nil, errors.Join(err, w.planted(name))
	}
	return disked{f}, nil
}

// openByParts goes through the directories one by one, and looks at what is there
// before it is opened.
func (w *within) openByParts(name string, flag int) (*os.File, error) {
	before, err := w.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !w.plain(before) {
		return nil, w.planted(name)
	}
	f, err := w.root.OpenFile(name, flag|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if after, err := f.Stat(); err != nil || !os.SameFile(before, after) {
		f.Close()
		return nil, errors.Join(err, w.planted(name))
	}
	return f, nil
}

// plain says that something is a file that may be opened.
func (w *within) plain(info os.FileInfo) bool {
	own := info.Sys().(*syscall.Stat_t).Uid
	return info.Mode().IsRegular() && (own == w.uid || own == uint32(os.Geteuid()))
}

func (w *within) planted(name string) error {
	return &iofs.PathError{Op: "open", Path: path.Join(w.dir, name), Err: ErrPlanted}
}

func (w *within) Open(name string, _ ...vfs.OpenOption) (File, error) {
	return w.open(name, os.O_RDONLY)
}

func (w *within) OpenReadWrite(name string, c vfs.DiskWriteCategory, _ ...vfs.OpenOption) (File, error) {
	f, err := w.open(name, os.O_RDWR)
	if NotExist(err) {
		return w.Create(name, c)
	}
	return f, err
}

func (w *within) OpenDir(name string) (File, error) {
	f, err := w.root.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	return disked{f}, nil
}

func (w *within) List(dir string) ([]string, error) {
	f, err := w.root.OpenFile(dir, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func (w *within) MkdirAll(dir string, _ os.FileMode) error {
	mode := w.mode | 0o600
	mode |= mode & 0o444 >> 2
	for i := 0; i <= len(dir); i++ {
		if i < len(dir) && dir[i] != '/' || i == 0 {
			continue
		}
		switch err := w.root.Mkdir(dir[:i], mode); {
		case errors.Is(err, iofs.ErrExist):
		case err != nil:
			return err
		default:
			if err := w.give(func(uid, gid int) error { return w.root.Lchown(dir[:i], uid, gid) }); err != nil {
				return err
			}
		}
	}
	info, err := w.root.Stat(dir)
	if err == nil && !info.IsDir() {
		err = &iofs.PathError{Op: "mkdir", Path: path.Join(w.dir, dir), Err: syscall.ENOTDIR}
	}
	return err
}

func (w *within) Stat(name string) (vfs.FileInfo, error) {
	info, err := w.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	return seenInfo{info}, nil
}

func (w *within) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (File, error) {
	if err := w.root.Rename(from, to); err != nil {
		return nil, err
	}
	return w.OpenReadWrite(to, c)
}

func (w *within) Lock(name string) (io.Closer, error) { return vfs.Default.Lock(w.path(name)) }
func (w *within) Link(from, to string) error          { return w.root.Link(from, to) }
func (w *within) Remove(name string) error            { return w.root.Remove(name) }
func (w *within) RemoveAll(name string) error         { return w.root.RemoveAll(name) }
func (w *within) Rename(from, to string) error        { return w.root.Rename(from, to) }
func (w *within) PathBase(name string) string         { return path.Base(name) }
func (w *within) PathJoin(elem ...string) string      { return path.Join(elem...) }
func (w *within) PathDir(name string) string          { return path.Dir(name) }
func (w *within) Unwrap() FS                          { return nil }
func (w *within) path(name string) string             { return filepath.Join(w.dir, name) }
func (w *within) GetDiskUsage(name string) (vfs.DiskUsage, error) {
	return vfs.Default.GetDiskUsage(w.path(name))
}

// disked is a file of the disk as Pebble's interface wants it.
type disked struct{ *os.File }

func (f disked) Preallocate(int64, int64) error      { return nil }
func (f disked) SyncTo(int64) (full bool, err error) { return true, f.Sync() }
func (f disked) SyncData() error                     { return f.Sync() }
func (f disked) Prefetch(int64, int64) error         { return nil }

func (f disked) Stat() (vfs.FileInfo, error) {
	info, err := f.File.Stat()
	if err != nil {
		return nil, err
	}
	return seenInfo{info}, nil
}

// seenInfo is without the number of the device.
type seenInfo struct{ os.FileInfo }

func (seenInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }

// SetTime sets when a file was changed last. One in memory stays as it is.
func SetTime(f File, at time.Time) error {
	if f.Fd() == vfs.InvalidFd {
		return nil
	}
	tv := unix.NsecToTimeval(at.UnixNano())
	return unix.Futimes(int(f.Fd()), []unix.Timeval{tv, tv})
}

// Inode numbers the file that information is of; 0 if that is not known.
func Inode(info os.FileInfo) uint64 {
	if own, ok := info.Sys().(*syscall.Stat_t); ok {
		return own.Ino
	}
	return 0
}

// MakeOwned makes a directory of the disk and all above it, durably; those that
// it makes get the owner, or if there is none that of the directory above.
func MakeOwned(dir string, o Owner) error {
	if i, err := os.Stat(dir); err == nil && i.IsDir() {
		return nil
	}
	above := filepath.Dir(dir)
	if above != dir {
		if err := MakeOwned(above, o); err != nil {
			return err
		}
	}
	if i, err := os.Stat(above); err == nil && o.UID <= 0 && os.Geteuid() == 0 {
		own := i.Sys().(*syscall.Stat_t)
		o = Owner{UID: int(own.Uid), GID: int(own.Gid)}
	}
	if err := vfs.Default.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if o.UID > 0 && o.UID != os.Geteuid() {
		if err := os.Lchown(dir, o.UID, o.GID); err != nil {
			return errors.Join(err, vfs.Default.Remove(dir))
		}
	}
	return SyncDir(vfs.Default, above)
}

// Alive says whether a process of this host is there.
func Alive(pid int) bool {
	return pid > 0 && !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
}
