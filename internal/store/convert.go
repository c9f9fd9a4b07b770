package store

import (
	"context"
	"fmt"
	"slices"

	"plic/internal/store/engine"
)

// Convert has an account's messages put elsewhere by its engine. Copying goes on
// twice: first while the account is in use, and again, for what has changed, while
// nobody can use it; then comes the switch. Who has the account open gets ErrMoved
// from then on, and who opens it meanwhile waits. After an error all is as it was.
func (s *Store) Convert(ctx context.Context, name string, copying, switching func(context.Context) error) error {
	a, err := s.Existing(ctx, name)
	if err != nil {
		return err
	}
	if err := copying(ctx); err != nil {
		return err
	}
	var open *Account
	var done chan struct{}
	for done == nil {
		if open, done, err = s.enter(ctx, name, true); err != nil {
			return err
		}
	}
	defer s.leave(name, nil, done)
	if open != a {
		return fmt.Errorf("account %s: %w", name, ErrGone)
	}
	c, err := a.settled(ctx)
	if err != nil {
		return err
	}
	defer c.unlock()
	if err := a.last.wait(ctx); err != nil {
		return err
	}
	if err := copying(ctx); err != nil {
		return err
	}
	if err := switching(ctx); err != nil {
		s.stopped(err)
		return err
	}
	a.moved.Store(true)
	a.leavePool()
	s.mu.Lock()
	delete(s.accounts, name)
	if a.idle != nil {
		s.recent.Remove(a.idle)
		a.idle = nil
	}
	s.mu.Unlock()
	c.unlock()
	for _, n := range a.tree.nodes {
		n.box.watch.signal()
	}
	a.watch.signal()
	return nil
}

// Moved says that the account's messages have been put elsewhere since it was
// opened: it is to be opened anew.
func (a *Account) Moved() bool { return a.moved.Load() }

// settled locks an account when all that other programs did to its files is
// taken over.
func (a *Account) settled(ctx context.Context) (*commit, error) {
	for {
		c, err := a.store.lock(a)
		if err != nil || !a.kept {
			return c, err
		}
		behind, err := a.behind(ctx)
		if err == nil && behind == nil {
			return c, nil
		}
		c.unlock()
		if err == nil {
			err = a.Sync(ctx)
		}
		for _, m := range behind {
			if err == nil {
				err = m.Sync(ctx)
			}
		}
		if err != nil {
			return nil, err
		}
	}
}

// behind gives the mailboxes whose files are otherwise than the index, or all if
// the folders are; nil if none. The account is locked.
func (a *Account) behind(ctx context.Context) ([]*Mailbox, error) {
	var all []*Mailbox
	for _, n := range a.tree.nodes {
		if !slices.Contains(all, n.box) {
			all = append(all, n.box)
		}
	}
	if d, err := a.store.files.LookTree(ctx, a.id); err != nil || d != nil {
		return all, err
	}
	var out []*Mailbox
	for _, m := range all {
		if m.head.rec.NoSelect {
			continue
		}
		var d *engine.Difference
		d, err := a.store.files.Look(ctx, a.id, &m.head.rec, 1)
		if err != nil {
			return nil, err
		}
		if d != nil {
			out = append(out, m)
		}
	}
	return out, nil
}
