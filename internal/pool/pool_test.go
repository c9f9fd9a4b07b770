package pool

import (
	"context"
	"errors"
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// conn is a connection that counts its questions.
type conn struct{ asked, closed int }

func (c *conn) Close() error { c.closed++; return nil }

var errLost, errSaid = errors.New("lost"), errors.New("said")

func make1(o Options[*conn]) (*Pool[*conn], *[]*conn) {
	var made []*conn
	o.Dial = func(context.Context) (*conn, error) {
		made = append(made, &conn{})
		return made[len(made)-1], nil
	}
	o.Lost = func(err error) bool { return errors.Is(err, errLost) }
	return New(o), &made
}

func fine(c *conn) error { c.asked++; return nil }

// A connection serves again after an answer, also after one that says no.
func TestServesAgain(t *testing.T) {
	p, made := make1(Options[*conn]{})
	for _, err := range []error{nil, errSaid, nil} {
		if got := p.Do(t.Context(), func(c *conn) error { c.asked++; return err }); got != err {
			t.Errorf("got %v, not %v", got, err)
		}
	}
	if len(*made) != 1 || (*made)[0].asked != 3 {
		t.Errorf("%d connections, the first was asked %d times", len(*made), (*made)[0].asked)
	}
	p.Close()
	if (*made)[0].closed != 1 {
		t.Error("an idle connection outlives its pool")
	}
}

// What ended while it was idle is no failure; what ends with its first question is.
func TestLost(t *testing.T) {
	p, made := make1(Options[*conn]{})
	if err := p.Do(t.Context(), fine); err != nil {
		t.Fatal(err)
	}
	first := (*made)[0]
	if err := p.Do(t.Context(), func(c *conn) error {
		if c == first {
			return errLost
		}
		return nil
	}); err != nil || len(*made) != 2 || first.closed != 1 {
		t.Errorf("%v, %d connections, %d times closed", err, len(*made), first.closed)
	}
	asked := 0
	if err := p.Do(t.Context(), func(*conn) error { asked++; return errLost }); err != errLost || asked != 2 {
		t.Errorf("%v after %d questions", err, asked)
	}
	ctx, cancel := context.WithCancel(t.Context())
	p.Do(ctx, fine)
	asked = 0
	if err := p.Do(ctx, func(*conn) error { asked++; cancel(); return errLost }); err != errLost || asked != 1 {
		t.Errorf("%v after %d questions, though nobody waits any more", err, asked)
	}
}

// Bounds: of connections in use, of those that are kept, and of their time.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, made := make1(Options[*conn]{Most: 2, Keep: 1, IdleFor: time.Minute, Age: 90 * time.Second})
		release := make(chan struct{})
		wait := func(*conn) error { <-release; return nil }
		for range 2 {
			go p.Do(t.Context(), wait)
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := p.Do(ctx, fine); !errors.Is(err, ErrBusy) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a third at the same time: %v", err)
		}
		close(release)
		synctest.Wait()
		if closed := (*made)[0].closed + (*made)[1].closed; closed != 1 {
			t.Errorf("%d of two were not kept", closed)
		}
		for _, pause := range []time.Duration{50 * time.Second, 50 * time.Second, 61 * time.Second} {
			time.Sleep(pause)
			p.Do(t.Context(), fine)
		}
		// 50 s: the kept one; 100 s: too old; 61 s of rest: too long.
		if len(*made) != 4 {
			t.Errorf("%d connections, not 4", len(*made))
		}
	})
}

// A question that takes too long is cut short, and its connection not used again.
func TestWithin(t *testing.T) {
	here, there := net.Pipe()
	defer there.Close()
	l := &Line{Conn: here}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Within(ctx, func() error {
		_, err := l.Read(make([]byte, 1))
		return err
	}); err == nil {
		t.Error("read something")
	}
	if err := l.Within(ctx, func() error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a line whose deadline is past serves again: %v", err)
	}
}
