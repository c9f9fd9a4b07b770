package vfs

import (
	"errors"

	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// TryLock takes the lock of an open file that other programs take with fcntl,
// or with flock, unless one of them has it. It goes when the file is closed, and
// only then: another open of the same file does not disturb it.
func TryLock(f File, flock, shared bool) (ok bool, err error) {
	if f.Fd() == vfs.InvalidFd {
		return true, nil
	}
	if flock {
		how := unix.LOCK_EX
		if shared {
			how = unix.LOCK_SH
		}
		err = unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	} else {
		l := unix.Flock_t{Type: unix.F_WRLCK}
		if shared {
			l.Type = unix.F_RDLCK
		}
		err = unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l)
	}
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return false, nil
	}
	return err == nil, err
}
