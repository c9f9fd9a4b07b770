//go:build !unix

package vfs

import (
	"errors"
	"os"
	"time"
)

// ErrPlanted says that a name is not the plain file or directory that it should
// be.
var ErrPlanted = errors.New("not a plain file of its directory's owner")

var errNoOwners = errors.New("files of other programs are served on Unix only")

// Within needs Unix.
func Within(string, Owner) (FS, error) { return nil, errNoOwners }

// SetTime leaves a file as it is.
func SetTime(File, time.Time) error { return nil }

// Inode is not known.
func Inode(os.FileInfo) uint64 { return 0 }

// MakeOwned needs Unix.
func MakeOwned(string, Owner) error { return errNoOwners }

// Alive is not known: it is said that it is.
func Alive(int) bool { return true }
