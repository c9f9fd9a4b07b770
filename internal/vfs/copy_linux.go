package vfs

import (
	"errors"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// Copy writes octets of a file to where another one is, without their coming
// through here where the system can do that: some file systems then share them.
func Copy(to, from File, at, size int64) error {
	if to.Fd() == vfs.InvalidFd || from.Fd() == vfs.InvalidFd {
		return copyThrough(to, from, at, size)
	}
	for size > 0 {
		n, err := unix.CopyFileRange(int(from.Fd()), &at, int(to.Fd()), nil, int(min(size, 1<<30)), 0)
		size -= int64(n)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil || n == 0: // of another kind, or cut meanwhile
			return copyThrough(to, from, at, size)
		}
	}
	return nil
}
