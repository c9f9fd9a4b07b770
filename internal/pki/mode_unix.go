//go:build unix

package pki

import "golang.org/x/sys/unix"

// restrict lets only the owner read and write the open file.
func restrict(fd uintptr) error { return unix.Fchmod(int(fd), 0o600) }
