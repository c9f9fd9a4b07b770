package post

import (
	"context"
	"slices"

	"plic/internal/check/milter"
	"plic/internal/mail"
)

// Milters see each message whole, and change it.
type Milters interface {
	Message(ctx context.Context, env *mail.Envelope, body mail.Body) (*milter.Change, error)
}

// milters has the milters see a message and does to it and its envelope what they
// want. The recipients of env are as they came.
func (p *Office) milters(ctx context.Context, d *Draft, env *mail.Envelope, o *orders) error {
	if p.o.Milters == nil {
		return nil
	}
	x, err := p.o.Milters.Message(ctx, env, d.Body())
	if err != nil || !x.Any() {
		return err
	}
	o.discard = o.discard || x.Discard
	if x.Hold != "" {
		o.hold, o.why = true, "a milter holds it: "+x.Hold
	}
	if x.From != nil {
		env.From = *x.From
	}
	if len(x.Add)+len(x.Del) > 0 {
		env.To = recipients(env.To, x)
		o.discard = o.discard || len(env.To) == 0
	}
	if x.Text == nil || o.discard {
		return nil
	}
	next, err := p.draft(ctx, x.Text)
	if err != nil {
		return err
	}
	d.Draft.Discard()
	d.Draft = next
	env.Size = next.Size()
	return nil
}

// recipients are those that milters leave and add; nobody is told of these.
func recipients(to []mail.Recipient, x *milter.Change) []mail.Recipient {
	left := slices.DeleteFunc(slices.Clone(to), func(r mail.Recipient) bool { return slices.Contains(x.Del, r.Address) })
	for _, a := range x.Add {
		if !slices.ContainsFunc(left, func(r mail.Recipient) bool { return r.Address == a }) {
			left = append(left, mail.Recipient{Address: a, Notify: mail.NotifyNever})
		}
	}
	return left
}

// asThey gives the outcomes of the recipients as they came, of those of the message
// as it went on: one that was taken away is content, and who is redirected shares.
func (p *Office) asThey(came, went []mail.Recipient, o *orders, outcomes []mail.Outcome, err error) ([]mail.Outcome, error) {
	switch {
	case err != nil, o.redirect.IsNull() && slices.Equal(came, went):
		return outcomes, err
	case !o.redirect.IsNull():
		return slices.Repeat(outcomes[:1], len(came)), nil
	}
	all := make([]mail.Outcome, len(came))
	for i, r := range came {
		k := slices.IndexFunc(went, func(w mail.Recipient) bool { return w.Address == r.Address })
		if all[i].Status = mail.Reply(250, "2.1.5", "accepted"); k >= 0 && k < len(outcomes) {
			all[i] = outcomes[k]
		}
	}
	return all, nil
}
