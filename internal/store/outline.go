package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"plic/internal/store/engine"
)

// unread is the chunks of a snapshot that are read when they are first asked
// for: a mailbox can be selected by its counters. Who changes the mailbox has
// them read before, so that they are always those of the moment at which the
// outline was made.
type unread struct {
	m *Mailbox

	mu     sync.Mutex
	done   atomic.Bool
	chunks []*chunk // once done
	starts []int
	found  *Snapshot // with counters as they were found; nil if they are the record's
}

// outlineOf is a snapshot of which nothing was read yet. The account is locked,
// so what the engine shows is the head.
func outlineOf(m *Mailbox, rec *engine.Mailbox) *Snapshot {
	return &Snapshot{
		n: int(rec.Messages), unseen: int(rec.Unseen), deleted: int(rec.Deleted), unread: &unread{m: m},
		uidValidity: rec.UIDValidity, uidNext: rec.UIDNext, modSeq: rec.HighestModSeq, keywords: rec.Keywords,
	}
}

// whole says that all was read.
func (s *Snapshot) whole() bool { return s.unread == nil || s.unread.done.Load() }

// Wrong says that the counters of a damaged mailbox were not those of its
// messages: what was told of them cannot be put right.
func (s *Snapshot) Wrong() bool {
	return s.unread != nil && s.unread.done.Load() && s.unread.found != nil
}

// list gives the chunks and where each begins.
func (s *Snapshot) list() ([]*chunk, []int) {
	o := s.unread
	if o == nil {
		return s.chunks, s.starts
	}
	if err := s.read(context.Background()); err != nil {
		o.m.account.store.o.Log.Error("the index of a mailbox cannot be read", "account", o.m.account.name, "mailbox", o.m.Name(), "error", err)
		return nil, nil
	}
	return o.chunks, o.starts
}

// read reads what is not there yet.
func (s *Snapshot) read(ctx context.Context) error {
	o := s.unread
	if o == nil || o.done.Load() {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done.Load() {
		return nil
	}
	m := o.m
	rec := m.visible.Load().rec
	var b builder
	g := &loading{m: m}
	for list, err := range m.account.store.engine.Marks(ctx, m.account.id, rec.ID) {
		if errors.Is(err, engine.ErrDamaged) {
			m.account.store.o.Log.Error("damaged index record", "account", m.account.name, "mailbox", rec.Name, "error", err)
			continue
		}
		if err != nil {
			return fmt.Errorf("read the index of %s: %w", rec.Name, err)
		}
		b.marks(list, g)
	}
	got := b.snapshot(&engine.Mailbox{UIDValidity: s.uidValidity, UIDNext: s.uidNext, HighestModSeq: s.modSeq, Keywords: s.keywords})
	o.chunks, o.starts = got.chunks, got.starts
	if got.n != s.n || got.unseen != s.unseen || got.deleted != s.deleted {
		o.found = got
	}
	o.done.Store(true)
	return nil
}

func changesMessages(c *engine.MailboxChange) bool {
	return len(c.Add)+len(c.Update)+len(c.Expunge) > 0
}

// readBefore reads, before the messages of a mailbox are changed, what of it has
// not been read. Who removes an account need not: its sessions end.
func (e *edit) readBefore() error {
	snap := e.m.head.snap
	if snap == nil || !e.change.Remove && !changesMessages(&e.change) {
		return nil
	}
	return snap.read(context.Background())
}

// after is the snapshot after a change. One that changes no message needs none
// to be read.
func (s *Snapshot) after(rec *engine.Mailbox, c *engine.MailboxChange) *Snapshot {
	if changesMessages(c) {
		return s.with(rec, c)
	}
	next := *s
	next.uidValidity, next.uidNext, next.modSeq, next.keywords = rec.UIDValidity, rec.UIDNext, rec.HighestModSeq, rec.Keywords
	return &next
}

// Outline is Snapshot, but reads what it tells of single messages only when it
// is first asked for that.
func (m *Mailbox) Outline(ctx context.Context) (*Snapshot, error) { return m.snapshot(ctx, false) }

// Snapshot is the mailbox as it is on stable storage now.
func (m *Mailbox) Snapshot(ctx context.Context) (*Snapshot, error) { return m.snapshot(ctx, true) }

func (m *Mailbox) snapshot(ctx context.Context, whole bool) (*Snapshot, error) {
	if err := m.Sync(ctx); err != nil {
		return nil, err
	}
	st := m.visible.Load()
	if st.gone {
		return nil, m.errGone()
	}
	m.account.store.indexes.touch(m)
	m.analyseSoon()
	if st.snap != nil && (!whole || st.snap.whole()) && !st.snap.Wrong() {
		return st.snap, nil
	}
	a := m.account
	a.mu.Lock()
	load := m.outlined
	if whole {
		load = m.loaded
	}
	st, err := load(ctx)
	last := a.last
	a.mu.Unlock()
	if err != nil {
		return nil, err
	}
	// What was read may be newer than what is durable.
	if err := last.wait(ctx); err != nil {
		return nil, fmt.Errorf("mailbox %s: %w", st.rec.Name, err)
	}
	m.publish(st)
	m.analyseSoon()
	a.store.indexes.trim()
	if now := m.visible.Load(); now.snap != nil && (!whole || now.snap.whole()) && !now.snap.Wrong() {
		st = now
	}
	return st.snap, nil
}

// outlined is the head with at least an outline of its index. The account is
// locked.
func (m *Mailbox) outlined(ctx context.Context) (*state, error) {
	head := m.head
	if head.gone || m.account.gone {
		return nil, m.errGone()
	}
	if head.snap != nil {
		return head, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if m.account.kept {
		from, err := m.leftFrom(ctx)
		if err != nil {
			return nil, err
		}
		m.pending.Store(from != 0)
	}
	next := *head
	next.snap = outlineOf(m, &head.rec)
	m.head = &next
	m.account.store.indexes.add(m, next.snap.bytes())
	return m.head, nil
}

// loaded is the head with its index. The account is locked.
func (m *Mailbox) loaded(ctx context.Context) (*state, error) {
	head, err := m.outlined(ctx)
	if err != nil {
		return nil, err
	}
	if err := head.snap.read(ctx); err != nil {
		return nil, err
	}
	if head.snap.Wrong() {
		next := *head
		next.snap = head.snap.unread.found
		m.recount(&next)
		m.head = &next
	}
	return m.head, nil
}
