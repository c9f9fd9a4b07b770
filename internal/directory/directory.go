// Package directory says who exists: which domains are ours, where an address
// leads, and what an account logs in with. Drivers are below it; native is the
// one that keeps its records itself.
package directory

import (
	"context"
	"errors"
	"net/netip"
	"slices"

	"plic/internal/mail"
)

// Errors of directories; test with errors.Is. Any other error of a look-up is
// temporary trouble: it says nothing about who exists.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
	ErrNotEmpty = errors.New("not empty")
	ErrInvalid  = errors.New("not allowed")
	ErrPassword = errors.New("wrong password")
)

// Directory answers look-ups. Its methods may be called at the same time.
type Directory interface {
	// Domain finds a domain of ours; ErrNotFound for those of others.
	Domain(ctx context.Context, d mail.Domain) (Domain, error)
	// Resolve says where an address leads: by the address itself, an account
	// or an alias; by the address without its detail; by the catch-all of its
	// domain. Postmaster and abuse always lead somewhere, RFC 5321 section
	// 4.5.1. The targets of an alias are not resolved further.
	Resolve(ctx context.Context, a mail.Address) (Target, error)
	// Account finds an account by what a user logs in with.
	Account(ctx context.Context, login string) (Account, error)
	// Owns says whether the account may send as the address.
	Owns(ctx context.Context, account string, a mail.Address) (bool, error)
}

// Checker is a Directory that can check passwords of which it has no hash: of
// accounts that are External. A user who does not exist is ErrNotFound and a
// wrong password is ErrPassword, which only we tell apart; any other error is
// temporary trouble. An empty password is always wrong: some servers take a
// bind with one for an anonymous one, RFC 4513 section 5.1.2.
type Checker interface {
	Check(ctx context.Context, login, password string) (Account, error)
}

// Domain is a domain that we take mail for.
type Domain struct {
	Name mail.Domain
}

// Target is where an address leads: to an account, to aliases, or to both if
// an account gets a copy of what its aliases get.
type Target struct {
	Account string         // the name of an account
	Detail  string         // of "user+detail@domain", "" if none
	Aliases []mail.Address // local or not, to be looked at in their turn
	// CatchAll says that only the domain as a whole leads there.
	CatchAll bool
	// Role says that only the duty to have a postmaster leads there.
	Role bool
}

// Account is who may log in.
type Account struct {
	Name     string // user@domain in lower case, NFC and A-labels
	Secret   Secret
	Disabled bool // may not log in; still gets mail
	// External says that only the source can tell whether a password is right:
	// by a Checker. There is no Secret then.
	External bool

	Quota     Quota
	Mailboxes string // the place of its mail, "maildir:~/Maildir"; "" is our store
	Home      string
	UID, GID  uint32   // of the system's user who owns Home; 0 is nobody, never root
	Groups    []string // by which others give it rights
	// Senders are what it may send as, beside the addresses that lead to it:
	// addresses by mail.Address.Key, or "@domain" for all of a domain.
	Senders []string
	Allow   Allow

	Apps    []AppPassword
	AppOnly bool // the password itself is good for the web, not for mail programs
}

// Unlimited is a limit of a Quota that there is none.
const Unlimited = -1

// Quota is what the source lets an account have; zero leaves it to the site.
type Quota struct {
	Bytes, Messages int64
}

// Allow says where an account may log in; the zero value is anywhere.
type Allow struct {
	Protocols []string // "imap", "pop3", "smtp", "sieve"; all if none is named
	Networks  []netip.Prefix
}

// Protocol is that of a service: "imap" of "imaps", "smtp" of "submission".
func Protocol(service string) string {
	switch service {
	case "submission", "submissions", "smtps":
		return "smtp"
	case "imaps", "pop3s":
		return service[:4]
	case "managesieve":
		return "sieve"
	}
	return service
}

// Service says whether the account may log in at a service, for some network.
func (a Allow) Service(service string) bool {
	return len(a.Protocols) == 0 || slices.Contains(a.Protocols, Protocol(service))
}

// Network says whether the account may log in from an address.
func (a Allow) Network(from netip.Addr) bool {
	return len(a.Networks) == 0 || mail.Within(a.Networks, from)
}

// MaySend says whether the account may send as an address that need not lead
// to it.
func (a *Account) MaySend(as mail.Address) bool {
	return slices.Contains(a.Senders, as.Key()) || slices.Contains(a.Senders, "@"+as.Domain.String())
}

// maxOwned bounds how many aliases are followed to see who owns an address.
const maxOwned = 1000

// Lookup is the part of a Directory that Owns needs.
type Lookup interface {
	Resolve(ctx context.Context, a mail.Address) (Target, error)
	Account(ctx context.Context, login string) (Account, error)
}

// Owns says for a directory whether an account may send as an address: mail for
// it reaches the account, by itself, with a detail or through aliases, or the
// account's record has it among its Senders.
func Owns(ctx context.Context, d Lookup, account string, a mail.Address) (bool, error) {
	if account == "" {
		return false, nil
	}
	seen := map[mail.Address]bool{}
	for next := []mail.Address{a}; len(next) > 0 && len(seen) < maxOwned; {
		to := next[0]
		next = next[1:]
		if seen[to] {
			continue
		}
		seen[to] = true
		t, err := d.Resolve(ctx, to)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return false, err
		}
		if err == nil && t.Account == account {
			return true, nil
		}
		next = append(next, t.Aliases...)
	}
	owner, err := d.Account(ctx, account)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && owner.MaySend(a), err
}
