package imapd

import (
	"context"
	"errors"
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
	var changes <-chan struct{}
	if c.view != nil {
		var stop func()
		changes, stop = c.view.mb.Watch()
		defer stop()
		if err := c.update(ctx); err != nil { // what came before the watch
			return reply{}, err
		}
	}
	c.restText()
	until := time.Now().Add(c.server.o.IdleTimeout)
	if err := c.idleUntil(ctx, changes, until); err != nil {
		return reply{}, err
	}
	c.in.deadline(until)
	line, err := c.in.readLine(nil, 80)
	if err != nil && !errors.Is(err, imap.ErrTooBig) {
		return reply{}, err
	}
	if !equalFold(string(line), "DONE") {
		return reply{}, bad(errors.New("DONE expected"))
	}
	return reply{}, nil
}

// idleUntil tells of changes until the client says something.
func (c *conn) idleUntil(ctx context.Context, changes <-chan struct{}, until time.Time) error {
	var heard error
	said, stop := c.in.ahead(func() { heard = c.in.await(until) })
	defer stop()
	notice := time.NewTicker(c.server.o.NoticeEvery)
	defer notice.Stop()
	for {
		if err := c.out.rest(); err != nil {
			return err
		}
		if c.packed != nil {
			c.packed.Rest()
		}
		select {
		case <-said:
			return heard
		case <-changes:
			if err := c.update(ctx); err != nil {
				return err
			}
		case <-notice.C:
			c.out.text("* OK still here")
		}
	}
}

// update tells what is new in the midst of a command.
func (c *conn) update(ctx context.Context) error {
	c.view.own = nil
	return c.sync(ctx, true)
}
