package route

import (
	"context"
	"slices"
	"strings"

	"plic/internal/mail"
	"plic/internal/table"
)

// Role is where an address stands.
type Role int

// The roles.
const (
	EnvelopeSender Role = iota
	HeaderSender
	HeaderRecipient
)

// Rewrites says that there may be addresses that Form changes.
func (r *Router) Rewrites() bool {
	t := &r.o.Tables
	return len(t.Canonical)+len(t.SenderForm)+len(t.RecipientForm)+len(r.o.Masquerade) > 0
}

// Form gives an address as it is shown elsewhere: the canonical form that a
// table has for it, and without the name of a host that is hidden. Recipients
// of the envelope are changed by Route.
func (r *Router) Form(ctx context.Context, a mail.Address, role Role) (mail.Address, error) {
	return (&walk{router: r}).form(ctx, a, role)
}

func (w *walk) form(ctx context.Context, a mail.Address, role Role) (mail.Address, error) {
	list, step := w.router.o.Tables.SenderForm, "sender canonical"
	if role == HeaderRecipient {
		list, step = w.router.o.Tables.RecipientForm, "recipient canonical"
	}
	a, err := w.canonical(ctx, a, list, step)
	if err != nil {
		return a, err
	}
	return w.masquerade(a), nil
}

// canonical changes an address once by the table for its role and once by that
// for all.
func (w *walk) canonical(ctx context.Context, a mail.Address, list table.List, step string) (mail.Address, error) {
	var err error
	if a, err = w.changed(ctx, a, list, step); err != nil {
		return a, err
	}
	return w.changed(ctx, a, w.router.o.Tables.Canonical, "canonical")
}

func (w *walk) changed(ctx context.Context, a mail.Address, list table.List, step string) (mail.Address, error) {
	if len(list) == 0 || a.IsNull() {
		return a, nil
	}
	o := &w.router.o
	keys := addressKeys(a, o.Separator, false)
	base, detail := a.Detail(o.Separator)
	if class, err := (&walk{router: w.router}).class(ctx, a.Domain); err != nil {
		return a, err
	} else if class == Local {
		keys = append(keys, base.Local)
	}
	keys = append(keys, "@"+a.Domain.String())
	got, err := w.ask(ctx, step, list, keys...)
	if err != nil || !got.found {
		return a, err
	}
	m, err := parseMember(strings.TrimSpace(got.value), a.Domain)
	switch {
	case err != nil:
		return a, wrong("read the "+step+" form of "+got.key, err)
	case m.keep:
		return mail.Address{Local: a.Local, Domain: m.address.Domain}, nil
	case m.address.IsNull():
		return a, wrong("read the "+step+" form of "+got.key, errNoAddress)
	case detail != "" && (got.key == base.String() || got.key == base.Local) && !strings.Contains(m.address.Local, o.Separator):
		m.address.Local += o.Separator + detail
	}
	return m.address, nil
}

// masquerade hides the host in user@host.example.org.
func (w *walk) masquerade(a mail.Address) mail.Address {
	o := &w.router.o
	for _, d := range o.Masquerade {
		if !strings.HasSuffix(a.Domain.String(), "."+d.String()) {
			continue
		}
		if slices.ContainsFunc(o.MasqueradeExcept, func(local string) bool { return strings.EqualFold(local, a.Local) }) {
			return a
		}
		w.note(Step{Address: a.String(), Step: "masquerade", Key: a.Domain.String(), Found: true, Answer: d.String()})
		a.Domain = d
		return a
	}
	return a
}
