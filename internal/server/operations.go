package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"

	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/directory"
	"plic/internal/directory/native"
	"plic/internal/embargo"
	"plic/internal/mail"
	"plic/internal/queue"
	"plic/internal/store"
)

// Operations are what the command line may ask of the running server.
func (s *Server) Operations() control.Operations { return s.site.operations() }

// Offline opens a data directory on which no server runs, for the command line.
func Offline(ctx context.Context, c *config.Config, log *slog.Logger) (control.Operations, io.Closer, error) {
	s, err := openSite(ctx, c, log)
	if err != nil {
		return control.Operations{}, nil, err
	}
	return s.operations(), closer(s.close), nil
}

type closer func() error

// Close calls the function.
func (c closer) Close() error { return c() }

func (s *site) operations() control.Operations {
	return control.Operations{
		Directory: people{s.directory, s.people, s.store, present{&s.sessions}},
		Discovery: clients{s},
		DKIM:      signatures{s},
		Holds:     holds{s},
		Index:     indexes{s},
		Journal:   s.journal,
		Logins:    entrances{s.directory, s.config.Hostname.String(), present{&s.sessions}},
		Moving:    moved{s},
		Mailboxes: mailPlaces{s},
		Queue:     waiting{s},
		Quotas:    quotas{s.people, s.store},
		Route:     ways{s},
		Sessions:  present{&s.sessions},
		Sources:   asked{s.people},
		Spam:      verdicts{s},
		Storage:   storing{s.config, s.log, s.engine},
		Suppress:  suppression{s.embargo},
		TLS:       security{s},
		DMARC:     mailReports{s},
	}
}

// people is control.Directory over the directory and the mail of its accounts.
type people struct {
	d     *native.Directory
	all   *everyone // with those of sources
	store *store.Store
	open  present
}

// told turns what the directory says into the words of control.
func told(err error) error {
	if errors.Is(err, directory.ErrNotFound) || errors.Is(err, queue.ErrNotFound) || errors.Is(err, embargo.ErrNotFound) || errors.Is(err, store.ErrNoAccount) {
		return &control.Error{Text: err.Error(), Missing: true}
	}
	return err
}

// Domains lists our domains.
func (p people) Domains(context.Context) iter.Seq2[control.Domain, error] {
	return func(yield func(control.Domain, error) bool) {
		for _, d := range p.d.Domains() {
			if !yield(control.Domain{Name: d.Name.String()}, nil) {
				return
			}
		}
	}
}

// AddDomain makes a domain ours.
func (p people) AddDomain(ctx context.Context, name string) error {
	d, err := mail.ParseDomain(name)
	if err != nil {
		return err
	}
	return p.d.AddDomain(ctx, d)
}

// RemoveDomain gives up a domain without accounts and aliases.
func (p people) RemoveDomain(ctx context.Context, name string) error {
	d, err := mail.ParseDomain(name)
	if err != nil {
		return err
	}
	return told(p.d.RemoveDomain(ctx, d, false))
}

// Accounts lists who may log in.
func (p people) Accounts(context.Context) iter.Seq2[control.Account, error] {
	return func(yield func(control.Account, error) bool) {
		for _, a := range p.d.Accounts() {
			if !yield(control.Account{Name: a.Name, Disabled: a.Disabled}, nil) {
				return
			}
		}
	}
}

// AddAccount makes an account.
func (p people) AddAccount(ctx context.Context, name, password string) error {
	a, err := mail.ParseAddress(name)
	if err != nil {
		return err
	}
	_, err = p.d.AddAccount(ctx, a, password)
	return told(err)
}

// SetPassword changes an account's password.
func (p people) SetPassword(ctx context.Context, name, password string) error {
	return told(p.d.SetPassword(ctx, name, password))
}

// RemoveAccount takes a login away; with purge, its mail too. Mail that is
// kept comes back with an account of the same name.
func (p people) RemoveAccount(ctx context.Context, name string, purge bool) error {
	a, err := p.d.Account(ctx, name)
	if purge && directory.Missing(err) {
		return p.purge(ctx, name)
	}
	if err != nil {
		return told(err)
	}
	if err := p.d.RemoveAccount(ctx, name); err != nil {
		return told(err)
	}
	p.open.endOf(a.Name)
	if !purge {
		return nil
	}
	err = p.store.RemoveAccount(ctx, a.Name)
	p.all.forget(a.Name)
	if err != nil && !errors.Is(err, store.ErrNoAccount) {
		return fmt.Errorf("the account is removed, but not its mail: %w", err)
	}
	return nil
}

// purge removes the mail of an account that a source had, and has no more.
func (p people) purge(ctx context.Context, name string) error {
	found, err := p.all.Account(directory.WithFresh(ctx), name)
	if err == nil {
		return fmt.Errorf("the account %s is one of a source: remove it there first", found.Name)
	}
	address, bad := mail.ParseAddress(name)
	if bad != nil || !directory.Missing(err) {
		return told(err)
	}
	p.open.endOf(address.Key())
	err = p.store.RemoveAccount(ctx, address.Key())
	p.all.forget(address.Key())
	return told(err)
}

// Aliases lists the aliases.
func (p people) Aliases(context.Context) iter.Seq2[control.Alias, error] {
	return func(yield func(control.Alias, error) bool) {
		for _, a := range p.d.Aliases() {
			c := control.Alias{Address: a.Name}
			for _, t := range a.Targets {
				c.Targets = append(c.Targets, t.String())
			}
			if !yield(c, nil) {
				return
			}
		}
	}
}

// AddAlias adds targets to an alias.
func (p people) AddAlias(ctx context.Context, a control.Alias) error {
	targets, err := parseAll(a.Targets)
	if err != nil {
		return err
	}
	return told(p.d.AddAlias(ctx, a.Address, targets...))
}

// RemoveAlias takes targets from an alias, or all of it.
func (p people) RemoveAlias(ctx context.Context, a control.Alias) error {
	targets, err := parseAll(a.Targets)
	if err != nil {
		return err
	}
	return told(p.d.RemoveAlias(ctx, a.Address, targets...))
}

func parseAll(texts []string) ([]mail.Address, error) {
	var list []mail.Address
	for _, text := range texts {
		a, err := mail.ParseAddress(text)
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, nil
}
