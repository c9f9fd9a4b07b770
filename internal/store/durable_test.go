package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/mail"
	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/store/memory"
)

// world is a store over an engine in memory that can hold back durability.
type world struct {
	t *testing.T
	e *memory.Engine
	s *store.Store
}

func newWorld(t *testing.T) *world {
	e := memory.New(time.Now)
	return &world{t, e, store.New(store.Options{Engine: e})}
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) mailbox(account, name string) *store.Mailbox {
	w.t.Helper()
	a, err := w.s.Account(w.t.Context(), account)
	w.ok(err)
	m, err := a.Mailbox(name)
	w.ok(err)
	return m
}

func (w *world) draft(text string) *store.Draft {
	w.t.Helper()
	d, err := w.s.NewDraft(w.t.Context())
	w.ok(err)
	_, err = io.WriteString(d, text)
	w.ok(err)
	return d
}

func (w *world) append(m *store.Mailbox) {
	w.t.Helper()
	_, err := m.Append(w.t.Context(), store.Incoming{Draft: w.draft("Subject: x\r\n\r\nx\r\n")})
	w.ok(err)
}

func (w *world) length(m *store.Mailbox) int {
	w.t.Helper()
	snap, err := m.Snapshot(w.t.Context())
	w.ok(err)
	return snap.Len()
}

func (w *world) want(what string, got, want any) {
	w.t.Helper()
	if got != want {
		w.t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

// TestNothingVisibleBeforeDurable holds every kind of change back.
func TestNothingVisibleBeforeDurable(t *testing.T) {
	t.Parallel()
	changes := map[string]func(ctx context.Context, w *world, m, other *store.Mailbox) error{
		"append": func(ctx context.Context, w *world, m, _ *store.Mailbox) error {
			_, err := m.Append(ctx, store.Incoming{Draft: w.draft("x")})
			return err
		},
		"flags": func(ctx context.Context, _ *world, m, _ *store.Mailbox) error {
			_, _, err := m.SetFlags(ctx, []store.UID{1}, store.FlagsAdd, store.Flags{System: store.Seen}, store.MaxModSeq)
			return err
		},
		"expunge": func(ctx context.Context, _ *world, m, _ *store.Mailbox) error {
			_, err := m.Expunge(ctx, []store.UID{1}, false)
			return err
		},
		"move": func(ctx context.Context, _ *world, m, other *store.Mailbox) error {
			_, _, err := m.Move(ctx, []store.UID{1}, other)
			return err
		},
		"create": func(ctx context.Context, _ *world, m, _ *store.Mailbox) error {
			return m.Account().Create(ctx, "made", "")
		},
		"delete": func(ctx context.Context, _ *world, m, _ *store.Mailbox) error {
			return m.Account().Delete(ctx, "Drafts")
		},
		"rename": func(ctx context.Context, _ *world, m, _ *store.Mailbox) error {
			return m.Account().Rename(ctx, "Drafts", "made")
		},
		"subscribe": func(ctx context.Context, _ *world, m, _ *store.Mailbox) error {
			return m.Account().Subscribe(ctx, "Drafts", false)
		},
		"note": func(ctx context.Context, w *world, m, _ *store.Mailbox) error {
			tx := w.s.Begin()
			tx.PutNote(m.Notes(), "x", []byte("x"))
			tx.Deliver(m, store.Incoming{Draft: w.draft("x")})
			_, err := tx.Commit(ctx)
			return err
		},
		"rights": func(ctx context.Context, _ *world, m, _ *store.Mailbox) error {
			return m.ChangeACL(ctx, func(l store.ACL) store.ACL { return l.With(store.Grant{Who: "bob", Rights: store.MayRead}) })
		},
		"remove": func(ctx context.Context, w *world, m, _ *store.Mailbox) error {
			return w.s.RemoveAccount(ctx, m.Account().Name())
		},
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				m, other := w.mailbox("ann", "INBOX"), w.mailbox("ann", "Archive")
				w.append(m)
				before, err := m.Snapshot(t.Context())
				w.ok(err)
				infos := infoText(m)
				notice, stop := m.Account().Watch()
				defer stop()

				w.e.Hold()
				done := make(chan error, 1)
				go func() { done <- change(context.Background(), w, m, other) }()
				synctest.Wait()
				w.want("pending", w.e.Pending(), 1)
				w.want("returned", len(done), 0)
				w.want("notices", len(notice), 0)
				w.want("mailboxes", infoText(m), infos)
				now, err := m.Snapshot(t.Context())
				w.ok(err)
				w.want("snapshot", now, before)
				for x, err := range m.Expunged(t.Context(), 0) {
					t.Errorf("expunged %v, %v", x, err)
				}

				w.e.Release()
				w.ok(<-done)
				w.want("notices", len(notice), 1)
				if infoText(m) == infos && !m.Gone() {
					t.Error("nothing has changed")
				}
			})
		})
	}
}

func infoText(m *store.Mailbox) string {
	var b strings.Builder
	for _, i := range m.Account().Mailboxes() {
		b.WriteString(i.Name)
		b.WriteString(strings.Join([]string{"", time.Unix(int64(i.HighestModSeq), int64(i.Messages)).String(), time.Unix(int64(i.UIDValidity), 0).String()}, " "))
		if i.Subscribed {
			b.WriteString(" subscribed")
		}
		fmt.Fprint(&b, i.ACL)
		b.WriteByte('\n')
	}
	return b.String()
}

// TestPipelined: a commit does not wait for the one before to be applied, and
// each becomes visible when it is durable.
func TestPipelined(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.mailbox("ann", "INBOX")
		w.append(m)
		w.want("before", w.length(m), 1)
		w.e.Hold()
		for i := range 3 {
			go w.append(m)
			synctest.Wait()
			w.want("pending", w.e.Pending(), i+1)
		}
		for i := range 3 {
			w.want("visible", w.length(m), 1+i)
			w.want("info", int(m.Info().Messages), 1+i)
			w.e.ReleaseOne()
			synctest.Wait()
		}
		w.want("after", w.length(m), 4)
	})
}

// TestSameChangeWaits: who asks for what another is just doing is told only when
// it is durable.
func TestSameChangeWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.mailbox("ann", "INBOX")
		w.append(m)
		w.append(m)
		w.e.Hold()
		done := make(chan error, 4)
		for range 2 {
			go func() { _, err := m.Expunge(context.Background(), []store.UID{1}, false); done <- err }()
			go func() {
				_, _, err := m.SetFlags(context.Background(), []store.UID{2}, store.FlagsAdd, store.Flags{System: store.Seen}, store.MaxModSeq)
				done <- err
			}()
		}
		synctest.Wait()
		w.want("pending", w.e.Pending(), 2)
		w.want("told", len(done), 0)
		w.e.Release()
		for range 4 {
			w.ok(<-done)
		}
	})
}

// TestLeavingIsNoDamage reads details of messages that an expunge, or the removal of
// their mailbox, is about to take: they are told as they were, and no damage is
// logged.
func TestLeavingIsNoDamage(t *testing.T) {
	t.Parallel()
	for what, take := range map[string]func(context.Context, *store.Mailbox) error{
		"expunge": func(ctx context.Context, m *store.Mailbox) error {
			_, err := m.Expunge(ctx, []store.UID{1}, false)
			return err
		},
		"delete": func(ctx context.Context, m *store.Mailbox) error { return m.Account().Delete(ctx, m.Name()) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var said strings.Builder
				e := memory.New(time.Now)
				w := &world{t, e, store.New(store.Options{Engine: e, Log: slog.New(slog.NewTextHandler(&said, nil))})}
				m := w.mailbox("ann", "Archive")
				w.append(m)
				w.append(m)
				w.want("before", w.length(m), 2)
				_, _, err := m.Copy(t.Context(), []store.UID{1}, w.mailbox("ann", "INBOX")) // which keeps the body
				w.ok(err)
				w.e.Hold()
				done := make(chan error, 1)
				go func() { done <- take(context.Background(), m) }()
				synctest.Wait()
				for d, err := range m.Details(t.Context(), []store.UID{1}) {
					w.ok(err)
					w.want("subject", strings.Contains(string(d.AppendEnvelope(nil)), `"x"`), true)
				}
				w.want("log", said.String(), "")
				w.e.Release()
				w.ok(<-done)
				synctest.Wait()
			})
		})
	}
}

// TestLoadWaits: an index that is read while something in it is not durable is
// not shown before it is.
func TestLoadWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.mailbox("ann", "INBOX")
		w.append(m)
		w.e.Hold()
		go w.append(m)
		synctest.Wait()
		got := make(chan int, 1)
		go func() { got <- w.length(m) }()
		synctest.Wait()
		w.want("shown", len(got), 0)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := m.Snapshot(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		w.e.Release()
		w.want("length", <-got, 2)
		synctest.Wait()
	})
}

// TestFailStop: after a failed sync nothing more becomes visible or is taken,
// and what was visible can be read.
func TestFailStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		m := w.mailbox("ann", "INBOX")
		other := w.mailbox("ann", "Archive")
		w.append(m)
		w.want("before", w.length(m), 1)
		w.e.Hold()
		failed := make(chan error, 3)
		d := w.draft("y")
		go func() {
			_, err := m.Append(context.Background(), store.Incoming{Draft: d})
			failed <- err
		}()
		go func() { _, _, err := m.Move(context.Background(), []store.UID{1}, other); failed <- err }()
		go func() { _, err := w.s.Account(context.Background(), "bob"); failed <- err }()
		synctest.Wait()
		w.want("pending", w.e.Pending(), 3)
		w.e.Fail()
		for range 3 {
			if err := <-failed; !errors.Is(err, engine.ErrFailed) {
				t.Errorf("commit: %v, want ErrFailed", err)
			}
		}
		w.want("length", w.length(m), 1)
		w.want("next UID", m.Info().UIDNext, store.UID(2))
		w.want("other", other.Info().Messages, uint32(0))
		if _, err := other.Snapshot(t.Context()); !errors.Is(err, engine.ErrFailed) {
			t.Errorf("an index that may hold what is not durable: %v", err)
		}
		_, err := m.Append(t.Context(), store.Incoming{Body: mail.ID{1}})
		if err == nil {
			t.Error("append after the failure")
		}
		if _, err := m.Expunge(t.Context(), []store.UID{1}, false); !errors.Is(err, engine.ErrFailed) {
			t.Errorf("expunge of what a failed commit has moved: %v", err)
		}
		for _, name := range []string{"bob", "carol"} {
			if _, err := w.s.Account(t.Context(), name); !errors.Is(err, engine.ErrFailed) {
				t.Errorf("open %s: %v, want ErrFailed", name, err)
			}
		}
		if err := w.s.Room(1); !errors.Is(err, engine.ErrFailed) {
			t.Errorf("room: %v, want ErrFailed", err)
		}
		if _, err := w.s.NewDraft(t.Context()); !errors.Is(err, engine.ErrFailed) {
			t.Errorf("draft: %v, want ErrFailed", err)
		}
	})
}

// TestFull: a full disk refuses a change and nothing else happens; with room
// again all goes on.
func TestFull(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.mailbox("ann", "INBOX")
	w.append(m)
	w.want("before", w.length(m), 1)
	d := w.draft("Subject: y\r\n\r\ny\r\n")
	w.e.Refuse(engine.ErrFull)
	_, err := m.Append(t.Context(), store.Incoming{Draft: d})
	if !errors.Is(err, engine.ErrFull) {
		t.Errorf("append: %v, want ErrFull", err)
	}
	if err := m.Account().Create(t.Context(), "x", ""); !errors.Is(err, engine.ErrFull) {
		t.Errorf("create: %v, want ErrFull", err)
	}
	if from, err := m.TakeRecent(t.Context()); from != 1 || err != nil {
		t.Errorf("recent: %d, %v", from, err)
	}
	if from, err := m.TakeRecent(t.Context()); from != 2 || err != nil {
		t.Errorf("recent again: %d, %v", from, err)
	}
	w.want("length", w.length(m), 1)
	w.e.Refuse(nil)
	placed, err := m.Append(t.Context(), store.Incoming{Draft: d})
	w.ok(err)
	w.want("next UID", placed[0].UID, store.UID(2))
	w.want("length", w.length(m), 2)
	w.ok(m.Account().Create(t.Context(), "x", ""))
}
