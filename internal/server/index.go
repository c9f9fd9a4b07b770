package server

import (
	"context"
	"errors"
	"iter"

	"plic/internal/control"
	"plic/internal/pace"
	"plic/internal/store"
)

// indexes is control.Index over the mailboxes of all accounts.
type indexes struct{ *site }

// Status says how far the indexes are.
func (i indexes) Status(ctx context.Context, account string) iter.Seq2[control.IndexStatus, error] {
	return i.each(ctx, account, func(*store.Mailbox) error { return nil })
}

// Rebuild makes indexes anew, at the pace of all that takes long. Meanwhile searches
// look into the messages.
func (i indexes) Rebuild(ctx context.Context, account string) iter.Seq2[control.IndexStatus, error] {
	ctx = pace.With(ctx, i.pace.Lane().Step)
	return i.each(ctx, account, func(mb *store.Mailbox) error { return i.index.Rebuild(ctx, mb) })
}

// each does something with every mailbox and says how its index is then.
func (i indexes) each(ctx context.Context, account string, do func(*store.Mailbox) error) iter.Seq2[control.IndexStatus, error] {
	return func(yield func(control.IndexStatus, error) bool) {
		names := []string{account}
		if account == "" {
			var err error
			if names, err = i.store.Accounts(ctx); err != nil {
				yield(control.IndexStatus{}, err)
				return
			}
		}
		for _, name := range names {
			a, err := i.store.Existing(ctx, name)
			if err != nil {
				yield(control.IndexStatus{}, told(err))
				return
			}
			for _, info := range a.Mailboxes() {
				if info.NoSelect {
					continue
				}
				st, err := i.one(ctx, a, info.Name, do)
				if errors.Is(err, store.ErrNoMailbox) || errors.Is(err, store.ErrGone) {
					continue
				}
				if !yield(st, err) || err != nil {
					return
				}
			}
		}
	}
}

func (i indexes) one(ctx context.Context, a *store.Account, name string, do func(*store.Mailbox) error) (control.IndexStatus, error) {
	mb, err := a.Mailbox(name)
	if err == nil {
		err = do(mb)
	}
	if err != nil {
		return control.IndexStatus{}, err
	}
	st, err := i.index.Status(ctx, mb)
	return control.IndexStatus{
		Account: a.Name(), Mailbox: st.Mailbox, Messages: st.Messages, Indexed: st.Indexed,
		Segments: st.Segments, Words: st.Words, Bytes: st.Bytes, Mail: st.Mail,
	}, err
}
