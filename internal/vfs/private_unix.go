//go:build unix

package vfs

import (
	"github.com/cockroachdb/pebble/v2/vfs"
	"golang.org/x/sys/unix"
)

// Private lets only the owner read and write an open file, which Create cannot
// be told: to be called before anything secret is in it. A file in memory has
// no mode.
func Private(f File) error {
	if f.Fd() == vfs.InvalidFd {
		return nil
	}
	return unix.Fchmod(int(f.Fd()), 0o600)
}
