package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"plic/internal/store"
)

// follower keeps a view as a session does: from snapshot to snapshot by Diff.
type follower struct {
	m    *store.Mailbox
	snap *store.Snapshot
	view map[store.UID]store.ModSeq
}

func (f *follower) follow(ctx context.Context) error {
	next, err := f.m.Snapshot(ctx)
	if err != nil {
		return err
	}
	if f.snap == nil {
		f.view = map[store.UID]store.ModSeq{}
		f.snap = &store.Snapshot{}
	}
	if next.HighestModSeq() < f.snap.HighestModSeq() || next.UIDNext() < f.snap.UIDNext() {
		return fmt.Errorf("HIGHESTMODSEQ or UIDNEXT fell")
	}
	if err := f.apply(store.Diff(f.snap, next), next); err != nil {
		return err
	}
	f.snap = next
	return nil
}

// apply changes the view as a client would and compares it with the truth.
func (f *follower) apply(c store.Changes, next *store.Snapshot) error {
	for _, uid := range c.Expunged {
		if _, ok := f.view[uid]; !ok {
			return fmt.Errorf("UID %d expunged, but not known", uid)
		}
		delete(f.view, uid)
	}
	for _, e := range c.Flagged {
		if f.view[e.UID] >= e.ModSeq {
			return fmt.Errorf("UID %d: MODSEQ %d after %d", e.UID, e.ModSeq, f.view[e.UID])
		}
		f.view[e.UID] = e.ModSeq
	}
	if len(f.view) != c.Added {
		return fmt.Errorf("%d messages known, but additions begin at %d", len(f.view), c.Added)
	}
	for _, e := range next.Range(c.Added, next.Len()) {
		if e.UID < f.snap.UIDNext() {
			return fmt.Errorf("UID %d is new, below the old UIDNEXT %d", e.UID, f.snap.UIDNext())
		}
		f.view[e.UID] = e.ModSeq
	}
	if len(f.view) != next.Len() {
		return fmt.Errorf("%d messages known of %d", len(f.view), next.Len())
	}
	for _, e := range next.All() {
		if f.view[e.UID] != e.ModSeq {
			return fmt.Errorf("UID %d: MODSEQ %d known, is %d", e.UID, f.view[e.UID], e.ModSeq)
		}
	}
	return nil
}

// testConcurrent has twenty users change one mailbox in all ways while others
// follow it.
func testConcurrent(t *testing.T, s *site) {
	const users, rounds = 20, 30
	inbox, other := s.mailbox("ann", "INBOX"), s.mailbox("ann", "Archive")
	s.fill(inbox, 600)
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	var followers, workers sync.WaitGroup
	for range 3 {
		followers.Go(func() {
			f := follower{m: inbox}
			notice, stop := inbox.Watch()
			defer stop()
			for {
				if err := f.follow(s.ctx); err != nil {
					t.Error(err)
					return
				}
				select {
				case <-notice:
					continue
				default:
				}
				select {
				case <-notice:
				case <-ctx.Done():
					// All notices were given: who has none has seen all.
					if now, err := inbox.Snapshot(s.ctx); len(notice) == 0 && (err != nil || now != f.snap) {
						t.Errorf("a notice was lost: at MODSEQ %d of %d, %v", f.snap.HighestModSeq(), now.HighestModSeq(), err)
					}
					return
				}
			}
		})
	}
	for user := range users {
		workers.Go(func() {
			w := worker{site: s, inbox: inbox, other: other, random: rand.New(rand.NewPCG(1, uint64(user))), name: fmt.Sprint("user", user)}
			for range rounds {
				if err := w.step(); err != nil {
					t.Errorf("%s: %v", w.name, err)
					return
				}
			}
		})
	}
	workers.Wait()
	cancel()
	followers.Wait()
	s.recount(inbox)
	s.recount(other)
	before := s.dump()
	s.restart()
	equal(t, "after a restart", s.dump(), before)
}

// worker is one of many users; its keyword is its own, so that it knows which
// messages must have it.
type worker struct {
	*site
	inbox, other *store.Mailbox
	random       *rand.Rand
	name         string
	marked       []store.UID
}

func (w *worker) some() []store.UID {
	snap, err := w.inbox.Snapshot(w.ctx)
	if err != nil || snap.Len() == 0 {
		return nil
	}
	from := w.random.IntN(snap.Len())
	var uids []store.UID
	for _, e := range snap.Range(from, from+1+w.random.IntN(8)) {
		uids = append(uids, e.UID)
	}
	return uids
}

func (w *worker) step() error {
	switch w.random.IntN(9) {
	case 0, 1, 2:
		d, err := w.NewDraft(w.ctx)
		if err != nil {
			return err
		}
		fmt.Fprint(d, text(w.name))
		placed, err := w.inbox.Append(w.ctx, store.Incoming{Draft: d})
		if err != nil {
			return err
		}
		return w.mustSee(placed[0].UID)
	case 3:
		_, _, err := w.inbox.SetFlags(w.ctx, w.some(), store.FlagsAdd, store.Flags{System: store.Deleted | store.Seen}, store.MaxModSeq)
		return err
	case 4, 5:
		return w.mark()
	case 6:
		_, err := w.inbox.Expunge(w.ctx, w.some(), w.random.IntN(2) == 0)
		return err
	case 7:
		src, dst, err := w.inbox.Copy(w.ctx, w.some(), w.other)
		if err == nil && len(src) != len(dst) {
			err = errors.New("sources and copies differ in number")
		}
		return err
	default:
		src, _, err := w.inbox.Move(w.ctx, w.some(), w.other)
		if err != nil {
			return err
		}
		snap, err := w.inbox.Snapshot(w.ctx)
		if err != nil {
			return err
		}
		for _, uid := range src {
			if _, ok := snap.Get(uid); ok {
				return fmt.Errorf("UID %d is still there after a move", uid)
			}
		}
		return nil
	}
}

// mustSee checks that who makes a change sees it at once.
func (w *worker) mustSee(uid store.UID) error {
	snap, err := w.inbox.Snapshot(w.ctx)
	if err != nil {
		return err
	}
	if uid >= snap.UIDNext() {
		return fmt.Errorf("UID %d is not visible after its commit", uid)
	}
	return nil
}

// mark sets the worker's keyword and checks that nobody has taken it away.
func (w *worker) mark() error {
	changed, _, err := w.inbox.SetFlags(w.ctx, w.some(), store.FlagsAdd, store.Flags{Keywords: []string{w.name}}, store.MaxModSeq)
	if err != nil {
		return err
	}
	for _, e := range changed {
		w.marked = append(w.marked, e.UID)
	}
	snap, err := w.inbox.Snapshot(w.ctx)
	if err != nil {
		return err
	}
	for _, uid := range w.marked {
		e, ok := snap.Get(uid)
		if !ok {
			continue
		}
		found := false
		for _, k := range snap.Flags(e).Keywords {
			found = found || k == w.name
		}
		if !found {
			return fmt.Errorf("UID %d has lost its flag", uid)
		}
	}
	return nil
}

// testConcurrentAccounts has many deliver to many accounts at once, each commit
// to several, while accounts are made and removed and hardly any is kept open.
func testConcurrentAccounts(t *testing.T, s *site) {
	s.o.IdleAccounts, s.o.IndexBytes = 2, 10<<10
	s.restart()
	const users, rounds = 8, 15
	var workers sync.WaitGroup
	for user := range users {
		workers.Go(func() {
			random := rand.New(rand.NewPCG(2, uint64(user)))
			for round := range rounds {
				if err := s.spread(random); err != nil {
					t.Error(err)
				}
				if round%5 == 4 {
					if err := s.RemoveAccount(s.ctx, fmt.Sprint("t", random.IntN(3))); err != nil && !errors.Is(err, store.ErrNoAccount) {
						t.Error(err)
					}
				}
			}
		})
	}
	workers.Wait()
	total := 0
	for i := range 6 {
		m := s.mailbox(fmt.Sprint("a", i), "INBOX")
		s.recount(m)
		total += s.snapshot(m).Len()
	}
	equal(t, "messages", total, users*rounds*3)
	before := s.dump()
	s.restart()
	equal(t, "after a restart", s.dump(), before)
}

// spread delivers one message to three accounts that stay, and one to an
// account that may be removed meanwhile.
func (s *site) spread(random *rand.Rand) error {
	d, err := s.NewDraft(s.ctx)
	if err != nil {
		return err
	}
	defer d.Discard()
	fmt.Fprint(d, text("spread"))
	tx := s.Begin()
	var last *store.Mailbox
	for _, i := range random.Perm(6)[:3] {
		a, err := s.Store.Account(s.ctx, fmt.Sprint("a", i))
		if err != nil {
			return err
		}
		m, err := a.Mailbox("INBOX")
		if err != nil {
			return err
		}
		if random.IntN(2) == 0 {
			if _, err := m.Snapshot(s.ctx); err != nil {
				return err
			}
		}
		tx.Deliver(m, store.Incoming{Draft: d})
		last = m
	}
	placed, err := tx.Commit(s.ctx)
	if err != nil {
		return err
	}
	snap, err := last.Snapshot(s.ctx)
	if err != nil {
		return err
	}
	delivered, _ := snap.Get(placed[len(placed)-1].UID)
	a, err := s.Store.Account(s.ctx, fmt.Sprint("t", random.IntN(3)))
	if err != nil {
		return err
	}
	m, err := a.Mailbox("INBOX")
	if err == nil {
		_, err = m.Append(s.ctx, store.Incoming{Body: delivered.Body})
	}
	if errors.Is(err, store.ErrGone) || errors.Is(err, store.ErrNoMailbox) {
		return nil // removed meanwhile
	}
	return err
}
