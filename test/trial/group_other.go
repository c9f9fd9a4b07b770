//go:build !linux

package trial

import "syscall"

// alone is a process group of its own.
func alone() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
