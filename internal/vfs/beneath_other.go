//go:build unix && !linux

package vfs

import (
	"errors"
	"os"
)

// opensBeneath says whether openBeneath can open anything.
func opensBeneath(*os.File) bool { return false }

// openBeneath is for systems that can open a name below a directory by one call.
func openBeneath(*os.File, string, int) (*os.File, error) { return nil, errors.ErrUnsupported }
