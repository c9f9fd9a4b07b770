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
	"time"

	"plic/internal/control"
	"plic/internal/embargo"
	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/queue"
)

// Site keeps what it is told. Fill the fields before use, or by operations.
type Site struct {
	mu         sync.Mutex
	domains    []string
	passwords  map[string]string
	accounts   []string
	purged     []string
	quotas     map[string]control.Usage
	logins     map[string]*control.Login
	aliases    []control.Alias
	Items      []mail.Item
	Messages   map[mail.ID]string
	Events     []journal.Event
	Calls      []string // "retry ID" and the like, in order
	Query      journal.Query
	Policies   []control.TLSPolicy
	TLSReports []control.TLSReport
	Shown      control.Certificate
	Reports    []control.DMARCReport
	Ways       map[string]control.Way // by recipient
	Records    []control.Record
	Open       []control.Session
	Indexes    []control.IndexStatus
	Spam       Spam
	Faults     []control.Fault
	Moved      Moved

	Rules      []embargo.Rule
	Suppressed []embargo.Suppressed
	Findings   map[string]control.Finding // by what is looked for
}

// Operations are those of the site.
func (s *Site) Operations() control.Operations {
	return control.Operations{
		Directory: s,
		Discovery: clients{s},
		DKIM:      keys{s},
		Holds:     waiting{s},
		Index:     indexes{s},
		Journal:   s,
		Logins:    logins{s},
		Moving:    &s.Moved,
		Queue:     waiting{s},
		Quotas:    s,
		Route:     s,
		Sessions:  sessions{s},
		Sources:   sources{s},
		Spam:      spam{s},
		Storage:   storage{s},
		Suppress:  waiting{s},
		TLS:       security{s},
		DMARC:     mailReports{s},
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

type waiting struct{ s *Site }

func (w waiting) List(_ context.Context, f queue.Filter) iter.Seq2[queue.Listed, error] {
	return func(yield func(queue.Listed, error) bool) {
		for item := range each(&w.s.mu, &w.s.Items) {
			if !f.Match(&item, time.Now()) {
				continue
			}
			state := "waiting"
			if item.Hold {
				state = "held"
			}
			if !yield(queue.Listed{Item: item, State: state}, nil) {
				return
			}
		}
	}
}

func (w waiting) Shapes(ctx context.Context, f queue.Filter, by queue.By) iter.Seq2[queue.Shape, error] {
	return func(yield func(queue.Shape, error) bool) {
		all := queue.Shape{Name: string(by)}
		for item := range w.List(ctx, f) {
			all.Items++
			all.Recipients += len(item.To)
			all.Ages[3] += len(item.To)
			all.Oldest = item.Envelope.Received
		}
		yield(all, nil)
	}
}

func (w waiting) Message(_ context.Context, id mail.ID) (io.ReadCloser, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	if !slices.ContainsFunc(w.s.Items, func(i mail.Item) bool { return i.ID == id }) {
		return nil, w.s.missing("queue item", id.String())
	}
	return io.NopCloser(bytes.NewReader([]byte(w.s.Messages[id]))), nil
}

// Change notes "retry 2 of 3": how many were found and changed, as far as
// holding goes.
func (w waiting) Change(ctx context.Context, c control.Change) (r queue.Result, err error) {
	for item := range w.List(ctx, c.Filter) {
		r.Found++
		if c.Action == control.Release == item.Hold || c.Action == control.Remove || c.Action == control.Bounce {
			r.Changed++
		}
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.s.Calls = append(w.s.Calls, strings.TrimSpace(fmt.Sprintf("%s %d of %d %s %s", c.Action, r.Changed, r.Found, c.Why, c.Hop.Host)))
	return r, nil
}

func (w waiting) Rules(context.Context) iter.Seq2[embargo.Rule, error] {
	return each(&w.s.mu, &w.s.Rules)
}

func (w waiting) AddRule(_ context.Context, f queue.Filter, why string) (embargo.Rule, error) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	r := embargo.Rule{ID: mail.ID{byte(len(w.s.Rules) + 1)}, Filter: f, Why: why}
	w.s.Rules = append(w.s.Rules, r)
	return r, nil
}

func (w waiting) RemoveRule(_ context.Context, id mail.ID, release bool) error {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	i := slices.IndexFunc(w.s.Rules, func(r embargo.Rule) bool { return r.ID == id })
	if i < 0 {
		return w.s.missing("hold rule", id.String())
	}
	w.s.Rules = slices.Delete(w.s.Rules, i, i+1)
	w.s.Calls = append(w.s.Calls, fmt.Sprintf("unhold %s %v", id, release))
	return nil
}

func (w waiting) Suppressed(context.Context) iter.Seq2[embargo.Suppressed, error] {
	return each(&w.s.mu, &w.s.Suppressed)
}

func (w waiting) Suppress(_ context.Context, address string, d time.Duration, why string) error {
	a, err := mail.ParseAddress(address)
	if err != nil {
		return err
	}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	s := embargo.Suppressed{Address: a, ByHand: true, Why: why}
	if d > 0 {
		s.Until = time.Now().Add(d).UTC().Truncate(time.Second)
	}
	w.s.Suppressed = append(w.s.Suppressed, s)
	return nil
}

func (w waiting) Unsuppress(_ context.Context, address string) error {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	i := slices.IndexFunc(w.s.Suppressed, func(s embargo.Suppressed) bool { return s.Address.String() == address })
	if i < 0 {
		return w.s.missing("suppressed address", address)
	}
	w.s.Suppressed = slices.Delete(w.s.Suppressed, i, i+1)
	return nil
}

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

// Certificate gives what was set.
func (x security) Certificate(context.Context) (control.Certificate, error) {
	x.s.mu.Lock()
	defer x.s.mu.Unlock()
	return x.s.Shown, nil
}

// Reports gives the reports that were set, whenever they came.
func (x security) Reports(context.Context, int) iter.Seq2[control.TLSReport, error] {
	return func(yield func(control.TLSReport, error) bool) {
		for r := range each(&x.s.mu, &x.s.TLSReports) {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// mailReports is control.DMARC.
type mailReports struct{ s *Site }

// Reports gives the reports that were set, whenever they came.
func (x mailReports) Reports(context.Context, int) iter.Seq2[control.DMARCReport, error] {
	return func(yield func(control.DMARCReport, error) bool) {
		for r := range each(&x.s.mu, &x.s.Reports) {
			if !yield(r, nil) {
				return
			}
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
