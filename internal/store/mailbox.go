package store

import (
	"context"
	"fmt"
	"sync/atomic"
	"weak"

	"plic/internal/store/engine"
)

// Mailbox is one mailbox of an account, shared by all that use it. It follows
// the mailbox through renames; after its removal methods return ErrGone.
type Mailbox struct {
	account  *Account
	objectID string
	self     weak.Pointer[Mailbox]
	visible  atomic.Pointer[state] // what is on stable storage
	used     atomic.Uint64         // when the index was last asked for, see indexes
	watch    hub
	syncing  atomic.Int32  // see syncSoon
	pending  atomic.Bool   // messages are still to be analysed, as far as is known; see backlog
	queued   atomic.Bool   // in the backlog
	failures failures      // of who works the backlog off
	floor    atomic.Uint32 // UIDs below it are for messages of elsewhere, see Adopt

	head *state // with all that was applied; under the account's lock
}

// state is a mailbox at one moment; it is immutable.
type state struct {
	seq  uint64 // of the commit that made it, in the account
	rec  engine.Mailbox
	acl  ACL
	snap *Snapshot // nil if the index is not in memory
	gone bool
}

func newMailbox(a *Account, rec engine.Mailbox) *Mailbox {
	m := &Mailbox{account: a, head: &state{rec: rec}}
	m.objectID = fmt.Sprintf("%x-%x", uint64(a.id), uint32(rec.ID))
	m.self = weak.Make(m)
	m.visible.Store(m.head)
	return m
}

// publish makes a state visible unless a newer one is.
func (m *Mailbox) publish(next *state) {
	for {
		cur := m.visible.Load()
		if cur.seq > next.seq || cur.seq == next.seq && (cur.snap != nil && !cur.snap.Wrong() || next.snap == nil) {
			return
		}
		if m.visible.CompareAndSwap(cur, next) {
			return
		}
	}
}

// Account is the account that the mailbox is in.
func (m *Mailbox) Account() *Account { return m.account }

// Name is the mailbox's name now.
func (m *Mailbox) Name() string { return m.visible.Load().rec.Name }

// Gone says that the mailbox was removed.
func (m *Mailbox) Gone() bool { return m.visible.Load().gone }

// Info is what is known without the index. HasChildren and NonExistent are only
// in what Account.Mailboxes and Account.Info give.
func (m *Mailbox) Info() Info { return m.visible.Load().info(m.objectID) }

func (st *state) info(id string) Info {
	r := &st.rec
	if r.NoSelect {
		id = ""
	}
	return Info{
		Name: r.Name, SpecialUse: r.SpecialUse, Subscribed: r.Subscribed, NoSelect: r.NoSelect,
		Messages: r.Messages, Unseen: r.Unseen, Deleted: r.Deleted, Bytes: r.Bytes,
		ACL: st.acl, ObjectID: id, UIDNext: r.UIDNext, UIDValidity: r.UIDValidity, HighestModSeq: r.HighestModSeq,
	}
}

// Watch gives a channel that has a notice after each change of the mailbox that
// became visible since the last one was taken; stop ends that. Watch first,
// then take a Snapshot, and no change is missed.
func (m *Mailbox) Watch() (c <-chan struct{}, stop func()) {
	c, stop = m.watch.watch()
	m.account.attend(m)
	return c, stop
}

func (m *Mailbox) errGone() error {
	return fmt.Errorf("mailbox %s: %w", m.visible.Load().rec.Name, ErrGone)
}

// recount makes the counters those of the index, if damage has made them
// differ; they are kept with the next commit.
func (m *Mailbox) recount(st *state) {
	r, s := &st.rec, st.snap
	if int(r.Messages) == s.n && int(r.Unseen) == s.unseen && int(r.Deleted) == s.deleted {
		return
	}
	m.account.store.o.Log.Error("counters of a mailbox were wrong", "account", m.account.name, "mailbox", r.Name,
		"messages", r.Messages, "found", s.n)
	before := usageOf(r)
	r.Messages, r.Unseen, r.Deleted, r.Bytes = uint32(s.n), uint32(s.unseen), uint32(s.deleted), 0
	for _, e := range s.All() {
		r.Bytes += e.Size
	}
	more := usageOf(r)
	more.add(before.negative())
	m.account.used.add(more)
	if p := m.account.pool.Load(); p != nil {
		p.add(more)
	}
}

// TakeRecent is ClaimRecent for all messages there are.
func (m *Mailbox) TakeRecent(ctx context.Context) (from UID, err error) {
	return m.ClaimRecent(ctx, m.visible.Load().rec.UIDNext)
}

// ClaimRecent takes the messages below upTo, the UIDNext of a snapshot, that no
// session was told of as \Recent before: those from the UID that it gives. No
// message is given to two. RFC 3501 section 2.3.2.
func (m *Mailbox) ClaimRecent(ctx context.Context, upTo UID) (from UID, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	c, err := m.account.store.lock(m.account)
	if err != nil {
		return 0, err
	}
	defer c.unlock()
	e, err := c.edit(m)
	if err != nil {
		return 0, err
	}
	rec := &e.next.rec
	from, upTo = rec.RecentFrom, min(upTo, rec.UIDNext)
	if from >= upTo {
		return from, nil
	}
	rec.RecentFrom = upTo
	p, err := c.apply()
	if err != nil { // no room: reading goes on, and the next change keeps it
		next := *m.head
		next.rec.RecentFrom = upTo
		m.head = &next
		return from, nil
	}
	// The caller need not wait until it is durable.
	m.account.store.background.Go(func() { p.publish() })
	return from, nil
}
