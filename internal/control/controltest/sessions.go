package controltest

import (
	"context"
	"iter"
	"slices"

	"plic/internal/control"
)

// sessions is control.Sessions over what the site was filled with.
type sessions struct{ s *Site }

// List gives those that a filter chooses.
func (x sessions) List(_ context.Context, f control.SessionFilter) iter.Seq2[control.Session, error] {
	return func(yield func(control.Session, error) bool) {
		for o, err := range each(&x.s.mu, &x.s.Open) {
			if f.Chooses(o) && !yield(o, err) {
				return
			}
		}
	}
}

// End takes them away.
func (x sessions) End(_ context.Context, f control.SessionFilter) (int, error) {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	before := len(x.s.Open)
	x.s.Open = slices.DeleteFunc(x.s.Open, f.Chooses)
	return before - len(x.s.Open), nil
}
