package controltest

import (
	"context"
	"fmt"
	"slices"

	"plic/internal/control"
)

// Quota gives what was set, of nothing used.
func (s *Site) Quota(_ context.Context, name string) (control.Quota, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.accounts, name) && !slices.Contains(s.domains, name) {
		return control.Quota{}, fmt.Errorf("%s: %w", name, control.ErrNotFound)
	}
	q := control.Quota{Name: name, Own: s.quotas[name], Limit: s.quotas[name]}
	for _, r := range []*int64{&q.Limit.Bytes, &q.Limit.Messages, &q.Limit.Mailboxes} {
		*r = max(*r, 0)
	}
	return q, nil
}

// SetQuota sets it.
func (s *Site) SetQuota(_ context.Context, name string, own control.Usage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.quotas == nil {
		s.quotas = map[string]control.Usage{}
	}
	s.quotas[name] = own
	return nil
}
