package imapd

import (
	"context"
	"runtime"
	"time"

	"plic/internal/imap"
)

// turn is the right of a command that takes long to be at work. Few of an
// account have one at a time; all of them yield to other sessions, end when their
// client goes away, and tell it meanwhile how far they are.
type turn struct {
	ctx     context.Context
	c       *conn
	tag     string
	release []func()
	next    time.Time // when to tell
	seated  time.Time // since when it is at work; zero while it is not
}

// takeTurn waits for a turn. It is to be ended.
func (c *conn) takeTurn(ctx context.Context, tag string) (*turn, error) {
	ctx, cancel := context.WithCancel(ctx)
	t := &turn{ctx: ctx, c: c, tag: tag, next: c.server.o.Now().Add(c.server.o.ProgressEvery)}
	_, stop := c.in.ahead(func() {
		for !c.in.full() {
			if err := c.in.fill(); err != nil {
				if !isTimeout(err) {
					cancel()
				}
				return
			}
		}
	})
	t.release = []func(){cancel, stop}
	leave, err := c.server.searches.enter(ctx, c.account.Name())
	if err != nil {
		t.end()
		return nil, err
	}
	t.release = append(t.release, leave, func() {
		if !t.seated.IsZero() {
			c.server.atWork.rise()
		}
	})
	if err := t.sit(); err != nil {
		t.end()
		return nil, err
	}
	return t, nil
}

func (t *turn) sit() error {
	t.seated = time.Time{}
	if err := t.c.server.atWork.sit(t.ctx); err != nil {
		return err
	}
	t.seated = time.Now()
	return nil
}

func (t *turn) end() {
	for i := len(t.release) - 1; i >= 0; i-- {
		t.release[i]()
	}
	t.release = nil
}

// step lets others run, and tells the client from time to time that done of total
// are done: INPROGRESS, RFC 9585.
func (t *turn) step(done, total int) error {
	runtime.Gosched()
	if done%16 != 0 {
		return nil
	}
	if err := t.ctx.Err(); err != nil {
		return err
	}
	now, work := t.c.server.o.Now(), t.c.server.atWork
	tell := !now.Before(t.next)
	if !tell && (work.waiting.Load() == 0 || time.Since(t.seated) < slice) {
		return nil
	}
	work.rise()
	t.seated = time.Time{}
	if tell { // the client may be slow to take it
		t.next = now.Add(t.c.server.o.ProgressEvery)
		if err := t.c.tellProgress(t.tag, done, total); err != nil {
			return err
		}
	}
	return t.sit()
}

func (c *conn) tellProgress(tag string, done, total int) error {
	b := append(c.out.line(), "* OK [INPROGRESS ("...)
	b = imap.AppendQuoted(b, tag)
	for _, n := range [...]int{done, total} {
		b = appendInt(append(b, ' '), n)
	}
	c.out.end(append(b, ")] still at work\r\n"...))
	return c.out.flush()
}
