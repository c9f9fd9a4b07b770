//go:build !unix

package vfs

import (
	"errors"
	"io/fs"
)

// Like leaves a file as it is.
func Like(File, fs.FileInfo) error { return nil }

// ErrNoTruncate says that a file cannot be cut.
var ErrNoTruncate = errors.New("the file cannot be cut")

// Truncate cuts no file here.
func Truncate(File, int64) error { return ErrNoTruncate }
