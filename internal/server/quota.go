package server

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/directory"
	"plic/internal/mail"
	"plic/internal/store"
)

// quotas is control.Quotas over the store. An account need not have had any
// mail yet to be given a limit.
type quotas struct {
	d     directory.Directory
	store *store.Store
}

// quotaDefaults are the limits of accounts that have none of their own.
func quotaDefaults(c *config.Config) store.Usage {
	return store.Usage{Bytes: c.Quota.Storage, Messages: int64(c.Quota.Messages), Mailboxes: int64(c.Quota.Mailboxes)}
}

// Quota says what an account or a domain has and may have.
func (q quotas) Quota(ctx context.Context, name string) (control.Quota, error) {
	out := control.Quota{Name: name}
	if !strings.Contains(name, "@") {
		d, err := q.domain(ctx, name)
		if err != nil {
			return out, err
		}
		used, limit, err := q.store.DomainQuota(ctx, d)
		out.Name, out.Used, out.Limit, out.Own = d, control.Usage(used), control.Usage(limit), control.Usage(limit)
		return out, err
	}
	a, err := q.account(ctx, name)
	if err != nil {
		return out, err
	}
	used, limit := a.Quota()
	for _, r := range []*int64{&limit.Bytes, &limit.Messages, &limit.Mailboxes} {
		*r = max(*r, 0)
	}
	out.Name, out.Used, out.Limit, out.Own = a.Name(), control.Usage(used), control.Usage(limit), control.Usage(a.Limits())
	return out, nil
}

// SetQuota sets what an account or a domain may have.
func (q quotas) SetQuota(ctx context.Context, name string, own control.Usage) error {
	for _, n := range []int64{own.Bytes, own.Messages, own.Mailboxes} {
		if n < store.Unlimited {
			return errors.New("a limit is a number, default or none")
		}
	}
	if !strings.Contains(name, "@") {
		d, err := q.domain(ctx, name)
		if err != nil {
			return err
		}
		for _, r := range []*int64{&own.Bytes, &own.Messages, &own.Mailboxes} {
			*r = max(*r, 0)
		}
		return q.store.SetDomainLimits(ctx, d, store.Usage(own))
	}
	a, err := q.account(ctx, name)
	if err != nil {
		return err
	}
	return a.SetLimits(ctx, store.Usage(own))
}

func (q quotas) account(ctx context.Context, name string) (*store.Account, error) {
	found, err := q.d.Account(ctx, name)
	if err != nil {
		return nil, told(err)
	}
	return q.store.Account(ctx, found.Name)
}

func (q quotas) domain(ctx context.Context, name string) (string, error) {
	d, err := mail.ParseDomain(name)
	if err != nil {
		return "", err
	}
	if _, err := q.d.Domain(ctx, d); err != nil {
		return "", told(fmt.Errorf("domain %s: %w", d, err))
	}
	return d.String(), nil
}
