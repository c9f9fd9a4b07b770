package auth

import (
	"context"
	"errors"

	"plic/internal/directory"
	"plic/internal/journal"
)

// Codes are second factors of accounts: one-time codes, each good once. Without
// one of its own an account is directory.ErrNotFound.
type Codes interface {
	CheckCode(ctx context.Context, account, code string) (bool, error)
}

// Code checks a one-time code of an account whose password was right, for
// services that can ask for one. Guesses at codes are slowed as those at
// passwords are, and apart from them: a code has but a million values.
func (a *Auth) Code(ctx context.Context, p Peer, account, code string) error {
	t := &try{a: a, p: p, how: "TOTP", typed: account, login: "code of " + account, started: a.o.Now()}
	guess := a.cache.mac(account, "code", code)
	t.guess = &guess
	if a.o.Codes == nil {
		return t.end(ErrTemporary, "there are no second factors here")
	}
	done, err := t.admit(ctx)
	if err != nil {
		return err
	}
	defer done()
	if !a.guard.codes(account) {
		return t.end(ErrThrottled, "too many wrong codes for this account")
	}
	ok, err := a.o.Codes.CheckCode(ctx, account, code)
	switch {
	case errors.Is(err, directory.ErrNotFound):
		return t.bad(directory.Account{Name: account}, "the account has no second factor")
	case err != nil:
		return t.end(ErrTemporary, "directory: "+err.Error())
	case !ok:
		return t.bad(directory.Account{Name: account}, "wrong code, or used already")
	}
	a.guard.success(p.Remote, key(t.login))
	t.record(journal.Event{Kind: journal.Auth, Account: account, Status: "250 2.7.0 TOTP"})
	return nil
}
