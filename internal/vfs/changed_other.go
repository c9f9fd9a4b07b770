//go:build !linux

package vfs

import (
	"os"
	"time"
)

// Changed is not known.
func Changed(os.FileInfo) time.Time { return time.Time{} }
