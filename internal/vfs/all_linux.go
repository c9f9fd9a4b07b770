package vfs

import "golang.org/x/sys/unix"

// SyncAround makes all of the file system durable that a file is on, its names
// too: for directories that one may write to but not open.
func SyncAround(f File) error { return unix.Syncfs(int(f.Fd())) }
