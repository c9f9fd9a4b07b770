package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// openBeneath opens a name below a directory by one call, openat2 of Linux 5.6: no
// part of it leads out of the directory, and its last is no symbolic link. Where the
// system has no such call, or cannot tell, it is errors.ErrUnsupported.
func openBeneath(dir *os.File, name string, flag int) (*os.File, error) {
	how := unix.OpenHow{
		Flags:   uint64(flag | unix.O_NONBLOCK | unix.O_NOFOLLOW | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
	}
	for {
		fd, err := unix.Openat2(int(dir.Fd()), name, &how)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOENT):
			return nil, &os.PathError{Op: "open", Path: name, Err: err}
		default: // what else is wrong is told by who looks at each part
			return nil, errors.ErrUnsupported
		}
	}
}
