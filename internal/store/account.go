package store

import (
	"container/list"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"weak"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// Account is one account's mailboxes, shared by all that use it.
type Account struct {
	store   *Store
	name    string
	id      engine.AccountID
	kept    bool          // its mail is in files: see engine.Files
	syncing atomic.Int32  // see syncSoon
	idle    *list.Element // in store.recent; under store.mu
	visible atomic.Pointer[tree]
	watch   hub
	pool    atomic.Pointer[pool] // of its domain; nil if that has no limit

	mu   sync.Mutex // one change at a time, as far as Apply
	rec  engine.Account
	tree *tree  // the head, with all that was applied
	seq  uint64 // of the last commit applied
	last *fate  // of that commit
	gone bool
	bare map[engine.MailboxID]bool // which have no annotations: see Notes.bare

	moved atomic.Bool // see Convert

	freed freed
	used  Usage // by all that was applied
	limit Usage // of its own
	given Usage // by the directory, before its own
}

// tree says which mailboxes there are, sorted by compareNames; immutable.
type tree struct {
	seq   uint64
	nodes []node
}

type node struct {
	name string
	box  *Mailbox
}

func (t *tree) find(name string) (int, bool) {
	return slices.BinarySearchFunc(t.nodes, name, func(n node, name string) int { return compareNames(n.name, name) })
}

func (t *tree) get(name string) *Mailbox {
	if i, ok := t.find(name); ok {
		return t.nodes[i].box
	}
	return nil
}

// below gives the nodes below a name, which follow it.
func (t *tree) below(name string) []node {
	i, ok := t.find(name)
	if ok {
		i++
	}
	j := i
	for j < len(t.nodes) && isBelow(t.nodes[j].name, name) {
		j++
	}
	return t.nodes[i:j]
}

// defaults are the mailboxes that a new account has, RFC 6154.
var defaults = [...]struct{ name, use string }{
	{Inbox, ""}, {"Drafts", `\Drafts`}, {"Sent", `\Sent`},
	{"Junk", `\Junk`}, {"Trash", `\Trash`}, {"Archive", `\Archive`},
}

// open reads an account from the engine.
func (s *Store) open(ctx context.Context, name string) (*Account, error) {
	rec, boxes, err := s.engine.Account(ctx, name)
	if err != nil {
		return nil, err
	}
	a := s.newAccount(rec)
	a.kept = s.files != nil && s.files.Kept(rec.ID)
	t := &tree{}
	for i := range boxes {
		t.nodes = append(t.nodes, node{boxes[i].Name, newMailbox(a, boxes[i])})
	}
	slices.SortFunc(t.nodes, func(a, b node) int { return compareNames(a.name, b.name) })
	a.tree = t
	a.visible.Store(t)
	if err := errors.Join(a.readACLs(ctx), a.readQuota(ctx), a.readFreed(ctx)); err != nil {
		return nil, err
	}
	return a, nil
}

func (s *Store) newAccount(rec engine.Account) *Account {
	name := rec.Name
	a := &Account{store: s, name: name, id: rec.ID, rec: rec}
	// The store keeps idle accounts: it must not be kept by what is done when one goes,
	// or it would stay for good when it was closed.
	runtime.AddCleanup(a, func(of weak.Pointer[Store]) {
		if s := of.Value(); s != nil {
			s.forget(name)
		}
	}, weak.Make(s))
	return a
}

// create makes an account with its first mailboxes.
func (s *Store) create(ctx context.Context, name string) (*Account, error) {
	now := s.o.Now()
	id, err := s.newAccountID(ctx)
	if err != nil {
		return nil, err
	}
	a := s.newAccount(engine.Account{
		ID: id, Name: name, NextMailbox: 1, Created: now,
		// A counter from here on. It begins with the clock, so that an account
		// that is removed and made again does not begin where it did before.
		NextUIDValidity: uint32(max(now.Unix(), 1)),
	})
	a.tree = &tree{}
	a.visible.Store(a.tree)
	c, err := s.lock(a)
	if err != nil {
		return nil, err
	}
	defer c.unlock()
	c.exempt = true
	p := c.plan(a)
	for _, d := range defaults {
		p.make(engine.Mailbox{Name: d.name, SpecialUse: d.use, Subscribed: true})
	}
	if err := p.done(); err != nil {
		return nil, err
	}
	if err := c.finish(); err != nil {
		return nil, err
	}
	a.kept = s.files != nil && s.files.Kept(id)
	return a, nil
}

// newAccountID gives an ID that no account has or had: IDs rise with the clock,
// and above all that exist.
func (s *Store) newAccountID(ctx context.Context) (engine.AccountID, error) {
	s.mu.Lock()
	last := s.lastID
	s.mu.Unlock()
	if last == 0 {
		for rec, err := range s.engine.Accounts(ctx) {
			if err != nil {
				return 0, err
			}
			last = max(last, rec.ID)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	id := mail.NewID(s.o.Now())
	next := engine.AccountID(binary.BigEndian.Uint64(id[:8]))
	s.lastID = max(next, last+1, s.lastID+1)
	return s.lastID, nil
}

// publish makes a tree visible unless a newer one is.
func (a *Account) publish(next *tree) {
	for {
		cur := a.visible.Load()
		if cur.seq >= next.seq || a.visible.CompareAndSwap(cur, next) {
			return
		}
	}
}

// Name is the account's name.
func (a *Account) Name() string { return a.name }

// Watch gives a channel that has a notice after each change of any mailbox, and
// of which there are, that became visible since the last one was taken.
func (a *Account) Watch() (c <-chan struct{}, stop func()) {
	c, stop = a.watch.watch()
	a.attendAll()
	return c, stop
}

// Tell is Watch by a channel of the caller's with room for one notice, which may
// be told of several accounts.
func (a *Account) Tell(c chan struct{}) (stop func()) {
	stop = a.watch.add(c)
	a.attendAll()
	return stop
}

// Mailboxes lists the mailboxes: INBOX first, each before those below it.
func (a *Account) Mailboxes() []Info {
	t := a.visible.Load()
	out := make([]Info, len(t.nodes))
	for i := range t.nodes {
		out[i] = t.info(i)
	}
	return out
}

func (t *tree) info(i int) Info {
	n := &t.nodes[i]
	info := n.box.visible.Load().info(n.box.objectID)
	info.Name = n.name
	info.HasChildren = t.hasChildren(i)
	info.NonExistent = info.NoSelect && !info.HasChildren
	return info
}

// hasChildren says that a mailbox is below node i; a mere subscription to a
// name is none.
func (t *tree) hasChildren(i int) bool {
	for j := i + 1; j < len(t.nodes) && isBelow(t.nodes[j].name, t.nodes[i].name); j++ {
		if !t.nodes[j].box.visible.Load().rec.NoSelect {
			return true
		}
	}
	return false
}

// Info is what Mailboxes says of one name; ErrNoMailbox.
func (a *Account) Info(name string) (Info, error) {
	clean, err := CleanName(name)
	if err != nil {
		return Info{}, err
	}
	t := a.visible.Load()
	i, ok := t.find(clean)
	if !ok {
		return Info{}, fmt.Errorf("mailbox %s: %w", clean, ErrNoMailbox)
	}
	return t.info(i), nil
}

// Mailbox finds a mailbox by name, "INBOX" in any case; ErrNoMailbox,
// ErrNoSelect, ErrBadName.
func (a *Account) Mailbox(name string) (*Mailbox, error) {
	clean, err := CleanName(name)
	if err != nil {
		return nil, err
	}
	t := a.visible.Load()
	i, ok := t.find(clean)
	if !ok {
		return nil, fmt.Errorf("mailbox %s: %w", clean, ErrNoMailbox)
	}
	if info := t.info(i); info.NonExistent {
		return nil, fmt.Errorf("mailbox %s: %w", clean, ErrNoMailbox)
	} else if info.NoSelect {
		return nil, fmt.Errorf("mailbox %s: %w", clean, ErrNoSelect)
	}
	return t.nodes[i].box, nil
}

// remove takes the account away with everything in it.
func (a *Account) remove() error {
	c, err := a.store.lock(a.store.site, a)
	if err != nil {
		return err
	}
	defer c.unlock()
	if err := c.unshare(a); err != nil {
		return err
	}
	c.batch.Forget = []engine.AccountID{a.id}
	p, err := c.apply()
	if err != nil {
		return err
	}
	a.gone = true
	a.leavePool()
	t := &tree{seq: a.seq}
	p.c.trees = append(p.c.trees, treeEdit{a: a, rec: a.rec, next: t})
	for _, n := range a.tree.nodes {
		next := *n.box.head
		next.seq, next.snap, next.gone = a.seq, nil, true
		n.box.head = &next
		p.c.edits = append(p.c.edits, &edit{m: n.box, next: &next})
	}
	a.tree = t
	c.unlock()
	return p.publish()
}
