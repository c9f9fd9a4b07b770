package store

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"testing"
	"time"

	"plic/internal/store/engine"
	"plic/internal/store/memory"
)

// TestNewMailboxIsBare: nobody reads what annotations a mailbox has that was just
// made, and those that it gets are found.
func TestNewMailboxIsBare(t *testing.T) {
	t.Parallel()
	asked := &asks{Engine: memory.New(time.Now)}
	s := New(Options{Engine: asked})
	a := testMailbox(t, s, "ann", "INBOX").account
	if err := a.Create(t.Context(), "Work", ""); err != nil {
		t.Fatal(err)
	}
	m := testMailbox(t, s, "ann", "Work")
	notes, prefix := a.Annotations(m, "/shared/comment")
	key := prefix + "/shared/comment"
	if _, err := notes.Get(t.Context(), key); !errors.Is(err, engine.ErrNotFound) {
		t.Fatal(err)
	}
	if n := asked.notes.Load(); n != 0 {
		t.Errorf("the engine was asked %d times", n)
	}
	if err := notes.Put(t.Context(), key, []byte("mine")); err != nil {
		t.Fatal(err)
	}
	if value, err := notes.Get(t.Context(), key); err != nil || string(value) != "mine" {
		t.Errorf("%q (%v)", value, err)
	}
	if err := a.Delete(t.Context(), "Work"); err != nil {
		t.Fatal(err)
	}
	if _, known := a.bare[m.head.rec.ID]; known {
		t.Error("a mailbox that is gone is remembered")
	}
}

// asks counts who asks for notes.
type asks struct {
	engine.Engine
	notes atomic.Int64
}

func (a *asks) Note(ctx context.Context, account engine.AccountID, mailbox engine.MailboxID, key string) ([]byte, error) {
	if mailbox != 0 {
		a.notes.Add(1)
	}
	return a.Engine.Note(ctx, account, mailbox, key)
}

func (a *asks) Notes(ctx context.Context, account engine.AccountID, mailbox engine.MailboxID, prefix string) iter.Seq2[engine.Note, error] {
	if mailbox != 0 {
		a.notes.Add(1)
	}
	return a.Engine.Notes(ctx, account, mailbox, prefix)
}
