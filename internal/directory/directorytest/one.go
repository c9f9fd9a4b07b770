package directorytest

import (
	"context"

	"plic/internal/directory"
	"plic/internal/mail"
)

// One is a directory of one account, which logs in by its name and may send as
// anybody.
type One struct{ Who directory.Account }

// Domain finds none.
func (One) Domain(context.Context, mail.Domain) (directory.Domain, error) {
	return directory.Domain{}, directory.ErrNotFound
}

// Resolve finds nothing.
func (One) Resolve(context.Context, mail.Address) (directory.Target, error) {
	return directory.Target{}, directory.ErrNotFound
}

// Account finds the one.
func (o One) Account(_ context.Context, login string) (directory.Account, error) {
	if login != o.Who.Name {
		return directory.Account{}, directory.ErrNotFound
	}
	return o.Who, nil
}

// Owns lets everybody be anybody.
func (One) Owns(context.Context, string, mail.Address) (bool, error) { return true, nil }
