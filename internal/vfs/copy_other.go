//go:build !linux

package vfs

// Copy writes octets of a file to where another one is.
func Copy(to, from File, at, size int64) error { return copyThrough(to, from, at, size) }
