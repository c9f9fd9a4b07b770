// Package peers starts the real servers that plic is tested and measured
// against, Postfix, Exim, OpenSMTPD, Dovecot and Cyrus from Debian, each with files of
// its own below a directory and on an address of its own in 127.0.0.0/8. It
// needs root, as they do.
package peers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"text/template"
	"time"
)

// ErrMissing says that a peer cannot run here: not installed, or not root.
var ErrMissing = errors.New("the peer cannot run here")

// Missing skips a test for want of something that the machine of a developer
// may lack, as the short run may; root, who could install it with test/setup.sh,
// and a continuous integration must have it.
func Missing(tb testing.TB, why string) {
	tb.Helper()
	if !testing.Short() && (os.Getenv("CI") != "" || os.Geteuid() == 0) {
		tb.Fatal(why + "; test/setup.sh sees to what can be installed")
	}
	tb.Skip(why)
}

// Started goes on with a test if its peer has started, given what Start said.
func Started(tb testing.TB, err error) {
	tb.Helper()
	if errors.Is(err, ErrMissing) {
		Missing(tb, err.Error())
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// Loopback is an address of this host for one peer: of some millions, so that
// runs at the same time do not meet.
func Loopback() string {
	return fmt.Sprintf("127.%d.%d.%d", 128+rand.N(127), rand.N(256), 1+rand.N(254))
}

func usable(program string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: %s needs root", ErrMissing, program)
	}
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("%w: %v", ErrMissing, err)
	}
	return nil
}

// write fills a template into a file.
func write(path, text string, data any) error {
	var b bytes.Buffer
	if err := template.Must(template.New(path).Parse(text)).Execute(&b, data); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// owned makes a directory that belongs to a system user.
func owned(path, name string) error {
	u, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return os.Chown(path, uid, gid)
}

// run ends when the command does. Its output goes to a file, since a daemon
// that it leaves behind would hold a pipe open. Its times are UTC, wherever this host is.
func run(name string, args ...string) error {
	log, err := os.CreateTemp("", "plic-peer-")
	if err != nil {
		return err
	}
	defer os.Remove(log.Name())
	defer log.Close()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "TZ=UTC")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Run(); err != nil {
		out, _ := os.ReadFile(log.Name())
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// WaitFor returns when something listens at the address.
func WaitFor(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "tcp", address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("nothing listens at %s: %w", address, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
