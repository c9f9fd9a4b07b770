package store_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/store/memory"
)

// damaged is an engine some of whose records have suffered.
type damaged struct {
	*memory.Engine
	summary func(engine.UID, *engine.Detail) error
	entry   engine.UID // lost from the index
	refuse  int        // the batch, counted from 1, that there is no room for
}

func (d *damaged) Details(ctx context.Context, a engine.AccountID, m engine.MailboxID, uids []engine.UID) iter.Seq2[engine.Detailed, error] {
	return func(yield func(engine.Detailed, error) bool) {
		for x, err := range d.Engine.Details(ctx, a, m, uids) {
			if err == nil && d.summary != nil {
				err = d.summary(x.UID, &x.Detail)
			}
			if err == errLeftOut {
				continue
			}
			if !yield(x, err) {
				return
			}
		}
	}
}

func (d *damaged) Entries(ctx context.Context, a engine.AccountID, m engine.MailboxID, from engine.UID) iter.Seq2[engine.Entry, error] {
	return func(yield func(engine.Entry, error) bool) {
		for e, err := range d.Engine.Entries(ctx, a, m, from) {
			if e.UID == d.entry && d.entry != 0 {
				e, err = engine.Entry{}, engine.ErrDamaged
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

func (d *damaged) Marks(ctx context.Context, a engine.AccountID, m engine.MailboxID) iter.Seq2[[]engine.Entry, error] {
	return func(yield func([]engine.Entry, error) bool) {
		for e, err := range d.Entries(ctx, a, m, 0) {
			if !yield([]engine.Entry{{UID: e.UID, ModSeq: e.ModSeq, Flags: e.Flags}}, err) {
				return
			}
		}
	}
}

func (d *damaged) Apply(b *engine.Batch) (engine.Ticket, error) {
	if d.refuse--; d.refuse == 0 {
		return nil, engine.ErrFull
	}
	return d.Engine.Apply(b)
}

// errLeftOut: as an engine does that has set a damaged record aside.
var errLeftOut = errors.New("left out")

func newDamaged(t *testing.T) (*damaged, *world) {
	e := memory.New(time.Now)
	d := &damaged{Engine: e}
	return d, &world{t, e, store.New(store.Options{Engine: d})}
}

// TestDamagedSummary: what is lost of a summary comes from the body.
func TestDamagedSummary(t *testing.T) {
	t.Parallel()
	for name, harm := range map[string]func(*engine.Detail) error{
		"another version": func(d *engine.Detail) error { d.Summary[0] = 200; return nil },
		"cut":             func(d *engine.Detail) error { d.Summary = d.Summary[:len(d.Summary)/2]; return nil },
		"empty":           func(d *engine.Detail) error { d.Summary = nil; return nil },
		"left out":        func(*engine.Detail) error { return errLeftOut },
		"checksum":        func(d *engine.Detail) error { *d = engine.Detail{}; return engine.ErrDamaged },
	} {
		t.Run(name, func(t *testing.T) {
			d, w := newDamaged(t)
			m, other := w.mailbox("ann", "INBOX"), w.mailbox("ann", "Archive")
			for range 4 {
				w.append(m)
			}
			d.summary = func(uid engine.UID, x *engine.Detail) error {
				if uid == 2 {
					return harm(x)
				}
				return nil
			}
			look := func(m *store.Mailbox) {
				t.Helper()
				n := 0
				for x, err := range m.Details(t.Context(), []store.UID{1, 2, 3}) {
					n++
					if err != nil || !strings.Contains(string(x.AppendEnvelope(nil)), `"x"`) || !strings.HasPrefix(string(x.BodyStructure), `("text"`) {
						t.Errorf("UID %d: %s, %v", x.UID, x.AppendEnvelope(nil), err)
					}
				}
				w.want("details", n, 3)
				snap, err := m.Snapshot(t.Context())
				w.ok(err)
				msg, err := m.Open(t.Context(), snap.At(1))
				w.ok(err)
				w.want("size", msg.Size(), snap.At(1).Size)
				w.ok(msg.Close())
			}
			look(m)
			gone, err := m.Expunge(t.Context(), []store.UID{4}, false)
			w.ok(err)
			w.want("gone", len(gone), 1)
			for x := range m.Details(t.Context(), []store.UID{4, 99}) {
				t.Errorf("details of UID %d, which is not there", x.UID)
			}
			if _, _, err := m.Copy(t.Context(), []store.UID{1, 2, 3}, other); err != nil {
				t.Fatal(err)
			}
			d.summary = nil
			look(other)
		})
	}
}

// TestDamagedEntry: a message lost from the index is left out, the others are
// served, and the counters are set right.
func TestDamagedEntry(t *testing.T) {
	t.Parallel()
	d, w := newDamaged(t)
	m := w.mailbox("ann", "INBOX")
	for range 5 {
		w.append(m)
	}
	d.entry = 3
	o, err := m.Outline(t.Context())
	w.ok(err)
	w.want("outline", o.Len(), 5)
	w.want("messages", w.length(m), 4)
	w.want("what was told is wrong", o.Wrong(), true)
	if o, err = m.Outline(t.Context()); err != nil || o.Len() != 4 || o.Wrong() {
		t.Errorf("outline of %d messages, wrong: %v (%v)", o.Len(), o.Wrong(), err)
	}
	w.want("counter", m.Info().Messages, uint32(4))
	w.want("unseen", m.Info().Unseen, uint32(4))
	w.append(m)
	w.want("messages", w.length(m), 5)
	_, boxes, err := w.e.Account(t.Context(), "ann")
	w.ok(err)
	for _, rec := range boxes {
		if rec.Name == "INBOX" {
			w.want("kept", rec.Messages, uint32(5))
		}
	}
}

// TestCopyIsUndone: when the second of several commits is refused, Copy leaves
// nothing, RFC 9051 section 6.4.7, and Move says how far it came.
func TestCopyIsUndone(t *testing.T) {
	t.Parallel()
	const n = 9000
	d, w := newDamaged(t)
	m, other := w.mailbox("ann", "INBOX"), w.mailbox("ann", "Archive")
	draft := w.draft("Subject: x\r\n\r\nx\r\n")
	in := make([]store.Incoming, n)
	uids := make([]store.UID, n)
	for i := range in {
		in[i].Draft, uids[i] = draft, store.UID(i+1)
	}
	_, err := m.Append(t.Context(), in...)
	w.ok(err)
	d.refuse = 2
	src, dst, err := m.Copy(t.Context(), uids, other)
	if !errors.Is(err, engine.ErrFull) || len(src)+len(dst) > 0 {
		t.Fatalf("copied %d, %v", len(src), err)
	}
	w.want("left", w.length(other), 0)
	d.refuse = 2
	src, dst, err = m.Move(t.Context(), uids, other)
	if !errors.Is(err, engine.ErrFull) || len(src) == 0 || len(src) != len(dst) {
		t.Fatalf("moved %d, %v", len(src), err)
	}
	w.want("moved", w.length(other), len(src))
	w.want("left", w.length(m), n-len(src))
}
