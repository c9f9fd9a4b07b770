package pipe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"plic/internal/mail"
)

// maxAnswer is how much a program for scripts may answer.
const maxAnswer = 32 << 20

// Run runs a program that filter scripts may use, over what they give it, for
// its answer; ok says that it ended well. The message is that of from and to.
func (t *Transport) Run(ctx context.Context, name string, args []string, from, to mail.Address, input []byte) (answer []byte, ok bool, err error) {
	c, err := t.command(ctx, mail.ForScripts+name)
	if err != nil {
		return nil, false, err
	}
	m := message{from: from, to: to, at: t.o.Now()}
	m.user, m.detail = to.Detail(t.o.Separator)
	if c.args, err = c.expand(&m); err != nil {
		return nil, false, err
	}
	who, err := identify(c.user)
	if err != nil {
		return nil, false, err
	}
	cmd := exec.Command(c.args[0], slices.Concat(c.args[1:], args)...)
	if cmd.Dir = c.dir; cmd.Dir == "" {
		cmd.Dir = who.dir()
	}
	cmd.Env = m.environment(who.home, who.name)
	who.apply(cmd)
	out := answered{stop: func() { kill(cmd) }}
	cmd.Stdin, cmd.Stdout = bytes.NewReader(input), &out
	cmd.WaitDelay = 2 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, false, err
	}
	stop := context.AfterFunc(ctx, func() { kill(cmd) })
	cmd.Wait() // its state says how it ended
	switch {
	case !stop() && ctx.Err() != nil:
		kill(cmd)
		return nil, false, errTime
	case out.full:
		return nil, false, fmt.Errorf("it answers more than %d octets", maxAnswer)
	case cmd.ProcessState.ExitCode() < 0:
		return nil, false, errors.New(strings.TrimSpace(cmd.ProcessState.String()))
	}
	return out.text.Bytes(), cmd.ProcessState.ExitCode() == 0, nil
}

// answered takes what a program answers, and ends one that does not stop.
type answered struct {
	text bytes.Buffer // not embedded: its ReadFrom would take all
	full bool
	stop func()
}

// Write takes what fits.
func (a *answered) Write(p []byte) (int, error) {
	if a.text.Len()+len(p) > maxAnswer {
		a.full = true
		a.stop()
		return len(p), nil
	}
	return a.text.Write(p)
}
