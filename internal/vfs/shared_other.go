//go:build !linux

package vfs

// shared is not known.
func shared(string) bool { return false }
