// Package controltest is a site in memory that answers all operations of
// control, for tests of what stands before them.
package controltest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"

	"plic/internal/control"
	"plic/internal/journal"
	"plic/internal/mail"
)

// Site keeps what it is told. Fill the fields before use, or by operations.
type Site struct {
	mu        sync.Mutex
	domains   []string
	passwords map[string]string
	accounts  []string
	purged    []string
	quotas    map[string]control.Usage
	aliases   []control.Alias
	Items     []mail.Item
	Messages  map[mail.ID]string
	Events    []journal.Event
	Calls     []string // "retry ID" and the like, in order
	Query     journal.Query
	Policies  []control.TLSPolicy
	Ways      map[string]control.Way // by recipient
	Records   []control.Record
	Indexes   []control.IndexStatus
}

// Operations are those of the site.
func (s *Site) Operations() control.Operations {
	return control.Operations{
		Directory: s,
		Index:     indexes{s},
		Journal:   s,
		Queue:     queue{s},
		Quotas:    s,
		Route:     s,
		TLS:       security{s},
	}
}

// Password is what an account's password was last set to.
func (s *Site) Password(account string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.passwords[account]
}

// Purged are the accounts removed with their mail.
func (s *Site) Purged() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.purged)
}

func (s *Site) missing(what, name string) error {
	return fmt.Errorf("%s %s: %w", what, name, control.ErrNotFound)
}

func each[T any](mu *sync.Mutex, items *[]T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		mu.Lock()
		snapshot := slices.Clone(*items)
		mu.Unlock()
		for _, item := range snapshot {
			if !yield(item, nil) {
				return
			}
		}
	}
}

// Domains lists the domains.
func (s *Site) Domains(context.Context) iter.Seq2[control.Domain, error] {
	return func(yield func(control.Domain, error) bool) {
		for name := range each(&s.mu, &s.domains) {
			if !yield(control.Domain{Name: name}, nil) {
				return
			}
		}
	}
}

// AddDomain adds one.
func (s *Site) AddDomain(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.domains, name) {
		return fmt.Errorf("domain %s exists already", name)
	}
	s.domains = append(s.domains, name)
	return nil
}

// RemoveDomain removes one that has no accounts.
func (s *Site) RemoveDomain(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.domains, name)
	if i < 0 {
		return s.missing("domain", name)
	}
	for _, a := range s.accounts {
		if strings.HasSuffix(a, "@"+name) {
			return fmt.Errorf("domain %s still has the account %s: remove it first", name, a)
		}
	}
	s.domains = slices.Delete(s.domains, i, i+1)
	return nil
}

// Accounts lists the accounts.
func (s *Site) Accounts(context.Context) iter.Seq2[control.Account, error] {
	return func(yield func(control.Account, error) bool) {
		for name := range each(&s.mu, &s.accounts) {
			if !yield(control.Account{Name: name}, nil) {
				return
			}
		}
	}
}

// AddAccount adds one in a domain that exists.
func (s *Site) AddAccount(_ context.Context, name, password string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, domain, _ := strings.Cut(name, "@")
	if !slices.Contains(s.domains, domain) {
		return s.missing("domain", domain)
	}
	if slices.Contains(s.accounts, name) {
		return fmt.Errorf("account %s exists already", name)
	}
	s.accounts = append(s.accounts, name)
	s.setPassword(name, password)
	return nil
}

func (s *Site) setPassword(name, password string) {
	if s.passwords == nil {
		s.passwords = map[string]string{}
	}
	s.passwords[name] = password
}

// SetPassword sets an account's password.
func (s *Site) SetPassword(_ context.Context, name, password string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.accounts, name) {
		return s.missing("account", name)
	}
	s.setPassword(name, password)
	return nil
}

// RemoveAccount removes one.
func (s *Site) RemoveAccount(_ context.Context, name string, purge bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.accounts, name)
	if i < 0 {
		return s.missing("account", name)
	}
	s.accounts = slices.Delete(s.accounts, i, i+1)
	if purge {
		s.purged = append(s.purged, name)
	}
	return nil
}

// Aliases lists the aliases.
func (s *Site) Aliases(context.Context) iter.Seq2[control.Alias, error] {
	return each(&s.mu, &s.aliases)
}

func (s *Site) alias(address string) int {
	return slices.IndexFunc(s.aliases, func(a control.Alias) bool { return a.Address == address })
}

// AddAlias adds targets.
func (s *Site) AddAlias(_ context.Context, a control.Alias) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.alias(a.Address); i >= 0 {
		s.aliases[i].Targets = append(slices.Clone(s.aliases[i].Targets), a.Targets...)
		return nil
	}
	s.aliases = append(s.aliases, a)
	return nil
}

// RemoveAlias removes targets, or all of it.
func (s *Site) RemoveAlias(_ context.Context, a control.Alias) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.alias(a.Address)
	if i < 0 {
		return s.missing("alias", a.Address)
	}
	rest := slices.DeleteFunc(slices.Clone(s.aliases[i].Targets), func(t string) bool { return slices.Contains(a.Targets, t) })
	if s.aliases[i].Targets = rest; len(rest) == 0 || len(a.Targets) == 0 {
		s.aliases = slices.Delete(s.aliases, i, i+1)
	}
	return nil
}

// Find gives the events and keeps the query.
func (s *Site) Find(_ context.Context, q journal.Query) iter.Seq2[journal.Event, error] {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Query = q
	return each(&s.mu, &s.Events)
}

// Asked is the query of the last Find.
func (s *Site) Asked() journal.Query {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Query
}

// Called are the calls that changed the queue.
func (s *Site) Called() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.Calls)
}

type queue struct{ s *Site }

func (q queue) List(context.Context) iter.Seq2[mail.Item, error] { return each(&q.s.mu, &q.s.Items) }

func (q queue) Show(_ context.Context, id mail.ID) (mail.Item, error) {
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	for _, item := range q.s.Items {
		if item.ID == id {
			return item, nil
		}
	}
	return mail.Item{}, q.s.missing("queue item", id.String())
}

func (q queue) Message(ctx context.Context, id mail.ID) (io.ReadCloser, error) {
	if _, err := q.Show(ctx, id); err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader([]byte(q.s.Messages[id]))), nil
}

func (q queue) call(ctx context.Context, what string, id mail.ID) error {
	if _, err := q.Show(ctx, id); err != nil {
		return err
	}
	q.s.mu.Lock()
	defer q.s.mu.Unlock()
	q.s.Calls = append(q.s.Calls, what+" "+id.String())
	return nil
}

func (q queue) Retry(ctx context.Context, id mail.ID) error   { return q.call(ctx, "retry", id) }
func (q queue) Hold(ctx context.Context, id mail.ID) error    { return q.call(ctx, "hold", id) }
func (q queue) Release(ctx context.Context, id mail.ID) error { return q.call(ctx, "release", id) }
func (q queue) Remove(ctx context.Context, id mail.ID) error  { return q.call(ctx, "remove", id) }

// security is control.TLS.
type security struct{ s *Site }

// Policy gives the policies of the domain.
func (x security) Policy(_ context.Context, domain string) iter.Seq2[control.TLSPolicy, error] {
	return func(yield func(control.TLSPolicy, error) bool) {
		found := false
		for p := range each(&x.s.mu, &x.s.Policies) {
			if p.Domain == domain {
				found = true
				if !yield(p, nil) {
					return
				}
			}
		}
		if !found {
			yield(control.TLSPolicy{}, x.s.missing("domain", domain))
		}
	}
}

// Forget notes the call.
func (x security) Forget(_ context.Context, domain string) error {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	x.s.Calls = append(x.s.Calls, "forget "+domain)
	return nil
}

// Explain gives the way that was set for a recipient.
func (s *Site) Explain(_ context.Context, q control.RouteQuery) (control.Way, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	way, ok := s.Ways[q.To]
	if !ok {
		return control.Way{}, fmt.Errorf("address %q: no @domain", q.To)
	}
	way.From = q.From
	return way, nil
}

// Records lists the records.
func (x security) Records(context.Context) iter.Seq2[control.Record, error] {
	return each(&x.s.mu, &x.s.Records)
}

// Rotate notes the call; it fails unless forced where a record is missing.
func (x security) Rotate(_ context.Context, force bool) error {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	if !force && slices.ContainsFunc(x.s.Records, func(r control.Record) bool { return !r.Published }) {
		return fmt.Errorf("a record is missing")
	}
	x.s.Calls = append(x.s.Calls, "rotate")
	return nil
}
