package imapd

import (
	"context"
	"time"

	"plic/internal/imap"
	"plic/internal/pace"
)

// turn is the right of a command that takes long to be at work. Few of an
// account have one at a time; all of them make way for other sessions, end when
// their client goes away, and tell it meanwhile how far they are.
type turn struct {
	ctx     context.Context // whose steps are those of lane
	c       *conn
	tag     string
	release []func()
	next    time.Time  // when to tell
	lane    *pace.Lane // its place; nil while it is not at work
	seated  time.Time  // since when it has that
}

// takeTurn waits for a turn among those that a gate lets in. It is to be ended.
func (c *conn) takeTurn(ctx context.Context, tag string, gate *pace.Gate) (*turn, error) {
	c.quick.Leave()
	ctx, cancel := context.WithCancel(ctx)
	t := &turn{c: c, tag: tag, next: c.server.o.Now().Add(c.server.o.ProgressEvery)}
	t.ctx = pace.With(ctx, t.makeWay)
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
	leave, err := gate.Enter(ctx, c.account.Name())
	if err != nil {
		t.end()
		return nil, err
	}
	t.release = append(t.release, leave, func() { t.leave(); c.out.turn = nil })
	c.out.turn = t
	if err := t.sit(); err != nil {
		t.end()
		return nil, err
	}
	return t, nil
}

func (t *turn) sit() error {
	lane, err := t.c.server.atWork.sit(t.ctx, &t.c.quick)
	if err != nil {
		return err
	}
	t.lane, t.seated = lane, time.Now()
	return lane.Step(t.ctx)
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
	if done%16 != 0 {
		return t.makeWay(t.ctx)
	}
	now := t.c.server.o.Now()
	if now.Before(t.next) {
		return t.rest()
	}
	t.next = now.Add(t.c.server.o.ProgressEvery)
	return t.c.tellProgress(t.tag, done, total)
}

// rest lets others run who wait for a place. It is for what takes longer than to
// look at a clock: in the midst of a message, and behind each that was read or
// filtered.
func (t *turn) rest() error {
	if err := t.makeWay(t.ctx); err != nil || t.lane == nil {
		return err
	}
	if t.c.server.atWork.waiting.Load() == 0 || time.Since(t.seated) < slice {
		return nil
	}
	t.leave()
	return t.sit()
}

// makeWay lets others run. There is no place where it could not be had again after
// something was sent, of which the error is kept.
func (t *turn) makeWay(ctx context.Context) error {
	if t.lane == nil {
		return t.c.out.err
	}
	return t.lane.Step(ctx)
}

// leave gives the place to others; it says whether there was one.
func (t *turn) leave() bool {
	if t == nil || t.lane == nil {
		return false
	}
	t.c.server.atWork.rise(t.lane)
	t.lane = nil
	return true
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
