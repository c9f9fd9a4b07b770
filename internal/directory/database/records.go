package database

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"plic/internal/directory"
	"plic/internal/directory/source"
	"plic/internal/mail"
	"plic/internal/table"
)

// Queries are what is asked of a database. Parameters are :domain; :login (or
// :address, :account, :key, which are the same: the whole of what is asked for)
// with its :local and :domain.
type Queries struct {
	// Domain finds a row if the domain is ours.
	Domain string
	// Account finds at most one row with the fields of package source.
	Account string
	// Mailbox finds the account of an address in its column account; Account is
	// asked if it is empty.
	Mailbox string
	// Aliases finds the targets of an address, or of "@domain", in its first
	// column, one in a row or several with commas between. It may be empty.
	Aliases string
	// Senders and Groups find, one in a row, further addresses that an account
	// may send as, and the groups that it is in. They may be empty.
	Senders, Groups string
}

// records are source.Records by queries.
type records struct {
	form                                               source.Form
	domain, account, mailbox, aliases, senders, groups *statement
}

// Directory makes a directory by queries; the separator stands between user and
// detail.
func (d *Database) Directory(q Queries, form source.Form, separator string) (*source.Directory, error) {
	if q.Domain == "" || q.Account == "" {
		return nil, errors.New("a source needs a query for domains and one for accounts, or a schema")
	}
	r := &records{form: form}
	var errs []error
	for _, s := range []struct {
		name, text string
		to         **statement
	}{{"domain", q.Domain, &r.domain}, {"account", q.Account, &r.account}, {"mailbox", q.Mailbox, &r.mailbox}, {"alias", q.Aliases, &r.aliases},
		{"sender", q.Senders, &r.senders}, {"group", q.Groups, &r.groups}} {
		if s.text == "" {
			continue
		}
		made, err := d.statement(s.text)
		if err != nil {
			errs = append(errs, fmt.Errorf("the query for a %s: %w", s.name, err))
		}
		*s.to = made
	}
	return source.New(r, separator), errors.Join(errs...)
}

// whole are the values of a login.
func whole(login string) values {
	v := values{whole: login, local: login}
	if a, err := mail.ParseAddress(login); err == nil {
		v.local, v.domain = a.Local, a.Domain.String()
	}
	return v
}

// Domain says whether a domain is in the database.
func (r *records) Domain(ctx context.Context, d mail.Domain) (bool, error) {
	rows, err := r.domain.ask(ctx, values{whole: d.String(), domain: d.String()})
	return len(rows) > 0, err
}

// one is the only row that a query finds.
func one(ctx context.Context, s *statement, login string) (row, error) {
	rows, err := s.ask(ctx, whole(login))
	switch {
	case err != nil:
		return row{}, err
	case len(rows) == 0:
		return row{}, fmt.Errorf("%s: %w", login, directory.ErrNotFound)
	case len(rows) > 1:
		return row{}, fmt.Errorf("the query finds %d accounts for %s", len(rows), login)
	}
	return rows[0], nil
}

// Account finds an account by its login.
func (r *records) Account(ctx context.Context, login string) (directory.Account, error) {
	found, err := one(ctx, r.account, login)
	if err != nil {
		return directory.Account{}, err
	}
	a, err := r.form.Account(found.fields)
	if err != nil {
		return directory.Account{}, err
	}
	more := source.Fields{"account": a.Name}
	for name, s := range map[string]*statement{"senders": r.senders, "groups": r.groups} {
		if s == nil {
			continue
		}
		rows, err := s.ask(ctx, whole(a.Name))
		if err != nil {
			return directory.Account{}, err
		}
		var all []string
		for _, x := range rows {
			all = append(all, x.first())
		}
		more[name] = strings.Join(all, ",")
	}
	extra, err := r.form.Account(more)
	a.Senders, a.Groups = append(a.Senders, extra.Senders...), append(a.Groups, extra.Groups...)
	return a, err
}

// Mailbox is the account of an address.
func (r *records) Mailbox(ctx context.Context, a mail.Address) (string, error) {
	s := r.mailbox
	if s == nil {
		s = r.account
	}
	found, err := one(ctx, s, a.String())
	if err != nil {
		return "", err
	}
	return r.form.Name(source.Fields(found.fields).Account())
}

// Aliases are the targets of an address, or of all of a domain.
func (r *records) Aliases(ctx context.Context, a mail.Address) ([]string, error) {
	if r.aliases == nil {
		return nil, nil
	}
	v := values{whole: a.String(), local: a.Local, domain: a.Domain.String()}
	if a.Local == "" {
		v.whole = "@" + v.domain
	}
	rows, err := r.aliases.ask(ctx, v)
	var all []string
	for _, x := range rows {
		all = append(all, x.first())
	}
	return all, err
}

// lookup is a table.Table by a query.
type lookup struct{ s *statement }

// Table makes a table of a query: :key is what is looked for, :local and
// :domain its parts if it is an address. Several rows are one value, with
// commas between.
func (d *Database) Table(query string) (table.Table, error) {
	s, err := d.statement(query)
	return lookup{s}, err
}

// Lookup finds a key, which is in lower case.
func (l lookup) Lookup(ctx context.Context, key string) (string, bool, error) {
	key = strings.ToLower(key)
	if !source.Askable(key) {
		return "", false, nil
	}
	v := whole(key)
	if domain, ok := strings.CutPrefix(key, "@"); ok {
		v.local, v.domain = "", domain
	}
	rows, err := l.s.ask(ctx, v)
	if err != nil {
		return "", false, err
	}
	var all []string
	for _, r := range rows {
		if text := r.first(); text != "" {
			all = append(all, text)
		}
	}
	return strings.Join(all, ", "), len(all) > 0, nil
}
