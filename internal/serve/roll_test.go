package serve

import (
	"context"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Sessions are listed while they are open, and end when they are told to: those
// that do not in the grace time are cut off, others go on.
func TestRoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var roll Roll
		l := newListener()
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan string, 3)
		who := make(chan string, 3)
		admit := func(net.Conn) Session {
			return func(ctx, work context.Context) {
				me := <-who
				LoggedIn(context.WithValue(work, t, 1), me) // a context of a command, made of the session's
				if me == "stubborn" {
					<-work.Done()
				} else {
					<-ctx.Done()
				}
				ended <- me
			}
		}
		done := make(chan error)
		go func() { done <- Run(ctx, l, Options{Name: "imap", Grace: time.Second, Roll: &roll}, admit) }()
		for _, name := range []string{"ann", "stubborn", "bob"} {
			l.feed <- conn()
			synctest.Wait()
			who <- name
			synctest.Wait()
			time.Sleep(time.Second)
		}
		names := func() (out []string) {
			for _, o := range roll.List() {
				out = append(out, o.Account)
			}
			return out
		}
		if got := names(); !slices.Equal(got, []string{"ann", "stubborn", "bob"}) {
			t.Errorf("open: %q", got)
		}
		begun := time.Now()
		if n := roll.End(func(o Open) bool { return o.Account != "bob" && o.Service == "imap" }); n != 2 {
			t.Errorf("%d end", n)
		}
		if got := <-ended; got != "ann" || time.Since(begun) != 0 {
			t.Errorf("%s ended first, after %s", got, time.Since(begun))
		}
		if got := <-ended; got != "stubborn" || time.Since(begun) != time.Second {
			t.Errorf("then %s, after %s", got, time.Since(begun))
		}
		synctest.Wait()
		if got := names(); !slices.Equal(got, []string{"bob"}) {
			t.Errorf("left: %q", got)
		}
		stop()
		if err := <-done; err != nil || len(names()) != 0 {
			t.Errorf("%v; %q are left", err, names())
		}
	})
}

// A session leaves the roll however it ends.
func TestRollAfterPanic(t *testing.T) {
	t.Parallel()
	var roll Roll
	defer func() {
		if v := recover(); v != "x" || len(roll.List()) != 0 {
			t.Errorf("%v; %v are left", v, roll.List())
		}
	}()
	roll.run(t.Context(), t.Context(), conn(), Options{Name: "imap", Now: time.Now}, func(context.Context, context.Context) {
		if len(roll.List()) != 1 {
			t.Error("it is not in the roll")
		}
		panic("x")
	})
}
