package passwd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"plic/internal/directory"
)

// Helper is a program that checks the passwords of this system's users, since
// PAM is a library of C and plic has none in it. It speaks as checkpassword
// does: on file descriptor 3 it reads the name, the password and a time, each
// with a NUL behind it, runs the program in its arguments and so ends with 0
// if the password is right; 1 is wrong, anything else is trouble. A program
// named unix_chkpwd is asked as PAM itself asks that one.
type Helper struct {
	path    string
	timeout time.Duration
	slots   chan struct{}
}

// NewHelper names the program. At most so many run at a time.
func NewHelper(path string, parallel int, timeout time.Duration) *Helper {
	return &Helper{path, timeout, make(chan struct{}, max(parallel, 1))}
}

// The answers of unix_chkpwd, which are those of PAM.
const (
	pamSuccess     = 0
	pamAuthError   = 7
	pamUserUnknown = 10
)

// check has the program check a password of a user who exists.
func (h *Helper) check(ctx context.Context, name, password string) error {
	if strings.HasPrefix(name, "-") || strings.ContainsAny(name+password, "\x00") {
		return directory.ErrPassword
	}
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	select {
	case h.slots <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-h.slots }()
	code, err := h.run(ctx, name, password)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", h.path, err)
	case code == pamSuccess:
		return nil
	case code == 1 && !h.pam(), h.pam() && (code == pamAuthError || code == pamUserUnknown):
		return directory.ErrPassword
	}
	return fmt.Errorf("%s has ended with %d", h.path, code)
}

func (h *Helper) pam() bool { return filepath.Base(h.path) == "unix_chkpwd" }

func (h *Helper) run(ctx context.Context, name, password string) (int, error) {
	if h.pam() {
		cmd := exec.CommandContext(ctx, h.path, name, "nonull")
		cmd.Stdin = strings.NewReader(password + "\x00")
		return ended(cmd)
	}
	cmd := exec.CommandContext(ctx, h.path, "true") // what it runs if the password is right
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer r.Close()
	cmd.ExtraFiles = []*os.File{r} // descriptor 3
	go func() {                    // it need not read all
		defer w.Close()
		fmt.Fprintf(w, "%s\x00%s\x00%d\x00", name, password, time.Now().Unix())
	}()
	return ended(cmd)
}

// ended runs a program to its end, without anything of ours.
func ended(cmd *exec.Cmd) (int, error) {
	var out bytes.Buffer
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &out, time.Second
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit) && exit.ExitCode() >= 0:
		return exit.ExitCode(), nil
	}
	return 0, fmt.Errorf("%w: %.200q", err, out.String())
}
