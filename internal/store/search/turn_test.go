package search

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/pace"
	"plic/internal/store"
)

// Who asks for an index to be made anew can end it while another mailbox is at work
// that makes no way; else it has its turn at the next step of the background, which
// goes on after it.
func TestRebuildBesideBackground(t *testing.T) {
	for _, asked := range []string{"Other", "INBOX"} {
		t.Run(asked, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { rebuildBeside(t, asked) }) })
	}
}

func rebuildBeside(t *testing.T, asked string) {
	const many = 3 * batchDocs
	h := newHouse(t)
	a := h.box.Account()
	if err := a.Create(t.Context(), "Other", ""); err != nil {
		t.Fatal(err)
	}
	box := func(name string) *store.Mailbox {
		mb, err := a.Mailbox(name)
		if err != nil {
			t.Fatal(err)
		}
		return mb
	}
	for name, n := range map[string]int{"INBOX": many, "Other": 3} {
		h.box = box(name)
		for i := range n {
			h.put(fmt.Sprintf("Subject: s%d\r\n\r\nbody\r\n", i))
		}
	}
	x := New(Options{Wait: -1, Least: 10})
	known := func(name string) int {
		st, err := x.Status(t.Context(), box(name))
		if err != nil {
			t.Fatal(err)
		}
		return st.Indexed
	}

	ctx, end := context.WithCancel(t.Context())
	deaf, slow := make(chan struct{}), make(chan struct{})
	over := make(chan struct{})
	go func() {
		defer close(over)
		x.Run(pace.With(ctx, func(ctx context.Context) error {
			<-deaf
			select {
			case <-slow:
			case <-ctx.Done():
			}
			return ctx.Err()
		}))
	}()
	defer func() { end(); <-over }()
	x.Changed(box("INBOX"))
	synctest.Wait() // in a step

	began := time.Now()
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := x.Rebuild(short, box(asked)); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
		t.Errorf("one that is ended gives %v after %v", err, time.Since(began))
	}
	close(deaf)
	synctest.Wait() // in a step again, of another try
	if err := x.Rebuild(t.Context(), box(asked)); err != nil {
		t.Fatal(err)
	}
	if got, want := known(asked), int(box(asked).Info().Messages); got != want || time.Since(began) != time.Second {
		t.Errorf("made anew with %d of %d messages after %v", got, want, time.Since(began))
	}
	if asked != "INBOX" && known("INBOX") != 0 {
		t.Error("the background did not make way")
	}
	synctest.Wait()
	short, cancel = context.WithCancel(t.Context())
	err := x.Rebuild(pace.With(short, func(ctx context.Context) error { cancel(); return ctx.Err() }), box("INBOX"))
	if !errors.Is(err, context.Canceled) || known("INBOX") != 0 {
		t.Errorf("one that is ended at work gives %v", err)
	}
	close(slow)
	time.Sleep(time.Minute)
	synctest.Wait()
	if got := known("INBOX"); got != many {
		t.Errorf("the background went on with %d of %d messages", got, many)
	}
}

// However often the background makes way, it takes up each message once.
func TestBackgroundGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages, ways = 3 * batchDocs, 20
		h := newHouse(t)
		if err := h.box.Account().Create(t.Context(), "Other", ""); err != nil {
			t.Fatal(err)
		}
		other, err := h.box.Account().Mailbox("Other")
		if err != nil {
			t.Fatal(err)
		}
		for i := range messages {
			h.put(fmt.Sprintf("Subject: s%d\r\n\r\nbody\r\n", i))
		}
		x := New(Options{Wait: -1})
		steps := 0
		ctx, end := context.WithCancel(t.Context())
		over := make(chan struct{})
		go func() {
			defer close(over)
			x.Run(pace.With(ctx, func(ctx context.Context) error {
				if steps++; steps%10 == 0 && steps <= 10*ways { // another writes
					go func() {
						if err := x.Rebuild(t.Context(), other); err != nil {
							t.Error(err)
						}
					}()
					<-ctx.Done()
				}
				return ctx.Err()
			}))
		}()
		x.Changed(h.box)
		time.Sleep(time.Minute)
		synctest.Wait()
		end()
		<-over
		if steps > messages+3*ways {
			t.Errorf("%d steps for %d messages", steps, messages)
		}
		if n := h.check(x, "s", Subject); n != messages {
			t.Errorf("the index knows %d of %d messages", n, messages)
		}
	})
}
