package queue

import (
	"context"
	"errors"
	"iter"
	"sync"
	"time"

	"plic/internal/journal"
	"plic/internal/mail"
)

// Listed is an item with what the queue does with it.
type Listed struct {
	mail.Item
	State string `json:"state"` // "waiting" for its time, "ready", "active" or "held"
}

// List gives the items that the filter chooses.
func (q *Queue) List(ctx context.Context, f Filter) iter.Seq2[Listed, error] {
	return func(yield func(Listed, error) bool) {
		for item, err := range q.o.Custody.Items(ctx) {
			if err != nil {
				if !yield(Listed{}, err) {
					return
				}
				continue
			}
			if f.Match(&item, q.o.Now()) && !yield(q.listed(item), nil) {
				return
			}
		}
	}
}

// Show gives one item; ErrNotFound.
func (q *Queue) Show(ctx context.Context, id mail.ID) (Listed, error) {
	item, err := q.o.Custody.Item(ctx, id)
	if err != nil {
		return Listed{}, err
	}
	return q.listed(item), nil
}

func (q *Queue) listed(item mail.Item) Listed {
	l := Listed{Item: item, State: "waiting"}
	if item.Hold {
		l.State = "held"
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.s.items[item.ID]; e != nil {
		l.State = stateNames[e.state]
		if e.state == waiting {
			l.Due = time.Unix(0, e.at)
		}
	}
	return l
}

var stateNames = [...]string{waiting: "waiting", ready: "ready", lapsed: "ready", active: "active", held: "held", apart: "waiting"}

// Result is how many items a change has found, and how many of them were other
// than was wished for.
type Result struct {
	Found   int `json:"found"`
	Changed int `json:"changed"`
}

// Retry makes the chosen items due now; held ones stay held.
func (q *Queue) Retry(ctx context.Context, f Filter) (Result, error) {
	return q.change(ctx, f, wish{}, func(item *mail.Item) *Settlement {
		if item.Hold {
			return nil
		}
		item.Due, item.Envelope.Release = q.o.Now(), time.Time{}
		return &Settlement{Put: []mail.Item{*item}}
	})
}

// Hold keeps the chosen items from being tried until Release. The reason is
// for people.
func (q *Queue) Hold(ctx context.Context, f Filter, why string) (Result, error) {
	return q.change(ctx, f, wish{kind: wishHold, why: why}, func(item *mail.Item) *Settlement {
		if item.Hold || len(item.To) == 0 {
			return nil
		}
		item.Hold, item.Why = true, why
		q.event(journal.Hold, item, item.To, item.Attempts, 0)
		return &Settlement{Put: []mail.Item{*item}}
	})
}

// Release ends Hold; the items are tried now.
func (q *Queue) Release(ctx context.Context, f Filter) (Result, error) {
	return q.change(ctx, f, wish{}, func(item *mail.Item) *Settlement {
		if !item.Hold {
			return nil
		}
		item.Hold, item.Why, item.Due = false, "", q.o.Now()
		return &Settlement{Put: []mail.Item{*item}}
	})
}

// Reroute gives the chosen items another hop, for good, and tries them now.
func (q *Queue) Reroute(ctx context.Context, f Filter, hop mail.Hop) (Result, error) {
	return q.change(ctx, f, wish{kind: wishReroute, hop: hop}, func(item *mail.Item) *Settlement {
		if item.Hop == hop || len(item.To) == 0 {
			return nil
		}
		q.reroute(item, hop)
		return &Settlement{Put: []mail.Item{*item}}
	})
}

func (q *Queue) reroute(item *mail.Item, hop mail.Hop) {
	item.Hop, item.Due = hop, q.o.Now()
	q.event(journal.Reroute, item, item.To, item.Attempts, 0)
}

// Remove takes the chosen items out of the queue; with bounce the senders are
// told. Of an item that is just being tried, the recipients that it reaches
// are still reached.
func (q *Queue) Remove(ctx context.Context, f Filter, bounce bool) (Result, error) {
	wished := wish{kind: wishRemove}
	if bounce {
		wished.kind = wishBounce
	}
	return q.change(ctx, f, wished, func(item *mail.Item) *Settlement {
		s := &Settlement{Drop: []mail.ID{item.ID}}
		gone, fates := removed(item.To, q.o.Now()), item.Fates
		if bounce {
			fates = append(fates, fatesOf(item, mail.NotifyFailure, gone)...)
		}
		if r, due := q.report(item, fates); due {
			s.Reports = append(s.Reports, r)
		}
		q.event(journal.Remove, item, gone, item.Attempts, 0)
		return s
	})
}

// changers is how many items are changed at once: their commits share syncs.
const changers = 64

// change settles each chosen item as do says; nil leaves it. Items that are
// being tried get the wish instead.
func (q *Queue) change(ctx context.Context, f Filter, w wish, do func(*mail.Item) *Settlement) (Result, error) {
	var (
		workers sync.WaitGroup
		mu      sync.Mutex
		result  Result
		first   error
		places  = make(chan struct{}, changers)
	)
	failed := func(err error) bool {
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = err
		}
		return first != nil
	}
	for item, err := range q.o.Custody.Items(ctx) {
		if failed(err) {
			break
		}
		if !f.Match(&item, q.o.Now()) {
			continue
		}
		result.Found++
		places <- struct{}{}
		workers.Go(func() {
			defer func() { <-places }()
			ok, err := q.changeOne(ctx, item.ID, w, do)
			failed(err)
			if ok {
				mu.Lock()
				result.Changed++
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	return result, first
}

func (q *Queue) changeOne(ctx context.Context, id mail.ID, w wish, do func(*mail.Item) *Settlement) (bool, error) {
	busy, err := q.claim(ctx, id, w)
	if busy || err != nil {
		return busy && w.kind != none, err
	}
	var after *mail.Item
	item, err := q.o.Custody.Item(ctx, id)
	gone := errors.Is(err, ErrNotFound)
	changed := false
	if err == nil {
		after = &item
		before := item
		if s := do(&item); s != nil {
			if err = q.o.Custody.Settle(ctx, *s); err == nil {
				changed = true
				if len(s.Put) == 0 {
					after = nil
				}
			} else {
				after = &before
			}
		}
	}
	if gone {
		err = nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.release(id)
	q.back(id, after, err)
	q.poke()
	return changed, err
}

// claim takes an item out of the schedule for a change. If it is being tried,
// the wish is noted and busy is true.
func (q *Queue) claim(ctx context.Context, id mail.ID, w wish) (busy bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.claimed[id] {
		changed := q.changed
		q.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
		}
		q.mu.Lock()
		if ctx.Err() != nil {
			return false, ctx.Err()
		}
	}
	e := q.s.items[id]
	if e != nil && e.state == active {
		if w.kind != none && w.kind >= q.wishes[id].kind {
			q.wishes[id] = w
		}
		return true, nil
	}
	q.claimed[id] = true
	if e != nil {
		q.s.detach(e)
	}
	if kept := q.fresh[id]; kept != nil {
		delete(q.fresh, id)
		q.kept -= len(kept.To)
	}
	return false, nil
}

// release ends a claim.
func (q *Queue) release(id mail.ID) {
	delete(q.claimed, id)
	close(q.changed)
	q.changed = make(chan struct{})
}

// back puts an item into the schedule again after a change. After an error it
// goes back as it was.
func (q *Queue) back(id mail.ID, item *mail.Item, err error) {
	now := q.o.Now()
	e := q.s.items[id]
	if e == nil { // it was not in view, or not there yet
		q.s.recount(now)
		q.s.gone(id)
	}
	switch {
	case e == nil && item == nil:
	case e == nil:
		if q.s.add(item, now) && !item.Hold && !item.Due.After(now) {
			q.s.unpause(q.s.items[id].hop)
		}
	case item != nil:
		q.s.update(e, item, now)
		if hop := q.s.hops[item.Hop]; hop != nil && !item.Hold && !item.Due.After(now) {
			q.s.unpause(hop)
		}
	case err != nil:
		q.s.enqueue(e, now.UnixNano()) // it is read again before it is tried
	default:
		q.s.forget(e)
	}
}
