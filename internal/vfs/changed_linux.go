package vfs

import (
	"os"
	"syscall"
	"time"
)

// Changed is when a file was changed last, or what is known of it: unlike the time
// of the file, nobody sets it back. Zero if that is not known.
func Changed(info os.FileInfo) time.Time {
	if own, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(own.Ctim.Unix())
	}
	return time.Time{}
}
