package store

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// An account whose mail is in files (engine.Files) is changed by other programs
// too. What they did is found whenever it is looked at, and as it happens while
// somebody watches, and made a commit like any other, with MODSEQs and notices.
// Of many new messages the summaries are made later, see backlog.

// syncBatch is how many messages one commit takes over.
const syncBatch = 16384

// Sync takes over what other programs have done to the mailbox's files. A
// Snapshot does so by itself; what Info tells is as of the last time.
func (m *Mailbox) Sync(ctx context.Context) error {
	if !m.account.kept {
		return nil
	}
	for {
		more, err := m.sync(ctx)
		if err != nil {
			return fmt.Errorf("look at the files of %s: %w", m.Name(), err)
		}
		if !more {
			return nil
		}
	}
}

// sync makes one commit of what is found; more says that there is more.
func (m *Mailbox) sync(ctx context.Context) (more bool, err error) {
	a := m.account
	st := m.visible.Load()
	if st.gone {
		return false, nil // who uses it will be told
	}
	d, err := a.store.files.Look(ctx, a.id, &st.rec, syncBatch)
	if err != nil {
		return false, err
	}
	if d == nil {
		return false, m.upToDate(ctx)
	}
	sums := a.store.few(ctx, d.Add) // nothing is locked
	c, err := a.store.lock(a)
	if err != nil {
		return false, err
	}
	defer c.unlock()
	c.found, c.exempt = true, true
	if m.head.gone {
		return false, nil
	}
	if err := c.claim(ctx, m); err != nil && !errors.As(err, new(*staleError)) {
		return false, err
	}
	if d, err = a.store.files.Look(ctx, a.id, &m.head.rec, syncBatch); err != nil {
		return false, err
	}
	if d == nil {
		c.unlock()
		return false, m.upToDate(ctx)
	}
	if d.UIDValidity != 0 {
		c.letGo() // who makes the mailbox anew holds it
		p := c.plan(a)
		if err := p.renew(m, d.UIDValidity); err != nil {
			return false, err
		}
		if err := p.done(); err != nil {
			return false, err
		}
		return false, c.finish()
	}
	e, err := m.found(ctx, c, d, sums)
	if err != nil || e == nil {
		return d.More && err == nil, err
	}
	return d.More, c.finish()
}

// upToDate waits until all that was taken over is durable and visible: another may
// have found it a moment ago.
func (m *Mailbox) upToDate(ctx context.Context) error {
	a := m.account
	a.mu.Lock()
	st, last := m.head, a.last
	a.mu.Unlock()
	if m.visible.Load().seq >= st.seq {
		return nil
	}
	if err := last.wait(ctx); err != nil {
		return err
	}
	m.publish(st)
	return nil
}

// found puts what was found into a commit; nil if that is nothing. Messages without
// summary are analysed later.
func (m *Mailbox) found(ctx context.Context, c *commit, d *engine.Difference, sums map[mail.ID][]byte) (e *edit, err error) {
	st, err := m.loaded(ctx)
	if err != nil {
		return nil, err
	}
	if e, err = c.edit(m); err != nil {
		return nil, err
	}
	used := func() (engine.Flags, error) { return st.snap.used(), nil }
	for _, uid := range d.Gone {
		if msg, ok := st.snap.Get(uid); ok {
			e.expunge(msg)
		}
	}
	for i := range d.Update {
		f := &d.Update[i]
		if msg, ok := st.snap.Get(f.UID); ok {
			if next := e.foundFlags(f.System, f.Keywords, used); next != msg.Flags {
				e.flag(&msg, next)
			}
		}
	}
	saved := m.account.store.o.Now().Unix()
	for i := range d.Add {
		f := &d.Add[i]
		sum, ok := sums[f.Body]
		if !ok {
			sum = noSummary
		}
		if f.UID == 0 {
			e.next.rec.UIDNext = max(e.next.rec.UIDNext, d.UIDNext)
		}
		e.next.rec.UIDNext = max(e.next.rec.UIDNext, f.UID)
		msg := engine.Message{
			Entry:  Entry{Flags: e.foundFlags(f.System, f.Keywords, used), Size: f.Size, Internal: f.Internal, Saved: saved, Body: f.Body},
			Detail: engine.Detail{Summary: sum},
		}
		if _, err := e.add(msg); err != nil {
			return nil, err
		}
	}
	c.arrival = len(e.change.Add) > 0
	e.next.rec.UIDNext = max(e.next.rec.UIDNext, d.UIDNext)
	if e.modSeq == 0 && e.next.rec.UIDNext == m.head.rec.UIDNext {
		return nil, nil
	}
	return e, nil
}

// foundFlags numbers the keywords that fit; the others are left out.
func (e *edit) foundFlags(system engine.Flags, keywords []string, used func() (engine.Flags, error)) engine.Flags {
	out := system & SystemFlags
	for _, k := range keywords {
		if n, err := e.number(k, out, used); err == nil {
			out |= KeywordBit(n)
		}
	}
	return out
}

// staleError says that UIDs were given in a mailbox by another program.
type staleError struct{ m *Mailbox }

func (e *staleError) Error() string {
	return fmt.Sprintf("mailbox %s is being changed by other programs all the time", e.m.Name())
}

// claim keeps other programs from giving UIDs in a mailbox that gets some in this
// commit, until its end. If they have given some, it is a staleError.
func (c *commit) claim(ctx context.Context, m *Mailbox) error {
	if !m.account.kept || c.held[m] != nil {
		return nil
	}
	release, stale, err := c.s.files.Hold(ctx, m.account.id, m.head.rec.ID)
	if err != nil || release == nil {
		return err
	}
	if c.held == nil {
		c.held = map[*Mailbox]func(){}
	}
	c.held[m] = release
	if stale {
		return &staleError{m}
	}
	return nil
}

// letGo ends what claim has begun.
func (c *commit) letGo() {
	for _, release := range c.held {
		release()
	}
	c.held = nil
}

// freshly makes a change, again after each Sync that it turns out to need.
func (s *Store) freshly(ctx context.Context, change func() error) error {
	const tries = 10
	for try := 1; ; try++ {
		err := change()
		var stale *staleError
		if !errors.As(err, &stale) || try == tries {
			return err
		}
		if err := stale.m.Sync(ctx); err != nil {
			return err
		}
	}
}

// Kept says that the account's mail is in files.
func (a *Account) Kept() bool { return a.kept }

// Sync takes over which mailboxes other programs have made or removed, and what
// they have subscribed to. Opening an account does so by itself.
func (a *Account) Sync(ctx context.Context) error {
	if !a.kept {
		return nil
	}
	d, err := a.store.files.LookTree(ctx, a.id)
	if err != nil || d == nil {
		return err
	}
	c, err := a.store.lock(a)
	if err != nil {
		return err
	}
	defer c.unlock()
	c.found, c.exempt = true, true
	if d, err = a.store.files.LookTree(ctx, a.id); err != nil || d == nil {
		return err
	}
	p := c.plan(a)
	if err := p.found(d); err != nil {
		return fmt.Errorf("look at the folders of %s: %w", a.name, err)
	}
	if len(c.edits) == 0 {
		return nil
	}
	if err := p.done(); err != nil {
		return err
	}
	return c.finish()
}

// found makes the tree what the folders are. Names that can be none are left
// out.
func (p *plan) found(d *engine.TreeDifference) error {
	for _, name := range d.Gone {
		if p.real(name) && name != Inbox {
			if err := p.delete(name); err != nil {
				return err
			}
		}
	}
	for _, f := range d.New {
		if clean, err := CleanName(f.Name); err != nil || clean != f.Name || len(p.nodes) >= p.a.store.o.MaxMailboxes {
			p.a.store.o.Log.Warn("a folder cannot be a mailbox", "account", p.a.name, "folder", f.Name)
			continue
		}
		if err := p.appear(f); err != nil {
			return err
		}
	}
	for _, f := range d.Renew {
		if m := p.tree().get(f.Name); m != nil && p.real(f.Name) {
			if err := p.renew(m, f.UIDValidity); err != nil {
				return err
			}
		}
	}
	for on, names := range map[bool][]string{true: d.Subscribe, false: d.Unsubscribe} {
		for _, name := range names {
			if clean, err := CleanName(name); err != nil || clean != name {
				continue
			}
			if err := p.subscribe(name, on); err != nil && !errors.Is(err, ErrLimit) {
				return err
			}
		}
	}
	return nil
}

// appear makes a mailbox of a folder. Names above it need not be mailboxes.
func (p *plan) appear(f engine.FoundMailbox) error {
	for _, above := range parents(f.Name) {
		if p.tree().get(above) == nil {
			p.make(engine.Mailbox{Name: above, NoSelect: true})
		}
	}
	m := p.tree().get(f.Name)
	if m == nil {
		return p.inherit(p.make(engine.Mailbox{Name: f.Name, UIDValidity: f.UIDValidity}))
	}
	if p.real(f.Name) {
		return nil
	}
	subscribed := p.record(m).Subscribed
	e, err := p.c.edit(m)
	if err != nil {
		return err
	}
	p.free(f.Name, m.head.rec.UIDValidity)
	e.remove()
	p.drop(f.Name)
	return p.inherit(p.make(engine.Mailbox{Name: f.Name, Subscribed: subscribed, UIDValidity: f.UIDValidity}))
}

// renew begins a mailbox anew, since its UIDs do not mean any more what they
// did.
func (p *plan) renew(m *Mailbox, uidValidity uint32) error {
	rec := p.record(m)
	next := engine.Mailbox{Name: rec.Name, SpecialUse: rec.SpecialUse, Subscribed: rec.Subscribed, UIDValidity: uidValidity}
	e, err := p.c.edit(m)
	if err != nil {
		return err
	}
	p.free(next.Name, m.head.rec.UIDValidity)
	e.remove()
	p.drop(next.Name)
	return p.inherit(p.make(next))
}

// attend has changes of a mailbox by other programs told to who watches it.
func (a *Account) attend(m *Mailbox) {
	if a.kept {
		a.store.files.Attend(a.store.ending, a.id, m.visible.Load().rec.ID)
	}
}

// attendAll is attend for all mailboxes, and which there are.
func (a *Account) attendAll() {
	if !a.kept {
		return
	}
	a.store.background.Go(func() {
		a.store.files.Attend(a.store.ending, a.id, 0)
		for _, n := range a.visible.Load().nodes {
			if a.store.ending.Err() == nil {
				a.attend(n.box)
			}
		}
	})
}

// filesChanged is told that other programs have changed something. Who watches
// is told when it is taken over; for others the next look is early enough.
func (s *Store) filesChanged(account string, id engine.MailboxID) {
	s.mu.Lock()
	a := s.accounts[account].Value()
	s.mu.Unlock()
	if a == nil {
		return
	}
	if id == 0 {
		if a.watch.watched() {
			s.syncSoon(&a.syncing, account, a.Sync)
		}
		return
	}
	for _, n := range a.visible.Load().nodes {
		if m := n.box; m.visible.Load().rec.ID == id && (m.watch.watched() || a.watch.watched()) {
			s.syncSoon(&m.syncing, account, m.Sync)
			return
		}
	}
}

// pause waits; false if the store is closed meanwhile.
func (s *Store) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.ending.Done():
		return false
	}
}

// syncSoon runs a sync in the background, and once more if it is asked for
// meanwhile.
func (s *Store) syncSoon(state *atomic.Int32, account string, run func(context.Context) error) {
	const idle, running, again = 0, 1, 2
	for !state.CompareAndSwap(idle, running) {
		if state.CompareAndSwap(running, again) || state.Load() == again {
			return
		}
	}
	s.background.Go(func() {
		for tries := 0; ; {
			if err := run(s.ending); err != nil && s.ending.Err() == nil {
				s.o.Log.Warn("what other programs changed was not taken over", "account", account, "error", err)
				if tries++; tries < 10 && s.pause(time.Second) { // others may have locked it
					continue
				}
			}
			if state.CompareAndSwap(running, idle) || s.ending.Err() != nil {
				return
			}
			state.Store(running)
		}
	})
}
