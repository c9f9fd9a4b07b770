package server

import (
	"context"
	"errors"
	"strings"
	"sync"

	"plic/internal/control"
	"plic/internal/directory"
	"plic/internal/mail"
	"plic/internal/sasl"
)

// asked is control.Sources over the directory of everyone.
type asked struct{ d *everyone }

// steps gathers the steps of look-ups.
type steps struct {
	mu  sync.Mutex
	all []control.LookupStep
}

func (s *steps) add(x directory.Step) {
	step := control.LookupStep{Source: x.Source, Question: x.Question, Key: x.Key, Outcome: x.Outcome(), Answer: x.Answer, Took: x.Took}
	if step.Outcome == "trouble" {
		step.Trouble = x.Err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, step)
}

// Lookup finds a domain, an address or a login.
func (a asked) Lookup(ctx context.Context, what string, fresh bool) (control.Finding, error) {
	f := control.Finding{Asked: what, Outcome: "missing"}
	var s steps
	ctx = directory.WithSteps(ctx, s.add)
	if fresh {
		ctx = directory.WithFresh(ctx)
	}
	var errs []error
	note := func(err error) bool {
		if err == nil {
			f.Outcome = "found"
		} else if !directory.Missing(err) {
			errs = append(errs, err)
		}
		return err == nil
	}
	address, err := mail.ParseAddress(what)
	domain := address.Domain
	if err != nil || !strings.Contains(what, "@") {
		domain, _ = mail.ParseDomain(what)
	}
	if !domain.IsZero() {
		if found, err := a.d.Domain(ctx, domain); note(err) {
			f.Domain = found.Name.String()
		}
		if address.Local != "" {
			f.Outcome = "missing" // the domain alone is not what was asked for
		}
	}
	if address.Local != "" || domain.IsZero() || !strings.Contains(what, ".") {
		if found, err := a.d.Account(ctx, what); note(err) {
			f.Account = described(found)
		}
	}
	if address.Local != "" {
		if t, err := a.d.Resolve(ctx, address); note(err) {
			f.Leads = &control.AddressTargets{Account: t.Account, Detail: t.Detail, CatchAll: t.CatchAll, Role: t.Role}
			for _, to := range t.Aliases {
				f.Leads.Aliases = append(f.Leads.Aliases, to.String())
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		f.Outcome, f.Reason = "trouble", err.Error()
	}
	f.Steps = s.all
	return f, nil
}

// Try checks a password.
func (a asked) Try(ctx context.Context, login, password string) (control.Finding, error) {
	f := control.Finding{Asked: login}
	var s steps
	ctx = directory.WithFresh(directory.WithSteps(ctx, s.add))
	err := a.try(ctx, login, password, &f)
	f.Steps, f.Outcome = s.all, directory.Step{Err: err}.Outcome()
	switch {
	case f.Outcome == "trouble":
		f.Reason = err.Error()
	case err == nil && f.Account.Disabled:
		f.Outcome, f.Reason = "disabled", "the password is right, and the account may not log in"
	}
	return f, nil
}

func (a asked) try(ctx context.Context, login, password string, f *control.Finding) error {
	found, err := a.d.Account(ctx, login)
	if err != nil {
		return err
	}
	f.Account = described(found)
	if found.External {
		_, err := a.d.Check(ctx, login, password)
		return err
	}
	prepared, err := sasl.Prepare(password)
	if err != nil || found.Secret.Hash == "" {
		return directory.ErrPassword
	}
	ok, err := directory.Verify(found.Secret.Hash, prepared)
	if err == nil && !ok {
		err = directory.ErrPassword
	}
	return err
}

// described tells an account without its secrets.
func described(a directory.Account) *control.FoundAccount {
	d := &control.FoundAccount{
		Name: a.Name, Password: "none", Disabled: a.Disabled, Bytes: a.Quota.Bytes, Messages: a.Quota.Messages, Mailboxes: a.Mailboxes,
		Home: a.Home, UID: a.UID, GID: a.GID, Groups: a.Groups, Senders: a.Senders, Protocols: a.Allow.Protocols,
	}
	for _, n := range a.Allow.Networks {
		d.Networks = append(d.Networks, n.String())
	}
	switch scheme, _, braced := strings.Cut(strings.TrimPrefix(a.Secret.Hash, "{"), "}"); {
	case a.External:
		d.Password = "source"
	case braced:
		d.Password = scheme
	case a.Secret.Hash != "":
		d.Password = "argon2id"
	}
	return d
}
