package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// opensBeneath says whether openBeneath can open anything: an older system has no
// such call, and a container may refuse it.
func opensBeneath(dir *os.File) bool {
	f, err := openBeneath(dir, ".", unix.O_DIRECTORY)
	return err == nil && f.Close() == nil
}

// openBeneath opens a name below a directory by one call, openat2 of Linux 5.6: no
// part of it leads out of the directory, and its last is no symbolic link. It may be a
// device or a pipe, which is opened without waiting: the caller looks at what it is.
// Where the system has no such call, or cannot tell, it is errors.ErrUnsupported. The
// directory is not closed meanwhile: its number could be another's then.
func openBeneath(dir *os.File, name string, flag int) (f *os.File, err error) {
	at, err := dir.SyscallConn()
	if err != nil {
		return nil, err
	}
	how := unix.OpenHow{
		Flags:   uint64(flag | unix.O_NONBLOCK | unix.O_NOFOLLOW | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
	}
	closed := at.Control(func(number uintptr) {
		var fd int
		for err = unix.EINTR; err == unix.EINTR; {
			fd, err = unix.Openat2(int(number), name, &how)
		}
		if err == nil {
			f = os.NewFile(uintptr(fd), name)
		}
	})
	switch {
	case closed != nil:
		return nil, &os.PathError{Op: "open", Path: name, Err: os.ErrClosed}
	case errors.Is(err, unix.ENOENT):
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	case err != nil: // what else is wrong is told by who looks at each part
		return nil, errors.ErrUnsupported
	}
	return f, nil
}
