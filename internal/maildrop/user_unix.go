//go:build unix

package maildrop

import (
	"io/fs"
	"syscall"
)

// owner is whose file it is.
func owner(i fs.FileInfo) int {
	if s, ok := i.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return -1
}

// links is how many names a file has.
func links(i fs.FileInfo) int {
	if s, ok := i.Sys().(*syscall.Stat_t); ok {
		return int(s.Nlink)
	}
	return 1
}
