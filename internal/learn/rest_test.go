package learn

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/pace"
)

// The learner rests long, as nobody waits for it; but not while somebody does.
func TestRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Learner{todo: make(chan lesson, 1), hurry: make(chan struct{}, 1)}
		rest := func() time.Duration {
			began := time.Now()
			l.rest(t.Context(), time.Hour)
			return time.Since(began)
		}
		if took := rest(); took != time.Hour {
			t.Errorf("a rest of an hour took %v", took)
		}
		settled := make(chan error, 1)
		time.AfterFunc(time.Minute, func() { settled <- l.Settle(t.Context()) })
		if took := rest(); took != time.Minute {
			t.Errorf("a rest that somebody ended after a minute took %v", took)
		}
		if took := rest(); took != 0 {
			t.Errorf("a rest while somebody waits took %v", took)
		}
		close((<-l.todo).done)
		if err := <-settled; err != nil {
			t.Error(err)
		}
		if took := rest(); took != time.Hour {
			t.Errorf("a rest after that took %v", took)
		}
	})
}

func TestRestAfter(t *testing.T) {
	if short, long := restAfter(time.Millisecond), restAfter(time.Minute); short != 49*time.Millisecond || long != 5*time.Second {
		t.Errorf("rests of %v and %v, want 49 ms and 5 s", short, long)
	}
}

// A message that the learner has taken up is learnt, though the server stops in the
// pause before it.
func TestStopInPause(t *testing.T) {
	w := newWorld(t)
	w.end()
	uid := w.deliver(ann, "INBOX", results, letter(1))
	w.move(ann, "INBOX", "Junk", uid)
	ctx, stop := context.WithCancel(t.Context())
	err := w.learner.Run(pace.With(ctx, func(ctx context.Context) error { stop(); return ctx.Err() }))
	if err != nil {
		t.Error(err)
	}
	st, err := w.learner.Status(t.Context(), ann)
	if err != nil || st.Spam != 1 {
		t.Errorf("%d spam learnt, want 1: %v", st.Spam, err)
	}
}
