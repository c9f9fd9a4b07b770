package post

import (
	"context"
	"errors"

	"plic/internal/mail"
	"plic/internal/route"
	"plic/internal/store"
)

// fits says whether the accounts that mail goes to have room for it, as far as
// is known now: at RCPT its size is what the client has declared, if anything.
func (p *Office) fits(ctx context.Context, size int64, found []route.Destination) error {
	for _, d := range found {
		if d.Account == "" {
			continue
		}
		a, err := p.o.Store.Account(ctx, d.Account)
		if err == nil {
			err = a.Fits(1, size)
		}
		if err != nil {
			return storage("deliver to "+d.Address.String(), err)
		}
	}
	return nil
}

// overQuota is the status of a quota that is full: one may hope for room, but
// not for more than there is at all, RFC 3463 section 3.3.
func overQuota(err error) (mail.Status, bool) {
	var full *store.QuotaError
	switch {
	case !errors.As(err, &full):
		return mail.Status{}, false
	case full.Never:
		return mail.Reply(552, "5.2.3", "the message is larger than the mailbox may be"), true
	}
	return mail.Reply(452, "4.2.2", "the mailbox is full, try again later"), true
}
