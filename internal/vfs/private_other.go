//go:build !unix

package vfs

// Private leaves the file to the mode of its directory.
func Private(File) error { return nil }
