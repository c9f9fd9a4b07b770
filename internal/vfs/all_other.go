//go:build !linux

package vfs

// SyncAround makes a file durable, and its name where the system couples them.
func SyncAround(f File) error { return f.Sync() }
