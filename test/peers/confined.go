package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// unpacked is where test/setup.sh puts what Debian does not install beside
// Postfix. Users other than root must come there.
const unpacked = "/var/cache/plic-test/neighbours"

// confined is a daemon that runs from an unpacked package in namespaces of its
// own: there it has the users, the resolver and the directories that its
// package would have made, and nothing of it is left when it ends.
type confined struct {
	dir      string
	address  string
	resolver string
	users    []string // that its package would have added
	prepare  string   // what else root does before, in sh; $ROOT is the package, $DIR its directory
	command  []string // the first below $ROOT; it stays in the foreground

	cmd *exec.Cmd
}

const confine = `mount --bind "$DIR/etc/passwd" /etc/passwd
mount --bind "$DIR/etc/group" /etc/group
mount --bind "$DIR/etc/resolv.conf" /etc/resolv.conf
for d in /run /var/lib /var/spool; do mount -t tmpfs tmpfs $d; done
`

// firstID is the number of the first of the users, above those of Debian.
const firstID = 64000

func (c *confined) start(ctx context.Context) error {
	program := filepath.Join(unpacked, c.command[0])
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: %s needs root", ErrMissing, c.command[0])
	}
	if _, err := os.Stat(program); err != nil {
		return fmt.Errorf("%w: %v", ErrMissing, err)
	}
	if err := c.etc(); err != nil {
		return err
	}
	log, err := os.OpenFile(c.logFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	args := append([]string{"--mount", "--pid", "--fork", "--kill-child", "sh", "-ec", confine + c.prepare + "\n" + `"$@"; exit`, "sh", program}, c.command[1:]...)
	c.cmd = exec.Command("unshare", args...)
	c.cmd.Env = append(os.Environ(), "ROOT="+unpacked, "DIR="+c.dir)
	c.cmd.Stdout, c.cmd.Stderr = log, log
	if err := c.cmd.Start(); err != nil {
		return err
	}
	return WaitFor(ctx, c.address+":25")
}

// etc writes what it finds in /etc.
func (c *confined) etc() error {
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return err
	}
	group, err := os.ReadFile("/etc/group")
	if err != nil {
		return err
	}
	for i, user := range c.users {
		passwd = fmt.Appendf(passwd, "%s:x:%d:%[2]d::/nonexistent:/usr/sbin/nologin\n", user, firstID+i)
		group = fmt.Appendf(group, "%s:x:%d:\n", user, firstID+i)
	}
	etc := filepath.Join(c.dir, "etc")
	return errors.Join(os.MkdirAll(etc, 0o755),
		os.WriteFile(filepath.Join(etc, "passwd"), passwd, 0o644),
		os.WriteFile(filepath.Join(etc, "group"), group, 0o644),
		os.WriteFile(filepath.Join(etc, "resolv.conf"), []byte("nameserver "+c.resolver+"\n"), 0o644))
}

func (c *confined) logFile() string { return filepath.Join(c.dir, "log") }

func (c *confined) log() string {
	text, _ := os.ReadFile(c.logFile())
	return string(text)
}

// stop ends it with all its children, which live in its namespace.
func (c *confined) stop() error {
	if c.cmd == nil || c.cmd.Process == nil {
		return nil
	}
	err := c.cmd.Process.Kill()
	c.cmd.Wait() // says only that it was killed
	return err
}
