package learn

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/s2"

	"plic/internal/bayes"
	"plic/internal/store"
	"plic/internal/store/engine"
)

// The notes of a model.
const (
	headNote = "learn/model/head"
	pageNote = "learn/model/page/"
)

// load reads a model; nil if there is none.
func load(ctx context.Context, notes store.Notes) (*bayes.Model, error) {
	head, err := notes.Get(ctx, headNote)
	if errors.Is(err, engine.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return bayes.Load(head, func(n int) ([]byte, error) {
		page, err := notes.Get(ctx, fmt.Sprintf("%s%04x", pageNote, n))
		if errors.Is(err, engine.ErrNotFound) {
			err = nil
		}
		if err == nil && len(page) > 0 && len(page) < bayes.PageOctets {
			if page, err = s2.Decode(nil, page); err != nil {
				err = fmt.Errorf("page %d: %w", n, bayes.ErrDamaged)
			}
		}
		return page, err
	})
}

// packed is a page as it is kept: most of a model is empty, and one message changes
// something on many pages.
func packed(page []byte) []byte {
	if p := s2.Encode(nil, page); len(p) < len(page) {
		return p
	}
	return page
}

// save keeps what has changed of a model. Pages that a crash parts from others only
// count a message more or less.
func save(ctx context.Context, notes store.Notes, m *bayes.Model) error {
	head, pages := m.Save()
	if head == nil {
		return nil
	}
	const atOnce = 1 << 20 // octets of a commit
	var out []store.Note
	size := 0
	put := func() (err error) {
		if len(out) > 0 {
			err = notes.PutAll(ctx, out...)
		}
		out, size = nil, 0
		return err
	}
	var err error
	for n, page := range pages {
		value := packed(page)
		out = append(out, store.Note{Key: fmt.Sprintf("%s%04x", pageNote, n), Value: value})
		if size += len(value); size > atOnce {
			if err = put(); err != nil {
				break
			}
		}
	}
	if err == nil {
		out = append(out, store.Note{Key: headNote, Value: head})
		err = put()
	}
	if err != nil {
		m.Unsaved()
		return fmt.Errorf("keep a model of words: %w", err)
	}
	return nil
}

// models are those of accounts, as many as are kept in memory.
type models struct {
	mu   sync.Mutex
	of   map[string]*kept
	turn uint64
}

// kept is the model of an account; nil if it has learnt nothing.
type kept struct {
	model *bayes.Model
	used  uint64
}

// open gives the model of an account, nil if there is none and none is to be made.
func (x *models) open(ctx context.Context, l *Learner, account string, create bool) (*bayes.Model, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.turn++
	if k := x.of[account]; k != nil && (k.model != nil || !create) {
		k.used = x.turn
		return k.model, nil
	}
	a, err := l.o.Store.Existing(ctx, account)
	if errors.Is(err, store.ErrNoAccount) && !create { // it gets its first message
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the model of %s: %w", account, err)
	}
	m, err := load(ctx, a.Notes())
	if errors.Is(err, bayes.ErrDamaged) {
		l.o.Log.Error("what an account has learnt cannot be read, it is learnt anew", "account", account, "error", err)
		m, err = nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the model of %s: %w", account, err)
	}
	if m != nil && m.Seed() != l.site.Seed() { // the site has begun anew, with another secret
		m = nil
	}
	if m == nil && create {
		m = bayes.New(l.site.Seed(), l.o.Account)
	}
	x.of[account] = &kept{m, x.turn}
	return m, x.trim(ctx, l, account)
}

// trim puts away the models that were not used for longest. Of accounts that have
// learnt nothing, which costs nothing, ten times as many are known.
func (x *models) trim(ctx context.Context, l *Learner, but string) error {
	real := 0
	for _, k := range x.of {
		if k.model != nil {
			real++
		}
	}
	for real > l.o.Models || len(x.of) > 10*l.o.Models {
		oldest := ""
		for name, k := range x.of {
			if name != but && (real <= l.o.Models || k.model != nil) && (oldest == "" || k.used < x.of[oldest].used) {
				oldest = name
			}
		}
		if oldest == "" {
			return nil
		}
		if m := x.of[oldest].model; m != nil {
			if err := x.put(ctx, l, oldest, m); err != nil {
				return err
			}
			real--
		}
		delete(x.of, oldest)
	}
	return nil
}

// put saves the model of an account that is still there.
func (x *models) put(ctx context.Context, l *Learner, account string, m *bayes.Model) error {
	a, err := l.o.Store.Existing(ctx, account)
	if err == nil {
		err = save(ctx, a.Notes(), m)
	}
	if errors.Is(err, store.ErrNoAccount) || errors.Is(err, store.ErrGone) {
		return nil
	}
	return err
}

// save keeps what has changed of all of them.
func (x *models) save(ctx context.Context, l *Learner) error {
	x.mu.Lock()
	open := map[string]*bayes.Model{}
	for name, k := range x.of {
		if k.model != nil {
			open[name] = k.model
		}
	}
	x.mu.Unlock() // nobody waits for the disk who judges a message
	var errs []error
	for name, m := range open {
		errs = append(errs, x.put(ctx, l, name, m))
	}
	return errors.Join(errs...)
}
