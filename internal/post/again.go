package post

import (
	"cmp"
	"context"
	"io"
	"slices"
	"strings"

	"plic/internal/mail"
	"plic/internal/queue"
)

var _ queue.Transport = (*Office)(nil)

// The hosts of hops back into the sorting room.
const (
	Dropped     = "maildrop" // of mail that has not been here yet
	held        = "held"     // of mail that was held as it came in
	heldAccount = "account"  // of mail that was held before an account
)

// holdAll puts a whole message into the queue, to come back here when it is
// released.
func (p *Office) holdAll(ctx context.Context, j *job, why string) error {
	item := p.item(j, mail.Hop{Kind: mail.HopPost, Host: held}, itemsOf(j.env.To))
	item.Hold, item.Why = true, why
	tx := p.o.Store.Begin()
	tx.PutItem(item)
	if j.item != nil {
		tx.DropItem(j.item.ID)
	}
	if _, err := tx.Commit(ctx); err != nil {
		return storage("commit", err)
	}
	p.tell(j, &plan{}, nil, []mail.Item{item})
	return nil
}

func itemsOf(to []mail.Recipient) []mail.ItemRcpt {
	list := make([]mail.ItemRcpt, len(to))
	for i, r := range to {
		list[i] = mail.ItemRcpt{Recipient: r}
	}
	return list
}

// Deliver takes a message of the queue back into the sorting room: one that was
// held, or one that has yet to come in. Where it goes, and that it has left the
// queue, is one commit, so that it is nowhere twice.
func (p *Office) Deliver(ctx context.Context, item *mail.Item, _ mail.Body) []mail.Outcome {
	outcomes, err := p.again(ctx, item)
	if err != nil {
		return slices.Repeat([]mail.Outcome{{Status: mail.StatusOf(err), Err: err, Apart: true}}, len(item.To))
	}
	for i := range outcomes {
		outcomes[i].Reports = true // those that are due were sent
		outcomes[i].Apart = true   // the next message is another's
	}
	return outcomes
}

func (p *Office) again(ctx context.Context, item *mail.Item) ([]mail.Outcome, error) {
	body, err := p.o.Store.OpenBody(ctx, item.Body)
	if err != nil {
		return nil, storage("open a message of the queue", err)
	}
	defer body.Close()
	env := item.Envelope
	for _, to := range item.To {
		env.To = append(env.To, to.Recipient)
	}
	d, err := p.Begin(ctx, &env)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(d, mail.Reader(body)); err != nil {
		d.Abort()
		return nil, storage("copy a message of the queue", err)
	}
	outcomes, err := p.resume(ctx, d, &env, item)
	if err != nil {
		d.Abort()
	}
	return outcomes, err
}

// resume does with a message what Commit does, but for each recipient by itself.
func (p *Office) resume(ctx context.Context, d *Draft, env *mail.Envelope, item *mail.Item) ([]mail.Outcome, error) {
	j := job{draft: d.Draft, env: env, trace: item.Prefix, item: item}
	if item.Hop.Host != Dropped {
		return p.post(ctx, &j)
	}
	if err := p.looping(d); err != nil {
		return nil, err
	}
	orders, err := p.shape(ctx, d, env)
	if err != nil {
		return nil, err
	}
	came := env.To
	if err := p.milters(ctx, d, env, &orders); err != nil {
		return nil, err
	}
	if j.trace, err = p.signed(ctx, d.Draft, j.trace); err != nil {
		return nil, err
	}
	j.draft = d.Draft
	switch {
	case orders.discard:
		d.Discard()
		return accepted(came), nil
	case orders.hold:
		return accepted(came), p.holdAll(ctx, &j, cmp.Or(orders.why, "a header rule holds it"))
	case !orders.redirect.IsNull():
		env.To = []mail.Recipient{{Address: orders.redirect, Notify: mail.NotifyNever}}
	}
	outcomes, err := p.post(ctx, &j)
	return p.asThey(came, env.To, &orders, outcomes, err)
}

// rest is what is left of an item when the recipients of a plan are served:
// those who were not, and whose sender has still to be told.
func (pl *plan) rest(item *mail.Item) mail.Item {
	next := *item
	next.To = nil
	for i, o := range pl.outcomes {
		if o.Err != nil && len(pl.outcomes) == len(item.To) {
			next.To = append(next.To, item.To[i])
		}
	}
	return next
}

// looping refuses a message that has passed too many hosts, RFC 5321 section
// 6.3; smtpd does so for what comes in there.
func (p *Office) looping(d *Draft) error {
	msg, err := d.Message()
	if err != nil {
		return storage("read the message", err)
	}
	hops := 0
	for _, f := range msg.Root.Header {
		if strings.EqualFold(f.Name, "Received") {
			hops++
		}
	}
	if p.o.MaxHops > 0 && hops > p.o.MaxHops {
		return &mail.Failure{Op: "count the hops", Status: mail.Reply(554, "5.4.6", "mail loop: the message has passed too many hosts")}
	}
	return nil
}
