package pipe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"

	"plic/internal/mail"
)

// maxOutput is how much of what a program writes is kept.
const maxOutput = 8 << 10

// run gives a program the message and waits for its end.
func (c *command) run(ctx context.Context, m *message) mail.Outcome {
	who, err := identify(c.user)
	if err != nil {
		return outcome(mail.Reply(451, "4.3.5", "the command cannot be run as its user"), err)
	}
	cmd := exec.Command(c.args[0], c.args[1:]...)
	if cmd.Dir = c.dir; cmd.Dir == "" {
		cmd.Dir = who.dir()
	}
	cmd.Env = m.environment(who.home, who.name)
	who.apply(cmd)
	head := m.trace()
	if c.fromLine {
		head = m.fromLine() + head
	}
	in := &input{Reader: io.MultiReader(strings.NewReader(head), m.read(false)), stop: func() { kill(cmd) }}
	var out limited
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &out
	cmd.WaitDelay = 2 * time.Second // for children of its that keep its output open
	if err := cmd.Start(); err != nil {
		return outcome(mail.Reply(451, "4.3.5", "the command cannot be started"), err)
	}
	stop := context.AfterFunc(ctx, func() { kill(cmd) })
	err = cmd.Wait()
	if !stop() && ctx.Err() != nil {
		kill(cmd) // what it has left behind
		return outcome(mail.Reply(451, "4.3.0", "the command was stopped"), context.Cause(ctx))
	}
	return c.result(cmd, err, in.failed, out.start.String())
}

// result is the outcome of a program that came to its end.
func (c *command) result(cmd *exec.Cmd, err, unread error, output string) mail.Outcome {
	if unread != nil { // it got half of the message
		return outcome(mail.Reply(451, "4.3.0", "the message cannot be read now"), unread)
	}
	code := cmd.ProcessState.ExitCode()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return outcome(mail.Reply(451, "4.3.0", "the command cannot be run"), err)
	}
	if code < 0 {
		return outcome(mail.Reply(451, "4.3.0", "the command was killed"), errors.New(cmd.ProcessState.String()))
	}
	status := statusOf(code)
	o := mail.Outcome{Status: status, Host: "", Remote: c.args[0]}
	if code != 0 {
		o.Status = said(status, output)
		o.Err = fmt.Errorf("%s exited with %d: %s", c.args[0], code, clip(strings.TrimSpace(output)))
	}
	return o
}

// input tells trouble with the message from a program that does not want it all.
type input struct {
	io.Reader
	stop   func()
	failed error
}

// Read reads the message. A program that would get half of it is stopped before
// it sees an end.
func (in *input) Read(p []byte) (n int, err error) {
	defer func() {
		if r := recover(); r != nil { // this runs in a goroutine of exec
			n, err = 0, fmt.Errorf("panic: %v", r)
		}
		if err != nil && err != io.EOF {
			in.failed = err
			in.stop()
		}
	}()
	return in.Reader.Read(p)
}

// limited keeps the start of what is written, and takes the rest. The buffer is
// not embedded: its ReadFrom would take all.
type limited struct{ start bytes.Buffer }

// Write takes everything.
func (l *limited) Write(p []byte) (int, error) {
	l.start.Write(p[:min(len(p), maxOutput-l.start.Len())])
	return len(p), nil
}
