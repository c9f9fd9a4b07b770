package post

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"plic/internal/mail"
	"plic/internal/queue"
)

// stock puts n items into the store and gives their ids.
func (o *office) stock(n int) (ids []mail.ID) {
	o.t.Helper()
	for range n {
		env := envelope("x@there.test", "eve@there.test")
		env.Origin.Account = ""
		env.Origin.Service = "local"
		if _, err := o.post(env, letter); err != nil {
			o.t.Fatal(err)
		}
	}
	for item, err := range o.Items(o.t.Context()) {
		if err != nil {
			o.t.Fatal(err)
		}
		ids = append(ids, item.ID)
	}
	return ids
}

func (o *office) gone(ids []mail.ID) bool {
	for _, id := range ids {
		if _, err := o.Item(o.t.Context(), id); !errors.Is(err, queue.ErrNotFound) {
			return false
		}
	}
	return true
}

// Items that are done go with the commit of another message, with each other,
// or alone; when the commit of the other fails they go all the same.
func TestItemsLeaveTogether(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ids := o.stock(40)
	if len(ids) != 40 {
		t.Fatalf("%d items", len(ids))
	}
	// Alone.
	if err := o.Settle(t.Context(), queue.Settlement{Drop: ids[:1]}); err != nil || !o.gone(ids[:1]) {
		t.Fatalf("alone: %v", err)
	}
	// Together, and with messages that come in.
	var wg sync.WaitGroup
	for _, id := range ids[1:30] {
		wg.Go(func() {
			if err := o.Settle(t.Context(), queue.Settlement{Drop: []mail.ID{id}}); err != nil || !o.gone([]mail.ID{id}) {
				t.Errorf("together: %v", err)
			}
		})
	}
	for range 5 {
		if _, err := o.post(envelope("x@there.test", "ann@here.test"), letter); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	if !o.gone(ids[:30]) || o.gone(ids[30:31]) {
		t.Error("other items went than those that were done")
	}
	// Those that wait with a message that cannot be committed.
	own, _ := o.riders.add(ids[30:31])
	full := envelope("x@there.test", "ann@here.test")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	draft, err := o.Begin(t.Context(), full)
	if err != nil {
		t.Fatal(err)
	}
	defer draft.Abort()
	if _, err := draft.Write([]byte(letter)); err != nil {
		t.Fatal(err)
	}
	if _, err := draft.Commit(ctx, full, nil); err == nil {
		t.Fatal("a commit without time")
	}
	select {
	case ok := <-own.done:
		if ok {
			t.Error("it was said to be dropped")
		}
	case <-time.After(10 * time.Second):
		o.riders.take() // the commit did not come so far
	}
	if o.gone(ids[30:31]) {
		t.Error("dropped without a commit")
	}
}

// Where messages come slowly an item that is done waits longer for the next one, but
// not where none is to be expected.
func TestPatience(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	for _, c := range []struct{ every, since, want time.Duration }{
		{time.Millisecond, 0, patience},
		{10 * time.Millisecond, 0, 30 * time.Millisecond},
		{40 * time.Millisecond, 0, longest},
		{10 * time.Millisecond, time.Second, patience},
		{time.Second, 0, patience},
		{-time.Second, 0, patience}, // the clock was set back
	} {
		var r riders
		for range 40 {
			r.along(now)
			now = now.Add(c.every)
		}
		got := r.patience(r.last.Add(c.since))
		if diff := got - c.want; diff < -time.Millisecond || diff > time.Millisecond {
			t.Errorf("%v apart, %v later: %v, want %v", c.every, c.since, got, c.want)
		}
	}
}
