package controltest

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"plic/internal/control"
)

// keys is control.DKIM over the records that the site was filled with.
type keys struct{ s *Site }

// Keys gives the records of a domain.
func (x keys) Keys(ctx context.Context, domain string) iter.Seq2[control.Record, error] {
	return clients(x).Records(ctx, domain)
}

// Prepare notes the call.
func (x keys) Prepare(ctx context.Context, domain string) iter.Seq2[control.Record, error] {
	x.note("prepare " + domain)
	return x.Keys(ctx, domain)
}

// Rotate wants to be forced.
func (x keys) Rotate(_ context.Context, domain string, force bool) error {
	if !force {
		return errors.New("a record is missing")
	}
	x.note("rotate " + domain)
	return nil
}

// Import notes the call.
func (x keys) Import(_ context.Context, domain, selector, key string) error {
	x.note(fmt.Sprintf("import %s %s %s", domain, selector, key))
	return nil
}

func (x keys) note(call string) {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.s.Calls = append(x.s.Calls, call)
}
