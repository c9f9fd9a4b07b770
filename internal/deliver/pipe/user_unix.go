//go:build unix

package pipe

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// identity is who a program runs as.
type identity struct {
	name, home string
	uid, gid   uint32
	groups     []uint32
	change     bool // of who we are
}

// identify finds a user, "" being who we are. Nothing runs as root: what starts
// it came from strangers.
func identify(name string) (*identity, error) {
	u, err := user.Current()
	if name != "" {
		u, err = user.Lookup(name)
	}
	if err != nil {
		return nil, err
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	who := &identity{name: u.Username, home: u.HomeDir, uid: uint32(uid), gid: uint32(gid), change: os.Geteuid() != int(uid)}
	switch {
	case uid == 0:
		return nil, errors.New("commands are not run as root: name another user")
	case who.change && os.Geteuid() != 0:
		return nil, fmt.Errorf("only root can run commands as %s: we are not", u.Username)
	case !who.change:
		return who, nil
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if n, err := strconv.ParseUint(id, 10, 32); err == nil && n != 0 {
			who.groups = append(who.groups, uint32(n))
		}
	}
	return who, nil
}

// dir is where a program starts.
func (who *identity) dir() string {
	if i, err := os.Stat(who.home); err == nil && i.IsDir() {
		return who.home
	}
	return "/"
}

// apply lets a program run as the user, in a process group of its own.
func (who *identity) apply(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if who.change {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: who.uid, Gid: who.gid, Groups: who.groups}
	}
}

// kill ends a program and what it has started.
func kill(cmd *exec.Cmd) { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
