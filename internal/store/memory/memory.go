// Package memory is an engine that keeps records and bodies in memory: the
// reference that the others are compared with. Nothing outlives the process. It
// refuses batches that no store should make, and can hold back durability, so
// that tests see what is visible before it.
package memory

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// Engine is an engine.Engine in memory. The zero value is not usable; see New.
type Engine struct {
	now func() time.Time

	mu       sync.Mutex
	accounts map[engine.AccountID]*account
	names    map[string]engine.AccountID
	items    map[mail.ID]mail.Item
	notes    notes // of the site
	bodies   map[mail.ID]*body
	tickets  []*ticket // held back, in order of Apply
	held     bool
	refuse   error // what Apply and NewBody answer instead
	closed   bool
	trusting bool // takes counters as they come: the suite of engines keeps none
}

type account struct {
	rec   engine.Account
	notes notes
	boxes map[engine.MailboxID]*mailbox
}

type mailbox struct {
	rec      engine.Mailbox
	notes    notes
	messages []engine.Message // by rising UID
	expunged []engine.Expunged
}

// body is a body with the number of its owners.
type body struct {
	data   []byte
	owners int
}

// New makes an empty engine; now gives the time for the IDs of bodies.
func New(now func() time.Time) *Engine {
	return &Engine{
		now:      now,
		accounts: map[engine.AccountID]*account{},
		names:    map[string]engine.AccountID{},
		items:    map[mail.ID]mail.Item{},
		notes:    notes{},
		bodies:   map[mail.ID]*body{},
	}
}

// sorted gives the values of a map by rising key.
func sorted[K interface{ ~uint32 | ~uint64 }, V any](m map[K]V) []V {
	out := make([]V, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}

// each gives what a function found under the lock, without the lock.
func each[T any](ctx context.Context, e *Engine, find func() ([]T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		e.mu.Lock()
		var all []T
		err := e.open()
		if err == nil {
			all, err = find()
		}
		e.mu.Unlock()
		var none T
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			yield(none, err)
			return
		}
		for i, v := range all {
			if i%1024 == 0 && ctx.Err() != nil {
				yield(none, ctx.Err())
				return
			}
			if !yield(v, nil) {
				return
			}
		}
	}
}

func (e *Engine) open() error {
	if e.closed {
		return engine.ErrClosed
	}
	return nil
}

// Accounts lists every account.
func (e *Engine) Accounts(ctx context.Context) iter.Seq2[engine.Account, error] {
	return each(ctx, e, func() (out []engine.Account, err error) {
		for _, a := range sorted(e.accounts) {
			out = append(out, a.rec)
		}
		return out, nil
	})
}

// Account finds an account by name; engine.ErrNotFound.
func (e *Engine) Account(ctx context.Context, name string) (engine.Account, []engine.Mailbox, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := first(e.open(), ctx.Err()); err != nil {
		return engine.Account{}, nil, err
	}
	id, ok := e.names[name]
	if !ok {
		return engine.Account{}, nil, fmt.Errorf("account %s: %w", name, engine.ErrNotFound)
	}
	a := e.accounts[id]
	var boxes []engine.Mailbox
	for _, m := range sorted(a.boxes) {
		rec := m.rec
		rec.Keywords = slices.Clone(rec.Keywords)
		boxes = append(boxes, rec)
	}
	return a.rec, boxes, nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) mailbox(a engine.AccountID, m engine.MailboxID) *mailbox {
	if acc := e.accounts[a]; acc != nil {
		return acc.boxes[m]
	}
	return nil
}

func (m *mailbox) search(uid engine.UID) (int, bool) {
	return slices.BinarySearchFunc(m.messages, uid, func(msg engine.Message, uid engine.UID) int {
		return int(int64(msg.UID) - int64(uid))
	})
}

// Entries gives a mailbox's index by rising UID.
func (e *Engine) Entries(ctx context.Context, a engine.AccountID, m engine.MailboxID, from engine.UID) iter.Seq2[engine.Entry, error] {
	return each(ctx, e, func() ([]engine.Entry, error) {
		box := e.mailbox(a, m)
		if box == nil {
			return nil, nil
		}
		i, _ := box.search(from)
		out := make([]engine.Entry, 0, len(box.messages)-i)
		for _, msg := range box.messages[i:] {
			out = append(out, msg.Entry)
		}
		return out, nil
	})
}

// Marks gives the entries, all at once.
func (e *Engine) Marks(ctx context.Context, a engine.AccountID, m engine.MailboxID) iter.Seq2[[]engine.Entry, error] {
	return func(yield func([]engine.Entry, error) bool) {
		var list []engine.Entry
		for entry, err := range e.Entries(ctx, a, m, 0) {
			if err != nil {
				yield(nil, err)
				return
			}
			list = append(list, entry)
		}
		if len(list) > 0 {
			yield(list, nil)
		}
	}
}

// Details gives the details of messages.
func (e *Engine) Details(ctx context.Context, a engine.AccountID, m engine.MailboxID, uids []engine.UID) iter.Seq2[engine.Detailed, error] {
	return each(ctx, e, func() (out []engine.Detailed, err error) {
		box := e.mailbox(a, m)
		if box == nil {
			return nil, nil
		}
		for _, uid := range uids {
			if i, ok := box.search(uid); ok {
				d := box.messages[i].Detail
				out = append(out, engine.Detailed{UID: uid, Detail: engine.Detail{
					Prefix: slices.Clone(d.Prefix), Summary: slices.Clone(d.Summary),
				}})
			}
		}
		return out, nil
	})
}

// Expunged gives the UIDs expunged after a MODSEQ.
func (e *Engine) Expunged(ctx context.Context, a engine.AccountID, m engine.MailboxID, since engine.ModSeq) iter.Seq2[engine.Expunged, error] {
	return each(ctx, e, func() (out []engine.Expunged, err error) {
		if box := e.mailbox(a, m); box != nil {
			for _, x := range box.expunged {
				if x.ModSeq > since {
					out = append(out, x)
				}
			}
		}
		return out, nil
	})
}

// Items gives every queue item by rising ID.
func (e *Engine) Items(ctx context.Context) iter.Seq2[mail.Item, error] {
	return each(ctx, e, func() (out []mail.Item, err error) {
		ids := slices.SortedFunc(maps.Keys(e.items), func(a, b mail.ID) int { return slices.Compare(a[:], b[:]) })
		for _, id := range ids {
			out = append(out, e.items[id])
		}
		return out, nil
	})
}

// Room says whether mail can be taken: yes, unless Refuse said otherwise.
func (e *Engine) Room(int64) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return first(e.open(), e.refuse)
}

// Close forgets nothing: what is there can be opened again with Reopen.
func (e *Engine) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.release(nil)
	e.closed = true
	return nil
}

// Reopen undoes Close, as a new process would that finds the same records.
func (e *Engine) Reopen() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = false
}
