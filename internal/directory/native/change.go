package native

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"plic/internal/directory"
	"plic/internal/mail"
)

// Account is an account as listed.
type Account struct {
	Name     string    `json:"account"`
	Disabled bool      `json:"disabled,omitempty"`
	Created  time.Time `json:"created"`
}

// Alias is an alias as listed.
type Alias struct {
	Name    string         `json:"alias"` // an address, or "@domain"
	Targets []mail.Address `json:"targets"`
	Created time.Time      `json:"created"`
}

// put makes a change durable, then visible. The caller holds change.
func (d *Directory) put(r record) error {
	if r.Time.IsZero() {
		r.Time = d.o.Now().UTC()
	}
	live := func() []record { return d.state.records() } // only change changes it
	if err := d.log.append(r, live); err != nil {
		return err
	}
	d.mu.Lock()
	err := d.state.apply(r)
	d.mu.Unlock()
	d.log.compact(d.state.size(), live)
	return err
}

// Domains lists the domains by name.
func (d *Directory) Domains() []directory.Domain {
	d.mu.RLock()
	defer d.mu.RUnlock()
	all := make([]directory.Domain, 0, len(d.state.domains))
	for name := range d.state.domains {
		all = append(all, directory.Domain{Name: name})
	}
	slices.SortFunc(all, func(a, b directory.Domain) int { return strings.Compare(a.Name.String(), b.Name.String()) })
	return all
}

// AddDomain makes a domain ours; ErrExists if it is.
func (d *Directory) AddDomain(_ context.Context, name mail.Domain) error {
	d.change.Lock()
	defer d.change.Unlock()
	if _, literal := name.Literal(); name.IsZero() || literal {
		return fmt.Errorf("domain %q: %w: write a name like example.org", name, directory.ErrInvalid)
	}
	if d.state.domains[name] != nil {
		return fmt.Errorf("domain %s: %w", name, directory.ErrExists)
	}
	return d.put(record{Op: opDomain, Name: name.String()})
}

// RemoveDomain takes a domain away. One that has accounts or aliases is refused
// with ErrNotEmpty, unless forced: then they go with it.
func (d *Directory) RemoveDomain(_ context.Context, name mail.Domain, force bool) error {
	d.change.Lock()
	defer d.change.Unlock()
	found := d.state.domains[name]
	if found == nil {
		return fmt.Errorf("domain %s: %w", name, directory.ErrNotFound)
	}
	if n, m := len(found.members), len(found.aliases); n+m > 0 && !force {
		return fmt.Errorf("domain %s: %w: it has %d accounts and %d aliases", name, directory.ErrNotEmpty, n, m)
	}
	return d.put(record{Op: opRemoveDomain, Name: name.String()})
}

// Accounts lists the accounts by name.
func (d *Directory) Accounts() []Account {
	d.mu.RLock()
	defer d.mu.RUnlock()
	all := make([]Account, 0, len(d.state.accounts))
	for _, a := range d.state.accounts {
		all = append(all, Account{a.name, a.disabled, a.created})
	}
	slices.SortFunc(all, func(a, b Account) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// AddAccount makes an account and gives its name. ErrExists if there is an
// account or alias whose name looks the same; ErrNotFound without its domain.
func (d *Directory) AddAccount(_ context.Context, address mail.Address, password string) (string, error) {
	name := canonical(address).String()
	if address.Domain.IsZero() {
		return "", fmt.Errorf("account %q: %w: write user@domain", name, directory.ErrInvalid)
	}
	if again, err := mail.ParseAddress(name); err != nil || again != canonical(address) {
		return "", fmt.Errorf("account %q: %w: not an address", name, directory.ErrInvalid)
	}
	secret, err := d.secret(password, nil)
	if err != nil {
		return "", fmt.Errorf("account %s: %w", name, err)
	}
	d.change.Lock()
	defer d.change.Unlock()
	k := key(address)
	switch {
	case d.state.domains[address.Domain] == nil:
		return "", fmt.Errorf("account %s: domain %s: %w", name, address.Domain, directory.ErrNotFound)
	case d.state.accounts[k] != nil:
		return "", fmt.Errorf("account %s: %w", d.state.accounts[k].name, directory.ErrExists)
	case d.state.aliases[k] != nil:
		return "", fmt.Errorf("account %s: %w as an alias", name, directory.ErrExists)
	}
	secret.Op, secret.Name = opAccount, name
	return name, d.put(secret)
}

// secret hashes a password into the fields of a record: slow, before any lock.
func (d *Directory) secret(password string, salt []byte) (record, error) {
	s, err := directory.Salted(password, d.o.Cost, salt)
	if err != nil {
		return record{}, fmt.Errorf("%w: %w", directory.ErrInvalid, err)
	}
	scram, err := s.SCRAM.MarshalText()
	return record{Hash: s.Hash, SCRAM: string(scram), logins: logins{Also: s.Also}}, err
}

// RemoveAccount takes the login away; its mail is not the directory's.
func (d *Directory) RemoveAccount(_ context.Context, login string) error {
	d.change.Lock()
	defer d.change.Unlock()
	a, err := d.account(login)
	if err != nil {
		return err
	}
	return d.put(record{Op: opRemoveAccount, Name: a.name})
}

// SetPassword changes the password.
func (d *Directory) SetPassword(_ context.Context, login, password string) error {
	secret, err := d.secret(password, d.salt(login))
	if err != nil {
		return fmt.Errorf("account %s: %w", login, err)
	}
	return d.update(login, func(r *record) error {
		r.Hash, r.SCRAM, r.Also = secret.Hash, secret.SCRAM, secret.Also
		return nil
	})
}

// SetDisabled keeps the account from logging in, or lets it again.
func (d *Directory) SetDisabled(_ context.Context, login string, disabled bool) error {
	return d.update(login, func(r *record) error {
		r.Disabled = disabled
		return nil
	})
}

// update changes one account, unless the change says no.
func (d *Directory) update(login string, change func(*record) error) error {
	d.change.Lock()
	defer d.change.Unlock()
	a, err := d.account(login)
	if err != nil {
		return err
	}
	r := a.record()
	if err := change(&r); err != nil {
		return fmt.Errorf("account %s: %w", a.name, err)
	}
	return d.put(r)
}

// account finds an account to change. The caller holds change.
func (d *Directory) account(login string) (*account, error) {
	address, err := mail.ParseAddress(strings.TrimSpace(login))
	if err != nil {
		return nil, fmt.Errorf("account: %w", err)
	}
	if a := d.state.accounts[key(address)]; a != nil {
		return a, nil
	}
	return nil, fmt.Errorf("account %s: %w", address, directory.ErrNotFound)
}

// Aliases lists the aliases by name.
func (d *Directory) Aliases() []Alias {
	d.mu.RLock()
	defer d.mu.RUnlock()
	all := make([]Alias, 0, len(d.state.aliases))
	for _, a := range d.state.aliases {
		all = append(all, Alias{a.name, slices.Clone(a.targets), a.created})
	}
	slices.SortFunc(all, func(a, b Alias) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// AddAlias adds targets to an alias, an address or "@domain" for the catch-all,
// which it makes if there is none. Without a new target it is ErrExists.
func (d *Directory) AddAlias(_ context.Context, name string, targets ...mail.Address) error {
	k, of, err := aliasKey(name)
	if err != nil {
		return fmt.Errorf("alias: %w: %w", directory.ErrInvalid, err)
	}
	if a, err := mail.ParseAddress(name); err == nil {
		name = canonical(a).String()
	} else {
		name = k
	}
	d.change.Lock()
	defer d.change.Unlock()
	if d.state.domains[of] == nil {
		return fmt.Errorf("alias %s: domain %s: %w", name, of, directory.ErrNotFound)
	}
	if d.state.accounts[k] != nil {
		return fmt.Errorf("alias %s: %w as an account", name, directory.ErrExists)
	}
	r := record{Op: opAlias, Name: name}
	if old := d.state.aliases[k]; old != nil {
		r = old.record()
	}
	had := len(r.Targets)
	for _, t := range targets {
		if err := d.checkTarget(k, t); err != nil {
			return fmt.Errorf("alias %s: %w", name, err)
		}
		if !slices.ContainsFunc(r.Targets, sameAs(t)) {
			r.Targets = append(r.Targets, t.String())
		}
	}
	if len(r.Targets) == had {
		if had == 0 {
			return fmt.Errorf("alias %s: %w: it needs a target", name, directory.ErrInvalid)
		}
		return fmt.Errorf("alias %s: %w with these targets", name, directory.ErrExists)
	}
	return d.put(r)
}

// checkTarget refuses an alias that leads to itself; longer loops are for who
// follows aliases to see.
func (d *Directory) checkTarget(alias string, t mail.Address) error {
	if t.Domain.IsZero() {
		return fmt.Errorf("%w: target %q needs a domain", directory.ErrInvalid, t)
	}
	if again, err := mail.ParseAddress(t.String()); err != nil || again != t {
		return fmt.Errorf("%w: target %q is not an address", directory.ErrInvalid, t)
	}
	if base, _ := t.Detail(d.o.Separator); key(t) == alias || key(base) == alias {
		return fmt.Errorf("%w: it would lead to itself", directory.ErrInvalid)
	}
	if alias == "@"+t.Domain.String() {
		if _, _, ok := d.named(t); !ok {
			return fmt.Errorf("%w: target %s would lead back to this catch-all, as it does not exist", directory.ErrInvalid, t)
		}
	}
	return nil
}

// named finds what bears the address or its base as a name of its own.
func (d *Directory) named(a mail.Address) (*account, *alias, bool) {
	base, _ := a.Detail(d.o.Separator)
	for _, k := range []string{key(a), key(base)} {
		if d.state.accounts[k] != nil || d.state.aliases[k] != nil {
			return d.state.accounts[k], d.state.aliases[k], true
		}
	}
	return nil, nil, false
}

// RemoveAlias takes targets from an alias, or all of it if none are named or
// left.
func (d *Directory) RemoveAlias(_ context.Context, name string, targets ...mail.Address) error {
	k, _, err := aliasKey(name)
	if err != nil {
		return fmt.Errorf("alias: %w: %w", directory.ErrInvalid, err)
	}
	d.change.Lock()
	defer d.change.Unlock()
	old := d.state.aliases[k]
	if old == nil {
		return fmt.Errorf("alias %s: %w", name, directory.ErrNotFound)
	}
	r := old.record()
	for _, t := range targets {
		if !slices.ContainsFunc(r.Targets, sameAs(t)) {
			return fmt.Errorf("alias %s: target %s: %w", name, t, directory.ErrNotFound)
		}
		r.Targets = slices.DeleteFunc(r.Targets, sameAs(t))
	}
	if len(targets) == 0 || len(r.Targets) == 0 {
		return d.put(record{Op: opRemoveAlias, Name: old.name})
	}
	return d.put(r)
}

func sameAs(t mail.Address) func(string) bool {
	k := key(t)
	return func(text string) bool {
		a, err := mail.ParseAddress(text)
		return err == nil && key(a) == k
	}
}
