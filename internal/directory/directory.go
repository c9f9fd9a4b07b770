// Package directory says who exists: which domains are ours, where an address
// leads, and what an account logs in with. Drivers are below it; native is the
// one that keeps its records itself.
package directory

import (
	"context"
	"errors"

	"plic/internal/mail"
)

// Errors of directories; test with errors.Is. Any other error of a look-up is
// temporary trouble: it says nothing about who exists.
var (
	ErrNotFound = errors.New("not found")
	ErrExists   = errors.New("exists already")
	ErrNotEmpty = errors.New("not empty")
	ErrInvalid  = errors.New("not allowed")
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

// Domain is a domain that we take mail for.
type Domain struct {
	Name mail.Domain
}

// Target is where an address leads: exactly one of Account and Aliases is set.
type Target struct {
	Account string         // the name of an account
	Detail  string         // of "user+detail@domain", "" if none
	Aliases []mail.Address // local or not, to be looked at in their turn
	// CatchAll says that only the domain as a whole leads there.
	CatchAll bool
}

// Account is who may log in.
type Account struct {
	Name     string // user@domain in lower case, NFC and A-labels
	Secret   Secret
	Disabled bool // may not log in; still gets mail
}
