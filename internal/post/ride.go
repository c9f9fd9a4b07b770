package post

import (
	"context"
	"sync"
	"time"

	"plic/internal/mail"
)

const (
	// patience is how long an item that is done waits for the commit of another
	// message, to share its sync.
	patience = 5 * time.Millisecond
	// crew is how many of them need not wait for others.
	crew = 8
)

// riders are items that are done and wait to be dropped in the commit of
// another message: under a steady flow each message then costs one sync, not
// one to come and one to go.
type riders struct {
	mu      sync.Mutex
	waiting []*rider
}

type rider struct {
	items []mail.ID
	done  chan bool // it is dropped, on stable storage
}

// add lets items wait; all of those that wait are given if they are enough.
func (r *riders) add(items []mail.ID) (*rider, []*rider) {
	one := &rider{items, make(chan bool, 1)}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting = append(r.waiting, one); len(r.waiting) < crew {
		return one, nil
	}
	all := r.waiting
	r.waiting = nil
	return one, all
}

// take gives all that wait.
func (r *riders) take() []*rider {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.waiting
	r.waiting = nil
	return all
}

// dropper is a transaction, as far as riders know it.
type dropper interface{ DropItem(id mail.ID) }

// board puts riders into a transaction.
func board(all []*rider, tx dropper) {
	for _, r := range all {
		for _, id := range r.items {
			tx.DropItem(id)
		}
	}
}

// arrive tells riders whether the transaction has taken them along.
func arrive(all []*rider, ok bool) {
	for _, r := range all {
		r.done <- ok
	}
}

// drop drops items that are done: with the next commit of others, or after a
// moment by itself, with all that wait as well.
func (p *Office) drop(ctx context.Context, items []mail.ID) error {
	own, all := p.riders.add(items)
	if all == nil {
		timer := time.NewTimer(patience)
		defer timer.Stop()
		select {
		case ok := <-own.done:
			if ok {
				return nil
			}
			return p.commitDrops(ctx, items)
		case <-timer.C:
		}
		all = p.riders.take()
	}
	var dropped []mail.ID
	for _, r := range all {
		dropped = append(dropped, r.items...)
	}
	err := error(nil)
	if len(dropped) > 0 {
		err = p.commitDrops(ctx, dropped)
	}
	arrive(all, err == nil)
	if <-own.done {
		return nil
	}
	if err != nil {
		return err
	}
	return p.commitDrops(ctx, items) // whoever took it has failed
}

func (p *Office) commitDrops(ctx context.Context, items []mail.ID) error {
	tx := p.o.Store.Begin()
	for _, id := range items {
		tx.DropItem(id)
	}
	if _, err := tx.Commit(ctx); err != nil {
		return storage("settle", err)
	}
	return nil
}
