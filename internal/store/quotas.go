package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"plic/internal/store/engine"
)

// Quota is what the account has, as far as it is on stable storage, and what it
// may have; a limit that is not positive is none.
func (a *Account) Quota() (used, limit Usage) {
	for _, n := range a.visible.Load().nodes {
		used.add(usageOf(&n.box.visible.Load().rec))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return used, a.limits()
}

// Limits are what was set for the account itself: zero is the site's limit.
func (a *Account) Limits() Usage {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.limit
}

// SetLimits sets what the account may have: zero for the site's limit,
// Unlimited for none.
func (a *Account) SetLimits(ctx context.Context, limit Usage) error {
	return a.setLimits(ctx, quotaNote, &a.limit, limit)
}

// Given are the limits that the directory has for the account, which count
// before its own.
func (a *Account) Given() Usage {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.given
}

// SetGiven sets what the directory lets the account have: zero where it does
// not say.
func (a *Account) SetGiven(ctx context.Context, limit Usage) error {
	return a.setLimits(ctx, givenNote, &a.given, limit)
}

// setLimits keeps limits in a note and in the account.
func (a *Account) setLimits(ctx context.Context, note string, to *Usage, limit Usage) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := a.store.lock(a)
	if err != nil {
		return err
	}
	defer c.unlock()
	if err := c.note(a.Notes(), note, limit.encode()); err != nil {
		return err
	}
	p, err := c.apply()
	if err != nil {
		return err
	}
	*to = limit
	c.unlock()
	return p.publish()
}

// Fits says whether a message of the size would fit the quotas now. Only the
// commit decides.
func (a *Account) Fits(messages, bytes int64) error {
	more := Usage{Bytes: bytes, Messages: messages}
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.pool.Load()
	if err := a.used.allow(a.name, a.limits(), more); err != nil || p == nil || !p.whole.Load() {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used.allow(p.domain, p.limit, more)
}

// readQuota gives an account that is opened its limits, and counts what it has.
func (a *Account) readQuota(ctx context.Context) error {
	for _, n := range a.tree.nodes {
		a.used.add(usageOf(&n.box.head.rec))
	}
	if err := a.readLimits(ctx, quotaNote, &a.limit); err != nil {
		return err
	}
	return a.readLimits(ctx, givenNote, &a.given)
}

func (a *Account) readLimits(ctx context.Context, key string, to *Usage) error {
	note, err := a.store.engine.Note(ctx, a.id, 0, key)
	if err == nil {
		*to, err = decodeUsage(note)
	}
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return nil
	case errors.Is(err, engine.ErrDamaged): // then the site's limits hold
		a.store.o.Log.Error("limits of an account cannot be read", "account", a.name, "error", err)
		return nil
	}
	return err
}

// DomainQuota is what the accounts of a domain have together and what they may
// have; all zero if there is no limit.
func (s *Store) DomainQuota(ctx context.Context, domain string) (used, limit Usage, err error) {
	p, err := s.poolOf(ctx, domain)
	if p == nil || err != nil {
		return Usage{}, Usage{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used, p.limit, nil
}

// SetDomainLimits sets what the accounts of a domain may have together; zero
// for no limit.
func (s *Store) SetDomainLimits(ctx context.Context, domain string, limit Usage) error {
	domain = strings.ToLower(domain)
	if err := s.Notes().Put(ctx, domainQuotaNotes+domain, limit.encode()); err != nil {
		return fmt.Errorf("quota of %s: %w", domain, err)
	}
	if _, err := s.findPool(ctx, domain); err != nil {
		return err
	}
	s.pools.mu.Lock()
	p := s.pools.all[domain]
	if p == nil {
		p = newPool(domain)
		s.pools.all[domain] = p
	}
	s.pools.mu.Unlock()
	p.mu.Lock()
	p.limit = limit
	p.mu.Unlock()
	_, err := s.poolOf(ctx, domain)
	return err
}

// pool lets an account that is opened count in the pool of its domain.
func (s *Store) pool(ctx context.Context, a *Account) error {
	p, err := s.findPool(ctx, domainOf(a.name))
	if p != nil {
		a.join(p)
	}
	return err
}

func newPool(domain string) *pool { return &pool{domain: domain, counted: map[string]bool{}} }

// findPool gives the pool of a domain, nil if it has no limit.
func (s *Store) findPool(ctx context.Context, domain string) (*pool, error) {
	s.pools.mu.Lock()
	defer s.pools.mu.Unlock()
	if s.pools.all == nil {
		notes, err := s.Notes().All(ctx, domainQuotaNotes)
		if err != nil {
			return nil, fmt.Errorf("quotas of domains: %w", err)
		}
		s.pools.all = map[string]*pool{}
		for _, n := range notes {
			p := newPool(n.Key[len(domainQuotaNotes):])
			if p.limit, err = decodeUsage(n.Value); err != nil {
				s.o.Log.Error("limits of a domain cannot be read", "domain", p.domain, "error", err)
				continue
			}
			s.pools.all[p.domain] = p
		}
	}
	return s.pools.all[strings.ToLower(domain)], nil
}

// poolOf is findPool, and counts what is not counted yet.
func (s *Store) poolOf(ctx context.Context, domain string) (*pool, error) {
	p, err := s.findPool(ctx, domain)
	if p == nil || err != nil {
		return nil, err
	}
	s.pools.counting.Lock()
	defer s.pools.counting.Unlock()
	if p.whole.Load() {
		return p, nil
	}
	names, err := s.Accounts(ctx)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if !strings.EqualFold(domainOf(name), domain) {
			continue
		}
		a, err := s.account(ctx, name, none)
		if errors.Is(err, ErrNoAccount) {
			continue // removed since
		}
		if err != nil {
			return nil, fmt.Errorf("quota of %s: %w", domain, err)
		}
		a.join(p)
	}
	p.whole.Store(true)
	return p, nil
}

// join counts what the account has in its domain's pool.
func (a *Account) join(p *pool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.gone {
		return
	}
	a.pool.Store(p)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.counted[a.name] {
		p.counted[a.name] = true
		p.used.add(a.used)
	}
}

// leavePool takes the account out of its domain's pool; it is locked.
func (a *Account) leavePool() {
	if p := a.pool.Load(); p != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.counted, a.name)
		p.used.add(a.used.negative())
		a.pool.Store(nil)
	}
}
