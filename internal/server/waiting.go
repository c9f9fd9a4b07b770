package server

import (
	"context"
	"fmt"
	"io"
	"iter"
	"time"

	"plic/internal/control"
	"plic/internal/embargo"
	"plic/internal/mail"
	"plic/internal/queue"
)

// waiting is control.Queue over the queue, which need not run.
type waiting struct{ s *site }

// List gives the chosen items.
func (w waiting) List(ctx context.Context, f queue.Filter) iter.Seq2[queue.Listed, error] {
	return w.s.queue.List(ctx, f)
}

// Shapes sums the queue up.
func (w waiting) Shapes(ctx context.Context, f queue.Filter, by queue.By) iter.Seq2[queue.Shape, error] {
	all, err := w.s.queue.Shapes(ctx, f, by)
	return sequence(all, err)
}

// sequence gives the values of a slice, or an error.
func sequence[T any](all []T, err error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if err != nil {
			var none T
			yield(none, err)
			return
		}
		for _, v := range all {
			if !yield(v, nil) {
				return
			}
		}
	}
}

// Message reads an item's message.
func (w waiting) Message(ctx context.Context, id mail.ID) (io.ReadCloser, error) {
	item, err := w.s.office.Item(ctx, id)
	if err != nil {
		return nil, told(err)
	}
	body, err := w.s.office.OpenBody(ctx, &item)
	if err != nil {
		return nil, err
	}
	return struct {
		io.Reader
		io.Closer
	}{mail.Reader(body), body}, nil
}

// Change does the same with every chosen item.
func (w waiting) Change(ctx context.Context, c control.Change) (queue.Result, error) {
	q := w.s.queue
	switch c.Action {
	case control.Retry:
		return q.Retry(ctx, c.Filter)
	case control.Hold:
		return q.Hold(ctx, c.Filter, c.Why)
	case control.Release:
		return q.Release(ctx, c.Filter)
	case control.Remove, control.Bounce:
		return q.Remove(ctx, c.Filter, c.Action == control.Bounce)
	case control.Reroute:
		return q.Reroute(ctx, c.Filter, c.Hop)
	}
	return queue.Result{}, fmt.Errorf("%q is no action on the queue", c.Action)
}

// holds is control.Holds.
type holds struct{ s *site }

// Rules gives the hold rules.
func (h holds) Rules(context.Context) iter.Seq2[embargo.Rule, error] {
	return sequence(h.s.embargo.Rules(), nil)
}

// AddRule makes a rule and holds what it fits.
func (h holds) AddRule(ctx context.Context, f queue.Filter, why string) (embargo.Rule, error) {
	r, err := h.s.embargo.AddRule(ctx, f, why)
	if err == nil {
		_, err = h.s.queue.Hold(ctx, r.Filter, why)
	}
	return r, err
}

// RemoveRule ends a rule.
func (h holds) RemoveRule(ctx context.Context, id mail.ID, release bool) error {
	r, err := h.s.embargo.RemoveRule(ctx, id)
	if err != nil {
		return told(err)
	}
	if release {
		_, err = h.s.queue.Release(ctx, r.Filter)
	}
	return err
}

// suppression is control.Suppression.
type suppression struct{ book *embargo.Book }

// Suppressed gives the addresses that nothing is sent to.
func (s suppression) Suppressed(ctx context.Context) iter.Seq2[embargo.Suppressed, error] {
	return s.book.Suppressed(ctx)
}

// Suppress adds an address.
func (s suppression) Suppress(ctx context.Context, address string, d time.Duration, why string) error {
	to, err := mail.ParseAddress(address)
	if err != nil {
		return err
	}
	_, err = s.book.Suppress(ctx, to, d, why)
	return err
}

// Unsuppress lets mail go to an address again.
func (s suppression) Unsuppress(ctx context.Context, address string) error {
	to, err := mail.ParseAddress(address)
	if err != nil {
		return err
	}
	return told(s.book.Release(ctx, to))
}
