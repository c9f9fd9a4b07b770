package queue

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"plic/internal/journal"
	"plic/internal/mail"
)

// Filter chooses items: those that match every field that is set.
type Filter struct {
	IDs  []mail.ID // of items or of their messages: any of them
	From string    // address, or domain with or without "@"; "<>" for none
	To   string    // of any recipient, the same
	Host string    // of the hop
	Held bool      // only held items
}

// Match says whether the filter chooses an item.
func (f *Filter) Match(item *mail.Item) bool {
	if len(f.IDs) > 0 && !slices.Contains(f.IDs, item.ID) && !slices.Contains(f.IDs, item.Envelope.ID) {
		return false
	}
	if f.Held && !item.Hold || f.Host != "" && !strings.EqualFold(f.Host, item.Hop.Host) {
		return false
	}
	if f.From != "" && !matchAddress(f.From, item.Envelope.From) {
		return false
	}
	return f.To == "" || slices.ContainsFunc(item.To, func(to mail.ItemRcpt) bool { return matchAddress(f.To, to.Address) })
}

func matchAddress(pattern string, a mail.Address) bool {
	pattern = strings.Trim(pattern, "<>")
	if a.IsNull() {
		return pattern == ""
	}
	if at := strings.LastIndexByte(pattern, '@'); at <= 0 {
		return strings.EqualFold(pattern[at+1:], a.Domain.String()) && pattern != ""
	}
	return strings.EqualFold(pattern, a.String())
}

// Listed is an item with what the queue does with it.
type Listed struct {
	mail.Item
	State string // "waiting" for its time, "ready", "active" or "held"
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
			if f.Match(&item) && !yield(q.listed(item), nil) {
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
		l.Due = time.Unix(0, e.due)
	}
	return l
}

var stateNames = [...]string{waiting: "waiting", ready: "ready", lapsed: "ready", active: "active", held: "held", apart: "waiting"}

// Retry makes the chosen items due now and gives their number; held ones stay
// held.
func (q *Queue) Retry(ctx context.Context, f Filter) (int, error) {
	return q.change(ctx, f, none, func(item *mail.Item) *Settlement {
		if item.Hold {
			return nil
		}
		item.Due = q.o.Now()
		return &Settlement{Put: item}
	})
}

// Hold keeps the chosen items from being tried until Release.
func (q *Queue) Hold(ctx context.Context, f Filter) (int, error) {
	return q.change(ctx, f, wishHold, func(item *mail.Item) *Settlement {
		if item.Hold {
			return nil
		}
		item.Hold = true
		q.event(journal.Hold, item, item.To, item.Attempts, 0)
		return &Settlement{Put: item}
	})
}

// Release ends Hold; the items are tried now.
func (q *Queue) Release(ctx context.Context, f Filter) (int, error) {
	return q.change(ctx, f, none, func(item *mail.Item) *Settlement {
		if !item.Hold {
			return nil
		}
		item.Hold, item.Due = false, q.o.Now()
		return &Settlement{Put: item}
	})
}

// Remove takes the chosen items out of the queue; with bounce the senders are
// told. Of an item that is just being tried, the recipients that it reaches
// are still reached.
func (q *Queue) Remove(ctx context.Context, f Filter, bounce bool) (int, error) {
	wished := wishRemove
	if bounce {
		wished = wishBounce
	}
	return q.change(ctx, f, wished, func(item *mail.Item) *Settlement {
		s := &Settlement{Drop: item.ID}
		gone := removed(item.To, q.o.Now())
		if bounce {
			if r, due := q.report(item, mail.NotifyFailure, gone); due {
				s.Reports = append(s.Reports, r)
			}
		}
		q.event(journal.Remove, item, gone, item.Attempts, 0)
		return s
	})
}

// change settles each chosen item as do says; nil leaves it. Items that are
// being tried get the wish instead.
func (q *Queue) change(ctx context.Context, f Filter, w wish, do func(*mail.Item) *Settlement) (int, error) {
	changed := 0
	for item, err := range q.o.Custody.Items(ctx) {
		if err != nil {
			return changed, err
		}
		if !f.Match(&item) {
			continue
		}
		ok, err := q.changeOne(ctx, item.ID, w, do)
		if err != nil {
			return changed, err
		}
		if ok {
			changed++
		}
	}
	return changed, nil
}

func (q *Queue) changeOne(ctx context.Context, id mail.ID, w wish, do func(*mail.Item) *Settlement) (bool, error) {
	busy, err := q.claim(ctx, id, w)
	if busy || err != nil {
		return busy && w != none, err
	}
	var after *mail.Item
	item, err := q.o.Custody.Item(ctx, id)
	gone := errors.Is(err, ErrNotFound)
	changed := false
	if err == nil {
		after = &item
		if s := do(&item); s != nil {
			if err = q.o.Custody.Settle(ctx, *s); err == nil {
				after, changed = s.Put, true
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
		if w != none {
			q.wishes[id] = max(q.wishes[id], w)
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
	e := q.s.items[id]
	switch {
	case e == nil:
	case item != nil:
		q.s.update(e, item, q.o.Now())
		if !item.Hold && !item.Due.After(q.o.Now()) {
			q.s.unpause(e.hop)
		}
	case err != nil:
		q.s.enqueue(e) // it is read again before it is tried
	default:
		q.s.forget(e)
	}
}
