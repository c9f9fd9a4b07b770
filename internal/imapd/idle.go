package imapd

import (
	"context"
	"errors"
	"os"
	"time"

	"plic/internal/imap"
)

// idle is IDLE, RFC 9051 section 6.3.13: changes are told as they happen, until
// the client says DONE. Meanwhile the session holds no buffers.
func (c *conn) idle(ctx context.Context, cmd *imap.Command) (reply, error) {
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	c.out.text("+ idling")
	if c.view != nil {
		stop := c.view.mb.Notify(c.in.poke)
		defer func() { stop(); c.in.calm() }()
		if err := c.update(ctx); err != nil { // what came before the watch
			return reply{}, err
		}
	}
	c.restText()
	until := time.Now().Add(c.server.o.IdleTimeout)
	if err := c.idleUntil(ctx, until); err != nil {
		return reply{}, err
	}
	line, err := c.in.readLine(nil, 80)
	if err != nil && !errors.Is(err, imap.ErrTooBig) {
		return reply{}, err
	}
	if !equalFold(string(line), "DONE") {
		return reply{}, bad(errors.New("DONE expected"))
	}
	return reply{}, nil
}

// idleUntil tells of changes until the client says something. One goroutine
// waits for both: changes end its read.
func (c *conn) idleUntil(ctx context.Context, until time.Time) error {
	notice := time.Now().Add(c.server.o.NoticeEvery)
	for {
		if err := c.out.rest(); err != nil {
			return err
		}
		first := until
		if notice.Before(until) {
			first = notice
		}
		err := c.in.await(first)
		switch {
		case errors.Is(err, errPoked):
			if err := c.update(ctx); err != nil {
				return err
			}
		case errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(until):
			c.out.text("* OK still here")
			notice = time.Now().Add(c.server.o.NoticeEvery)
		case err != nil:
			return err
		default:
			c.in.deadline(until)
			return nil
		}
	}
}

// update tells what is new in the midst of a command.
func (c *conn) update(ctx context.Context) error {
	c.view.own = nil
	return c.sync(ctx, true)
}
