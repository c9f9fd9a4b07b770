package controltest

import (
	"context"
	"iter"
	"strings"

	"plic/internal/control"
)

// clients is control.Discovery over what the site was filled with.
type clients struct{ s *Site }

// Records gives the records whose names end with the domain.
func (x clients) Records(_ context.Context, domain string) iter.Seq2[control.Record, error] {
	return func(yield func(control.Record, error) bool) {
		for r, err := range each(&x.s.mu, &x.s.Records) {
			if strings.HasSuffix(r.Name, "."+domain) && !yield(r, err) {
				return
			}
		}
	}
}
