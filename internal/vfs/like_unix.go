//go:build unix

package vfs

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// Like gives a new file owner and mode of another.
func Like(f File, info fs.FileInfo) error {
	own, ok := info.Sys().(*syscall.Stat_t)
	if f.Fd() == vfs.InvalidFd || !ok {
		return nil
	}
	fd := int(f.Fd())
	if int(own.Uid) != os.Geteuid() || int(own.Gid) != os.Getegid() {
		if err := unix.Fchown(fd, int(own.Uid), int(own.Gid)); err != nil {
			return err
		}
	}
	return unix.Fchmod(fd, uint32(info.Mode().Perm()))
}

// ErrNoTruncate says that a file, one in memory, cannot be cut.
var ErrNoTruncate = errors.New("the file cannot be cut")

// Truncate cuts a file that is open for writing.
func Truncate(f File, size int64) error {
	if f.Fd() == vfs.InvalidFd {
		return ErrNoTruncate
	}
	return unix.Ftruncate(int(f.Fd()), size)
}
