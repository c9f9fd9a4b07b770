package route

import (
	"context"

	"plic/internal/mail"
	"plic/internal/table"
)

// Copies are the addresses that get a copy of every message, of those from a
// sender, and of those to a recipient, each once.
func (r *Router) Copies(ctx context.Context, from mail.Address, to []mail.Recipient) ([]mail.Address, error) {
	t := &r.o.Tables
	if len(r.o.AlwaysBcc)+len(t.SenderBcc)+len(t.RecipientBcc) == 0 {
		return nil, nil
	}
	w := &walk{router: r, seen: map[string]bool{}}
	for _, a := range to {
		w.seen[a.Address.Key()] = true // who gets it anyway
	}
	var copies []mail.Address
	add := func(a mail.Address) {
		if !w.seen[a.Key()] {
			w.seen[a.Key()] = true
			copies = append(copies, a)
		}
	}
	for _, a := range r.o.AlwaysBcc {
		add(a)
	}
	ask := func(step string, list table.List, of mail.Address) error {
		got, err := w.ask(ctx, step, list, addressKeys(of, r.o.Separator, true)...)
		if err != nil || !got.found {
			return err
		}
		a, err := mail.ParseAddress(got.value)
		if err != nil {
			return wrong("read the "+step+" of "+got.key, err)
		}
		add(a)
		return nil
	}
	if err := ask("sender bcc", t.SenderBcc, from); err != nil {
		return nil, err
	}
	for _, a := range to {
		if err := ask("recipient bcc", t.RecipientBcc, a.Address); err != nil {
			return nil, err
		}
	}
	return copies, nil
}
