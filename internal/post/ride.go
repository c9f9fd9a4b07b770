package post

import (
	"context"
	"sync"
	"time"

	"plic/internal/mail"
)

const (
	// An item that is done waits for the commit of another message, to share its
	// sync: so long when none is to be expected, and not longer where they come
	// slowly, as on a slow disk, whose syncs are to be spared most.
	patience = 5 * time.Millisecond
	longest  = 50 * time.Millisecond
	// crew is how many of them need not wait for others.
	crew = 8
)

// riders are items that are done and wait to be dropped in the commit of
// another message: under a steady flow each message then costs one sync, not
// one to come and one to go.
type riders struct {
	mu      sync.Mutex
	waiting []*rider
	last    time.Time     // a message was committed
	every   time.Duration // they came in the past, more or less
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

// along gives all that wait to the commit of a message.
func (r *riders) along(now time.Time) []*rider {
	r.mu.Lock()
	r.every += (min(max(now.Sub(r.last), 0), 2*longest) - r.every) / 4
	r.last = now
	r.mu.Unlock()
	return r.take()
}

// patience is how long to wait for the next message: some times as long as it takes
// them to come, if it will come in time.
func (r *riders) patience(now time.Time) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.every > longest || now.Sub(r.last) > longest {
		return patience
	}
	return min(max(3*r.every, patience), longest)
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
		timer := time.NewTimer(p.riders.patience(p.o.Now()))
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
