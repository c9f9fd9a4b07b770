//go:build !unix

package maildrop

import "io/fs"

func owner(fs.FileInfo) int { return -1 }

func links(fs.FileInfo) int { return 1 }
