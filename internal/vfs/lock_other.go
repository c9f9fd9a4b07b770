//go:build !linux

package vfs

import "errors"

// TryLock cannot lock beside other programs here, since a lock of fcntl goes when
// the process closes any file of the name.
func TryLock(File, bool, bool) (ok bool, err error) {
	return false, errors.New("locks of fcntl and flock are not known on this system: use dotlock")
}
