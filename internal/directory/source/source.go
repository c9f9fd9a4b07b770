// Package source makes a directory of records that a driver finds one by one in
// a place of others: a database, an LDAP server, a file. What is the same for
// all of them is here: how an address is looked for, which questions are worth
// asking, and what the fields of a record mean.
package source

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"plic/internal/directory"
	"plic/internal/mail"
)

// Records are what a driver finds. Questions come in lower case, NFC and
// A-labels, without NUL and other control characters. Errors other than
// directory.ErrNotFound are temporary trouble.
type Records interface {
	// Domain says whether a domain is in the records.
	Domain(ctx context.Context, d mail.Domain) (bool, error)
	// Account finds an account by its login, which may be no address.
	Account(ctx context.Context, login string) (directory.Account, error)
	// Mailbox is the name of the account that an address itself belongs to.
	Mailbox(ctx context.Context, a mail.Address) (account string, err error)
	// Aliases are the targets of an address or, without a local part, of all
	// addresses of a domain, as they are written down; none if it is no alias.
	Aliases(ctx context.Context, a mail.Address) ([]string, error)
}

// Checker are records that can check passwords, as directory.Checker says; the
// password is not empty.
type Checker interface {
	Check(ctx context.Context, login, password string) (directory.Account, error)
}

// Directory is a directory.Directory and directory.Checker of records.
type Directory struct {
	r         Records
	separator string
}

// New makes a directory. The separator stands between user and detail; "+" if
// empty.
func New(r Records, separator string) *Directory {
	if separator == "" {
		separator = "+"
	}
	return &Directory{r, separator}
}

// maxQuestion bounds what is asked for; no name is longer.
const maxQuestion = 512

// Askable says whether something could have such a name. Databases choke on NUL
// and on what is not UTF-8, and that would look like trouble.
func Askable(s string) bool {
	return s != "" && len(s) <= maxQuestion && utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return c < ' ' || c == 0x7f })
}

func missing(what string) error { return fmt.Errorf("%s: %w", what, directory.ErrNotFound) }

// Domain finds a domain.
func (d *Directory) Domain(ctx context.Context, name mail.Domain) (directory.Domain, error) {
	if _, literal := name.Literal(); literal || name.IsZero() {
		return directory.Domain{}, missing("domain")
	}
	ok, err := d.r.Domain(ctx, name)
	if err == nil && !ok {
		err = missing("domain " + name.String())
	}
	return directory.Domain{Name: name}, err
}

// Login is the form in which a login is asked for; "" if nobody can have it.
func Login(login string) string {
	login = norm.NFC.String(strings.ToLower(strings.TrimSpace(login)))
	if !Askable(login) {
		return ""
	}
	if a, err := mail.ParseAddress(login); err == nil {
		return a.String()
	}
	return login
}

// Account finds an account by what a user logs in with.
func (d *Directory) Account(ctx context.Context, login string) (directory.Account, error) {
	if login = Login(login); login == "" {
		return directory.Account{}, missing("account")
	}
	return d.r.Account(ctx, login)
}

// Check has the records check a password.
func (d *Directory) Check(ctx context.Context, login, password string) (directory.Account, error) {
	checker, ok := d.r.(Checker)
	switch login = Login(login); {
	case !ok:
		return directory.Account{}, errors.New("the source does not check passwords")
	case login == "":
		return directory.Account{}, missing("account")
	case password == "" || strings.Contains(password, "\x00"):
		return directory.Account{}, directory.ErrPassword
	}
	return checker.Check(ctx, login, password)
}

// Resolve says where an address leads.
func (d *Directory) Resolve(ctx context.Context, a mail.Address) (directory.Target, error) {
	a = mail.Address{Local: norm.NFC.String(strings.ToLower(a.Local)), Domain: a.Domain}
	if a.Domain.IsZero() || !Askable(a.Local) {
		return directory.Target{}, missing("address")
	}
	t, err := d.exact(ctx, a)
	if !errors.Is(err, directory.ErrNotFound) {
		return t, err
	}
	if base, detail := a.Detail(d.separator); base != a {
		t, err = d.exact(ctx, base)
		t.Detail = detail
		if !errors.Is(err, directory.ErrNotFound) {
			return t, err
		}
	}
	targets, err := d.aliases(ctx, mail.Address{Domain: a.Domain}, a.Local)
	if err == nil && len(targets) == 0 {
		err = missing("address " + a.String())
	}
	return directory.Target{Aliases: targets, CatchAll: true}, err
}

// exact looks for an address as it is: as an alias, which may lead to itself
// and so leave a copy with the account, else as the mailbox of an account.
func (d *Directory) exact(ctx context.Context, a mail.Address) (directory.Target, error) {
	targets, err := d.aliases(ctx, a, a.Local)
	if err != nil {
		return directory.Target{}, err
	}
	var others []mail.Address
	for _, t := range targets {
		if t.Key() != a.Key() {
			others = append(others, t)
		}
	}
	if len(targets) > 0 && len(others) == len(targets) {
		return directory.Target{Aliases: others}, nil
	}
	account, err := d.r.Mailbox(ctx, a)
	if errors.Is(err, directory.ErrNotFound) && len(others) > 0 {
		err = nil
	}
	return directory.Target{Account: account, Aliases: others}, err
}

// aliases reads the targets of an alias. "@domain" among them is the same local
// part there. One that is no address is trouble: leaving it out would lose mail.
func (d *Directory) aliases(ctx context.Context, a mail.Address, local string) ([]mail.Address, error) {
	texts, err := d.r.Aliases(ctx, a)
	if err != nil && !errors.Is(err, directory.ErrNotFound) {
		return nil, err
	}
	var all []mail.Address
	for _, text := range texts {
		for one := range strings.SplitSeq(text, ",") {
			if one = strings.TrimSpace(one); one == "" {
				continue
			}
			if domain, ok := strings.CutPrefix(one, "@"); ok {
				to, err := mail.ParseDomain(domain)
				if err != nil {
					return nil, fmt.Errorf("the alias %s leads to %q: %w", a, one, err)
				}
				all = append(all, mail.Address{Local: local, Domain: to})
				continue
			}
			to, err := mail.ParseAddress(one)
			if err != nil {
				return nil, fmt.Errorf("the alias %s leads to %q: %w", a, one, err)
			}
			all = append(all, to)
		}
	}
	return all, nil
}

// Owns says whether the account may send as the address.
func (d *Directory) Owns(ctx context.Context, account string, a mail.Address) (bool, error) {
	return directory.Owns(ctx, d, account, a)
}
