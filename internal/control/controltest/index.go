package controltest

import (
	"context"
	"iter"
	"strings"

	"plic/internal/control"
)

// indexes is control.Index over what the site was filled with.
type indexes struct{ s *Site }

// Status gives the indexes of an account.
func (x indexes) Status(_ context.Context, account string) iter.Seq2[control.IndexStatus, error] {
	return func(yield func(control.IndexStatus, error) bool) {
		for st, err := range each(&x.s.mu, &x.s.Indexes) {
			if (account == "" || st.Account == account) && !yield(st, err) {
				return
			}
		}
	}
}

// Rebuild notes the call.
func (x indexes) Rebuild(ctx context.Context, account string) iter.Seq2[control.IndexStatus, error] {
	x.s.mu.Lock()
	x.s.Calls = append(x.s.Calls, strings.TrimSpace("rebuild "+account))
	x.s.mu.Unlock()
	return x.Status(ctx, account)
}
