package peers

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// daemon is a server that stays in the foreground, as a user of the system who
// owns its directory.
type daemon struct {
	dir, user string

	cmd  *exec.Cmd
	done chan struct{}
}

// as is a command of that user; only root can be others.
func (d *daemon) as(name string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = d.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if os.Geteuid() != 0 {
		return cmd, nil
	}
	u, err := user.Lookup(d.user)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", ErrMissing, err)
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return cmd, nil
}

// make makes the directory; it may be there.
func (d *daemon) make() error {
	if os.Geteuid() != 0 {
		return os.MkdirAll(d.dir, 0o755)
	}
	return owned(d.dir, d.user)
}

// run runs a command of that user to its end.
func (d *daemon) run(input, name string, args ...string) (string, error) {
	cmd, err := d.as(name, args...)
	if err != nil {
		return "", err
	}
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", filepath.Base(name), err, out)
	}
	return string(out), nil
}

// start runs the server until it is stopped.
func (d *daemon) start(name string, args ...string) error {
	cmd, err := d.as(name, args...)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(d.dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	d.cmd, d.done = cmd, done
	go func() { cmd.Wait(); close(done) }()
	return nil
}

// up waits until it answers.
func (d *daemon) up(ctx context.Context, answers func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := answers(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-d.done:
			return fmt.Errorf("it has ended: %s", d.log())
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w: %s", err, d.log())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func (d *daemon) log() string {
	text, _ := os.ReadFile(filepath.Join(d.dir, "log"))
	return string(text[max(0, len(text)-4096):])
}

// signal sends a signal and waits for the end, if it ends the server.
func (d *daemon) signal(s syscall.Signal, ends bool) error {
	if d.cmd == nil {
		return nil
	}
	if err := syscall.Kill(d.cmd.Process.Pid, s); err != nil {
		return err
	}
	if ends {
		<-d.done
		d.cmd = nil
	}
	for s == syscall.SIGSTOP && !d.stopped() {
		time.Sleep(time.Millisecond)
	}
	return nil
}

// stopped says whether every thread stands still.
func (d *daemon) stopped() bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", d.cmd.Process.Pid))
	for _, name := range threads {
		text, _ := os.ReadFile(name)
		if _, rest, ok := strings.Cut(string(text), ") "); ok && !strings.HasPrefix(rest, "T") {
			return false
		}
	}
	return true
}

// listens says whether something listens at an address.
func listens(address string) func(context.Context) error {
	return func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			conn.Close()
		}
		return err
	}
}

// found is the path of a program in one of some places, or of the PATH.
func found(name string, dirs ...string) (string, error) {
	for _, dir := range dirs {
		all, _ := filepath.Glob(filepath.Join(dir, name))
		if len(all) > 0 {
			return all[len(all)-1], nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("%w: %v", ErrMissing, err)
	}
	return path, nil
}
