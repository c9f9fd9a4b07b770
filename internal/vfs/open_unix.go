//go:build unix

package vfs

import "golang.org/x/sys/unix"

// Readable lets everybody read an open file, whatever the umask, for a reader who
// is another user. Its name should be one that nobody can guess.
func Readable(f File) error { return unix.Fchmod(int(f.Fd()), 0o644) }
