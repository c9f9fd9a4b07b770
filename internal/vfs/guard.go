package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// Mail is the category of all our writes, which Create and OpenReadWrite want;
// the categories only sort statistics that plic does not keep.
const Mail = vfs.WriteCategoryUnspecified

// OnDiskFull calls full once when a write finds no space, and then tries that
// write again; a sync is never tried again.
func OnDiskFull(under FS, full func()) FS { return vfs.OnDiskFull(under, full) }

// Fenced asks before every operation that changes something: when closed gives
// an error, the operation fails with it.
func Fenced(under FS, closed func() error) FS {
	return errorfs.Wrap(under, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileClose || op.Kind.ReadOrWrite() == errorfs.OpIsRead {
			return nil
		}
		return closed()
	}))
}

// Ordered syncs a directory before it makes a file whose name begins with the
// prefix there: such a file names others, which must not be missing when it is
// there. File systems with a journal keep that order by themselves.
func Ordered(under FS, prefix string) FS { return ordered{under, prefix} }

type ordered struct {
	FS
	prefix string
}

func (o ordered) Unwrap() FS { return o.FS }

func (o ordered) Create(name string, c vfs.DiskWriteCategory) (File, error) {
	if strings.HasPrefix(o.PathBase(name), o.prefix) {
		if err := SyncDir(o.FS, o.PathDir(name)); err != nil {
			return nil, err
		}
	}
	return o.FS.Create(name, c)
}

// Syncing syncs a file in the background as it fills, by so many octets, so
// that the last sync has little left to do.
func Syncing(f File, every int) File {
	return vfs.NewSyncingFile(f, vfs.SyncingFileOptions{BytesPerSync: every, NoSyncOnClose: true})
}

// SyncDir makes the names in a directory durable.
func SyncDir(on FS, dir string) error {
	d, err := on.OpenDir(dir)
	if err != nil {
		return err
	}
	if err := d.Sync(); err != nil {
		d.Close()
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return d.Close()
}

// MakeDir makes a directory and all above it, durably.
func MakeDir(on FS, dir string) error {
	if i, err := on.Stat(dir); err == nil && i.IsDir() {
		return nil
	}
	above := on.PathDir(dir)
	if above != dir && above != "." {
		if err := MakeDir(on, above); err != nil {
			return err
		}
	}
	if err := on.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return SyncDir(on, above)
}

// CreatePrivate makes a file that only its owner reads and writes.
func CreatePrivate(on FS, path string) (File, error) {
	f, err := on.Create(path, Mail)
	if err != nil {
		return nil, err
	}
	if err := Private(f); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// NotExist says that an error means a missing file.
func NotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// CrashConfig says what a crash leaves of what was not synced.
type CrashConfig = vfs.CrashCloneCfg
