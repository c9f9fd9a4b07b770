package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"plic/internal/store/engine"
)

// commit is one change in the making, over one or more accounts, which it holds
// locked. It is built, applied, unlocked, and waited for.
type commit struct {
	s        *Store
	accounts []*Account
	locked   bool
	batch    engine.Batch
	edits    []*edit
	trees    []treeEdit
	exempt   bool // from quotas
	arrival  bool // of mail, by no user
	found    bool // other programs have made the change already
	quiet    bool // nobody sees a difference
	held     map[*Mailbox]func()
}

// edit is what a commit does to one mailbox.
type edit struct {
	m      *Mailbox
	next   *state
	change engine.MailboxChange
	modSeq ModSeq // of what this commit changes; 0 until it changes a message
	later  UID    // the first message added that is still to be analysed; 0 for none
	made   bool   // there was no such mailbox before
	filled bool   // the index is made of what this commit adds
}

// treeEdit is what a commit does to an account: its record and its mailboxes.
type treeEdit struct {
	a     *Account
	rec   engine.Account
	next  *tree
	freed freed
}

// lock begins a commit. Accounts are locked in the order of their IDs, so that
// no two commits wait for each other. Who begins one defers its unlock.
func (s *Store) lock(accounts ...*Account) (*commit, error) {
	if len(accounts) > 1 {
		slices.SortFunc(accounts, func(a, b *Account) int { return cmp.Compare(a.id, b.id) })
		accounts = slices.Compact(accounts)
	}
	c := &commit{s: s, accounts: accounts, locked: true}
	for _, a := range accounts {
		a.mu.Lock()
	}
	for _, a := range accounts {
		err := ErrGone
		if a.moved.Load() {
			err = ErrMoved
		}
		if a.gone || err == ErrMoved {
			c.unlock()
			return nil, fmt.Errorf("account %s: %w", a.name, err)
		}
	}
	return c, nil
}

// unlock may be called more than once.
func (c *commit) unlock() {
	if !c.locked {
		return
	}
	c.locked = false
	c.letGo()
	for _, a := range c.accounts {
		a.mu.Unlock()
	}
}

// edit begins to change a mailbox, or goes on with it.
func (c *commit) edit(m *Mailbox) (*edit, error) {
	for _, e := range c.edits {
		if e.m == m {
			return e, nil
		}
	}
	if m.head.gone {
		return nil, fmt.Errorf("mailbox %s: %w", m.head.rec.Name, ErrGone)
	}
	e := &edit{m: m, next: &state{rec: m.head.rec, acl: m.head.acl}}
	e.change.Account = m.account.id
	c.edits = append(c.edits, e)
	return e, nil
}

// touch gives the MODSEQ of this commit in the mailbox: one for all that it
// changes there, RFC 7162 section 3.1.
func (e *edit) touch() ModSeq {
	if e.modSeq == 0 {
		e.next.rec.HighestModSeq++
		e.modSeq = e.next.rec.HighestModSeq
	}
	return e.modSeq
}

func (e *edit) count(f engine.Flags, by int) {
	rec := &e.next.rec
	if f&Seen == 0 {
		rec.Unseen = uint32(int64(rec.Unseen) + int64(by))
	}
	if f&Deleted != 0 {
		rec.Deleted = uint32(int64(rec.Deleted) + int64(by))
	}
}

// add gives a message its UID and MODSEQ.
func (e *edit) add(msg engine.Message) (Placed, error) {
	rec := &e.next.rec
	if rec.NoSelect {
		return Placed{}, fmt.Errorf("mailbox %s: %w", rec.Name, ErrNoSelect)
	}
	if rec.UIDNext == math.MaxUint32 {
		return Placed{}, fmt.Errorf("mailbox %s has given its last UID: %w", rec.Name, engine.ErrFull)
	}
	msg.UID, msg.ModSeq = rec.UIDNext, e.touch()
	rec.UIDNext++
	rec.Messages++
	rec.Bytes += msg.Size
	e.count(msg.Flags, 1)
	if e.later == 0 && pending(msg.Summary) {
		e.later = msg.UID
	}
	e.change.Add = append(e.change.Add, msg)
	return Placed{Mailbox: rec.Name, UIDValidity: rec.UIDValidity, UID: msg.UID}, nil
}

// flag gives a message new flags.
func (e *edit) flag(msg *Entry, f engine.Flags) {
	e.count(msg.Flags, -1)
	e.count(f, 1)
	msg.Flags, msg.ModSeq = f, e.touch()
	e.change.Update = append(e.change.Update, *msg)
}

// expunge takes a message out; the engine remembers that it was there.
func (e *edit) expunge(msg Entry) {
	rec := &e.next.rec
	e.change.ExpungedAt = e.touch()
	e.change.Expunge = append(e.change.Expunge, msg.UID)
	e.change.Gone = append(e.change.Gone, msg.Body)
	rec.Messages--
	rec.Bytes -= msg.Size
	e.count(msg.Flags, -1)
}

// remove takes the whole mailbox away.
func (e *edit) remove() {
	e.next.gone = true
	e.change.Remove = true
}

// empty says that there is nothing to apply.
func (c *commit) empty() bool {
	b := &c.batch
	return len(c.edits)+len(b.Accounts)+len(b.PutNotes)+len(b.PutItems)+len(b.DropItems)+len(b.Forget) == 0
}

// apply hands the changes to the engine; then they are the head, and visible
// once they are on stable storage. After an error nothing was changed.
func (c *commit) apply() (*applied, error) {
	c.batch.Mailboxes = make([]engine.MailboxChange, len(c.edits))
	for i, e := range c.edits {
		if err := e.readBefore(); err != nil {
			return nil, err
		}
		e.boundExpunged()
		if err := c.remember(e); err != nil {
			return nil, err
		}
		e.change.Record = e.next.rec
		e.change.Found = c.found
		c.batch.Mailboxes[i] = e.change
		if e.next.gone && len(e.m.head.acl) > 0 {
			c.batch.PutNotes = append(c.batch.PutNotes, engine.Note{Account: e.m.account.id, Key: aclKey(e.next.rec.ID)})
		}
	}
	keep, give, err := c.charge()
	if err != nil {
		return nil, err
	}
	ticket, err := c.s.engine.Apply(&c.batch)
	if err != nil {
		give()
		c.s.stopped(err)
		return nil, err
	}
	keep()
	f := &fate{done: make(chan struct{})}
	for _, a := range c.accounts {
		a.seq++
		a.last = f
	}
	for _, e := range c.edits {
		e.next.seq = e.m.account.seq
		e.index()
		e.m.head = e.next
	}
	c.stayBare()
	for _, t := range c.trees {
		t.next.seq = t.a.seq
		t.a.tree, t.a.rec = t.next, t.rec
		t.a.remember(t.freed)
	}
	return &applied{c, ticket, f}, nil
}

// fillLeast is how many messages an empty mailbox gets at once whose index is kept:
// who files so many together mostly looks at them next.
const fillLeast = 64

// index makes the index of the mailbox with the change, if the one before is in
// memory, or if the change brings all that there is.
func (e *edit) index() {
	head, all := e.m.head, &e.m.account.store.indexes
	e.filled = head.snap == nil && head.rec.UIDNext == 1 && len(e.change.Add) >= fillLeast && !e.m.account.kept
	switch {
	case e.next.gone:
	case e.filled:
		e.next.snap = new(Snapshot).with(&e.next.rec, &e.change)
		all.add(e.m, e.next.snap.bytes())
	case head.snap != nil:
		e.next.snap = head.snap.after(&e.next.rec, &e.change)
		all.grow(len(e.change.Add))
	}
}

// applied is a commit on its way to stable storage. Who applied it publishes
// it, whatever happens: others may wait for its fate.
type applied struct {
	c      *commit
	ticket engine.Ticket
	fate   *fate
}

// fate is what becomes of a commit.
type fate struct {
	done chan struct{}
	err  error // set before done is closed
}

// wait returns when the commit is durable, or never will be.
func (f *fate) wait(ctx context.Context) error {
	if f == nil {
		return nil
	}
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// kept says that the commit is durable already.
func (f *fate) kept() bool {
	if f == nil {
		return true
	}
	select {
	case <-f.done:
		return f.err == nil
	default:
		return false
	}
}

// publish waits until the commit is durable, makes it visible and tells the
// watchers. The accounts are not locked any more.
func (p *applied) publish() error {
	p.fate.err = p.ticket.Wait()
	close(p.fate.done)
	if err := p.fate.err; err != nil {
		if !errors.Is(err, engine.ErrFailed) {
			err = fmt.Errorf("%w: %w", engine.ErrFailed, err)
		}
		p.c.s.stopped(err)
		return err
	}
	for _, e := range p.c.edits {
		e.m.publish(e.next)
	}
	for _, t := range p.c.trees {
		t.a.publish(t.next)
	}
	if slices.ContainsFunc(p.c.edits, func(e *edit) bool { return e.filled }) {
		p.c.s.indexes.trim()
	}
	if p.c.quiet {
		return nil
	}
	for _, e := range p.c.edits {
		e.m.watch.signal()
		if changed := p.c.s.o.Changed; changed != nil && !e.next.gone && len(e.change.Add)+len(e.change.Expunge) > 0 {
			changed(e.m)
		}
		if touched := p.c.s.o.Touched; touched != nil && !p.c.arrival && !p.c.found && !e.next.gone && len(e.change.Add)+len(e.change.Update) > 0 {
			touched(e.m, &e.change)
		}
	}
	for _, a := range p.c.accounts {
		a.watch.signal()
	}
	return nil
}

// nothing ends a commit that has nothing to change. It may be that another has
// just made the same change: it is promised only when it is durable.
func (c *commit) nothing(ctx context.Context) error {
	fates := make([]*fate, len(c.accounts))
	for i, a := range c.accounts {
		fates[i] = a.last
	}
	c.unlock()
	for _, f := range fates {
		if err := f.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// finish applies the commit, unlocks and waits.
func (c *commit) finish() error {
	p, err := c.apply()
	c.unlock()
	if err != nil {
		return err
	}
	return p.publish()
}

// stopped notes the first error after which an engine takes no more.
func (s *Store) stopped(err error) {
	if !errors.Is(err, engine.ErrFailed) {
		return
	}
	if s.failed.CompareAndSwap(nil, &err) {
		s.o.Log.Error("the mail store has stopped", "error", err)
	}
}
