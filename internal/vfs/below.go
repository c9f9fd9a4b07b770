package vfs

import (
	"io"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Owner is who new files belong to; who this process is if it is zero.
type Owner struct{ UID, GID int }

// Below is the part of a file system below a directory, with names relative to
// it. It keeps nobody inside: see Within for the disk.
func Below(under FS, dir string) FS { return below{under, dir} }

type below struct {
	FS
	dir string
}

func (b below) at(name string) string {
	if name == "." {
		return b.dir
	}
	return b.PathJoin(b.dir, name)
}

func (b below) Create(name string, c vfs.DiskWriteCategory) (File, error) {
	return b.FS.Create(b.at(name), c)
}

func (b below) Open(name string, o ...vfs.OpenOption) (File, error) {
	return b.FS.Open(b.at(name), o...)
}

func (b below) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (File, error) {
	return b.FS.OpenReadWrite(b.at(name), c, o...)
}

func (b below) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (File, error) {
	return b.FS.ReuseForWrite(b.at(from), b.at(to), c)
}

func (b below) MkdirAll(dir string, perm os.FileMode) error { return b.FS.MkdirAll(b.at(dir), perm) }
func (b below) OpenDir(name string) (File, error)           { return b.FS.OpenDir(b.at(name)) }
func (b below) Link(from, to string) error                  { return b.FS.Link(b.at(from), b.at(to)) }
func (b below) Remove(name string) error                    { return b.FS.Remove(b.at(name)) }
func (b below) RemoveAll(name string) error                 { return b.FS.RemoveAll(b.at(name)) }
func (b below) Rename(from, to string) error                { return b.FS.Rename(b.at(from), b.at(to)) }
func (b below) Lock(name string) (io.Closer, error)         { return b.FS.Lock(b.at(name)) }
func (b below) List(dir string) ([]string, error)           { return b.FS.List(b.at(dir)) }
func (b below) Stat(name string) (vfs.FileInfo, error)      { return b.FS.Stat(b.at(name)) }
func (b below) Unwrap() FS                                  { return b.FS }

func (b below) GetDiskUsage(name string) (vfs.DiskUsage, error) {
	return b.FS.GetDiskUsage(b.at(name))
}
