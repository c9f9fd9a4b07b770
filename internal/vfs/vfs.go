// Package vfs is the seam to the file system: everything that holds mail is
// opened through it, so that tests can lose what was not synced and fail any
// operation. Only this package opens mail files for writing.
//
// The interface and its in-memory and fault-injecting forms are Pebble's, which
// the record store needs in any case.
package vfs

import (
	"github.com/cockroachdb/pebble/v2/vfs"
)

// FS is a file system; see the methods of Pebble's interface. Create truncates;
// a name is durable only after its directory was synced (OpenDir, Sync).
type FS = vfs.FS

// File is an open file.
type File = vfs.File

// Disk is the real file system.
func Disk() FS { return vfs.Default }
