// Package chain makes one directory of several sources, asked in order, each
// for all domains or for some. A source that is in trouble ends a look-up that
// no source before it has answered: what it would have said is not known, and
// "no such user" would be a lie.
//
// RFC 5321 section 4.5.1 and RFC 2142 (postmaster and abuse).
package chain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"plic/internal/directory"
	"plic/internal/mail"
)

// Source is a directory of the chain. It may be a directory.Checker too.
type Source struct {
	Name    string
	Domains []mail.Domain // it is asked for these only; for all if there are none
	directory.Directory
}

// Options say who is asked.
type Options struct {
	Sources []Source
	// Postmaster gets the mail for postmaster and abuse of domains where no
	// source knows who should: an account, or an address anywhere.
	Postmaster mail.Address
	Separator  string               // between user and detail; "+" if empty
	Now        func() time.Time     // time.Now if nil
	Observe    func(directory.Step) // told of every question to a source; nil if nobody wants to know
}

// Directory is the chain; it is a directory.Directory and a directory.Checker.
type Directory struct{ o Options }

// New makes a chain.
func New(o Options) *Directory {
	if o.Separator == "" {
		o.Separator = "+"
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Directory{o}
}

// serves says whether a source is asked about a domain, none being any.
func (s *Source) serves(d mail.Domain) bool {
	return len(s.Domains) == 0 || d.IsZero() || slices.Contains(s.Domains, d)
}

// ask puts a question to one source.
func ask[T any](ctx context.Context, c *Directory, s *Source, question, key string, do func() (T, error), say func(T) string) (T, error) {
	started := c.o.Now()
	answer, err := do()
	step := directory.Step{Source: s.Name, Question: question, Key: key, Err: err, Took: c.o.Now().Sub(started)}
	if err == nil && directory.Told(ctx) {
		step.Answer = say(answer)
	}
	directory.Tell(ctx, step)
	if c.o.Observe != nil {
		c.o.Observe(step)
	}
	if err != nil && !errors.Is(err, directory.ErrNotFound) && !errors.Is(err, directory.ErrPassword) {
		err = fmt.Errorf("source %s: %w", s.Name, err)
	}
	return answer, err
}

// Domain finds a domain of any source.
func (c *Directory) Domain(ctx context.Context, d mail.Domain) (directory.Domain, error) {
	for i := range c.o.Sources {
		s := &c.o.Sources[i]
		if !s.serves(d) {
			continue
		}
		found, err := ask(ctx, c, s, "domain", d.String(), func() (directory.Domain, error) { return s.Directory.Domain(ctx, d) },
			func(directory.Domain) string { return "ours" })
		if !errors.Is(err, directory.ErrNotFound) {
			return found, err
		}
	}
	return directory.Domain{}, fmt.Errorf("domain %s: %w", d, directory.ErrNotFound)
}

// Account finds an account by what a user logs in with: the first that has it.
func (c *Directory) Account(ctx context.Context, login string) (directory.Account, error) {
	found, _, err := c.account(ctx, login)
	return found, err
}

func (c *Directory) account(ctx context.Context, login string) (directory.Account, *Source, error) {
	d := loginDomain(login)
	for i := range c.o.Sources {
		s := &c.o.Sources[i]
		if !s.serves(d) {
			continue
		}
		found, err := ask(ctx, c, s, "account", login, func() (directory.Account, error) { return s.Directory.Account(ctx, login) },
			func(a directory.Account) string { return a.Name })
		if !errors.Is(err, directory.ErrNotFound) {
			return found, s, err
		}
	}
	return directory.Account{}, nil, fmt.Errorf("account: %w", directory.ErrNotFound)
}

// loginDomain is the domain of a login, none if it is no address.
func loginDomain(login string) mail.Domain {
	a, err := mail.ParseAddress(strings.TrimSpace(login))
	if err != nil {
		return mail.Domain{}
	}
	return a.Domain
}

// Check has the source of an External account check a password.
func (c *Directory) Check(ctx context.Context, login, password string) (directory.Account, error) {
	if password == "" {
		return directory.Account{}, directory.ErrPassword
	}
	found, s, err := c.account(ctx, login)
	if err != nil {
		return found, err
	}
	checker, ok := s.Directory.(directory.Checker)
	if !ok || !found.External {
		return directory.Account{}, fmt.Errorf("source %s does not check the password of %s", s.Name, found.Name)
	}
	return ask(ctx, c, s, "password", login, func() (directory.Account, error) { return checker.Check(ctx, login, password) },
		func(a directory.Account) string { return a.Name })
}

// Resolve says where an address leads. The address itself counts in whatever
// source it is, before the address without its detail, a catch-all, and the
// duty to have a postmaster.
func (c *Directory) Resolve(ctx context.Context, a mail.Address) (directory.Target, error) {
	var best directory.Target
	rank := none
	for i := range c.o.Sources {
		s := &c.o.Sources[i]
		if !s.serves(a.Domain) {
			continue
		}
		t, err := ask(ctx, c, s, "address", a.String(), func() (directory.Target, error) { return s.Directory.Resolve(ctx, a) }, describe)
		if errors.Is(err, directory.ErrNotFound) {
			continue
		}
		if err != nil {
			return directory.Target{}, err
		}
		if r := rankOf(t); r < rank {
			best, rank = t, r
		}
		if rank == exact {
			break
		}
	}
	if rank != none {
		return best, nil
	}
	return c.postmaster(ctx, a)
}

// The ranks of what an address may lead to, best first.
const (
	exact = iota
	detailed
	catchAll
	role
	none
)

func rankOf(t directory.Target) int {
	switch {
	case t.Role:
		return role
	case t.CatchAll:
		return catchAll
	case t.Detail != "":
		return detailed
	}
	return exact
}

// describe says where a target leads.
func describe(t directory.Target) string {
	var parts []string
	if t.Account != "" {
		parts = append(parts, "account "+t.Account)
	}
	for _, a := range t.Aliases {
		parts = append(parts, a.String())
	}
	text := strings.Join(parts, ", ")
	switch {
	case t.CatchAll:
		text += " (catch-all)"
	case t.Role:
		text += " (as postmaster)"
	case t.Detail != "":
		text += " (detail " + t.Detail + ")"
	}
	return text
}

// postmaster is who stands in for the roles that every domain has, where no
// source knows: RFC 5321 section 4.5.1, RFC 2142.
func (c *Directory) postmaster(ctx context.Context, a mail.Address) (directory.Target, error) {
	missing := fmt.Errorf("address %s: %w", a, directory.ErrNotFound)
	base, _ := a.Detail(c.o.Separator)
	if local := strings.ToLower(base.Local); local != "postmaster" && (local != "abuse" || a.Domain.IsZero()) {
		return directory.Target{}, missing
	}
	if !a.Domain.IsZero() {
		if _, err := c.Domain(ctx, a.Domain); err != nil {
			return directory.Target{}, err
		}
	}
	p := c.o.Postmaster
	if p.IsNull() {
		p = mail.Address{Local: "postmaster"} // of whoever has accounts
	}
	if p == a || p == base {
		return directory.Target{}, missing
	}
	t, err := c.Resolve(ctx, p)
	if errors.Is(err, directory.ErrNotFound) && !p.Domain.IsZero() {
		if _, err := c.Domain(ctx, p.Domain); errors.Is(err, directory.ErrNotFound) {
			return directory.Target{Aliases: []mail.Address{p}, Role: true}, nil
		}
	}
	t.Role = err == nil
	return t, err
}

// Owns says whether the account may send as the address.
func (c *Directory) Owns(ctx context.Context, account string, a mail.Address) (bool, error) {
	return directory.Owns(ctx, c, account, a)
}
