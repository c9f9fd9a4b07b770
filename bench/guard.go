package main

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// leftovers waits until the bench has ended, however that came, and ends the
// peers that it may have left running.
const leftovers = `cat >/dev/null
[ -d "$1" ] || exit 0
for pid in "$1"/peers/d/run/master.pid "$1"/peers/p/spool/pid/master.pid; do
	[ -s "$pid" ] && kill $(cat "$pid")
done
sleep 2
rm -rf "$1"`

// guard sees to it that nothing outlasts the bench: one that is killed cannot
// stop its peers, which are daemons. It ends with who has started it, too.
func guard(dir string) error {
	alive, held, err := os.Pipe()
	if err != nil {
		return err
	}
	cmd := exec.Command("sh", "-c", leftovers, "sh", dir)
	cmd.Stdin = alive
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // the terminal's signals are not for it
	if err := cmd.Start(); err != nil {
		return err
	}
	alive.Close()
	parent := os.Getppid()
	go func() {
		for os.Getppid() == parent {
			time.Sleep(time.Second)
		}
		held.Close()
		os.Exit(1)
	}()
	return nil
}

// scratch makes a directory for a run, with a guard.
func scratch() (dir string, remove func(), err error) {
	if dir, err = os.MkdirTemp("/tmp", "plic-bench-"); err != nil {
		return "", nil, err
	}
	remove = func() { os.RemoveAll(dir) }
	if err := errors.Join(os.Chmod(dir, 0o755), guard(dir)); err != nil {
		remove()
		return "", nil, err
	}
	return dir, remove, nil
}
