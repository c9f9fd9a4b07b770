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
	if c.view != nil {
		c.view.unready()
	}
	c.quick.Leave()
	c.out.text("+ idling")
	c.restText()
	until := time.Now().Add(c.server.o.IdleTimeout)
	if err := c.listen(ctx, until, true); err != nil {
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

// listen tells of changes until the client says something: in IDLE, or between
// commands where NOTIFY has asked for it.
func (c *conn) listen(ctx context.Context, until time.Time, idle bool) error {
	var selected, elsewhere <-chan struct{}
	var signs <-chan time.Time
	if c.view != nil && c.selectedEvents() != 0 {
		var stop func()
		selected, stop = c.view.mb.Watch()
		defer stop()
		if err := c.update(ctx, idle); err != nil { // what came before the watch
			return err
		}
	}
	if c.notice != nil {
		elsewhere = c.notice.changes
	}
	if idle {
		notice := time.NewTicker(c.server.o.NoticeEvery)
		defer notice.Stop()
		signs = notice.C
	}
	var heard error
	said, stop := c.in.ahead(func() { heard = c.in.await(until) })
	defer stop()
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
		case <-selected:
			if err := c.update(ctx, idle); err != nil {
				return err
			}
		case <-elsewhere:
			if err := c.tellElsewhere(ctx); err != nil {
				return err
			}
		case <-signs:
			c.out.text("* OK still here")
		}
	}
}

// update tells what is new in the selected mailbox, in IDLE or between commands.
func (c *conn) update(ctx context.Context, idle bool) error {
	c.view.own = nil
	before := c.out.ended
	if err := c.sync(ctx, idle || !c.notice.selected.Delayed); err != nil {
		return err
	}
	if behind := c.behind(); behind != "" && c.out.ended != before {
		c.out.text("* OK [", behind, "] of what was told")
	}
	return nil
}
