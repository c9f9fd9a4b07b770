package trial

import "syscall"

// alone is a process group of its own, which does not outlive the test.
func alone() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
