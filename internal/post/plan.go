package post

import (
	"context"
	"fmt"
	"strings"

	"plic/internal/check/score"
	"plic/internal/deliver/local"
	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/route"
)

// plan is what is to be done with one message.
type plan struct {
	outcomes  []mail.Outcome // one for each recipient of the envelope, in order
	local     []delivery
	remote    []departure
	discarded []mail.Address
	released  bool        // nothing is held any more
	filtered  bool        // accounts have filters, which may send mail on in a circle
	fates     []mail.Fate // that the sender may want to know at once
	onward    error       // why something does not go on; nil if all does
}

// delivery is a message's way into one account.
type delivery struct {
	account string
	detail  string // a mailbox of the account that it was sent to; "" for none
	to      mail.Address
	from    mail.Address // the sender that it has there
	rcpt    int          // the recipient of the envelope that it is for; -1 for none
	again   bool         // the message was here before: nothing but the inbox
	todo    *local.Plan  // of the account's filter; nil is the inbox
	// verdict is that of the account by the score of the message; nil if nobody has
	// judged it.
	verdict *score.Verdict
	meant   string // for whom it was that is in quarantine there
}

// departure is a message's way to one hop.
type departure struct {
	way
	to []mail.ItemRcpt
	at []mail.Address // for each of to, the address of ours that sends it on; null if none does
	as *outgoing      // the message as it leaves; nil if it leaves as it came
}

// way is what recipients of one departure have in common.
type way struct {
	hop  mail.Hop
	from mail.Address
	list bool
	hold bool
	via  mail.Address // the account whose filter sends it on
	// What that filter wants: RET, DELIVERBY, and the message as it has changed it.
	ret     string
	by      mail.DeliverBy
	changed *local.Plan // nil if it has not
}

func (pl *plan) any() bool { return len(pl.local)+len(pl.remote)+len(pl.discarded) > 0 }

// refusal is the error that a single reply must give, if any.
func (pl *plan) refusal() error {
	var permanent error
	for _, o := range pl.outcomes {
		switch o.Status.Class() {
		case mail.Transient:
			return o.Err
		case mail.Permanent:
			permanent = o.Err
		}
	}
	if pl.any() {
		return nil
	}
	return permanent
}

// plan routes every recipient. Two ways into the same account, or two to the
// same address elsewhere, become one.
func (p *Office) plan(ctx context.Context, env *mail.Envelope, msg *message.Message, released bool) *plan {
	pl := &plan{released: released, filtered: p.o.Filter != nil}
	seen := map[string]bool{}
	passed := deliveredTo(msg)
	for _, to := range env.To {
		found, err := p.o.Router.Route(ctx, env.From, to.Address)
		if err == nil {
			var refused []mail.ItemRcpt
			found, refused, err = p.allowed(ctx, to, found)
			for _, rcpt := range refused {
				pl.fates = append(pl.fates, mail.Fate{Kind: mail.NotifyFailure, ItemRcpt: rcpt})
			}
		}
		if err == nil && len(found) > 1 && !found[0].List {
			to = pl.expand(to, len(found))
		}
		if err == nil && !env.From.IsNull() {
			err = p.fits(ctx, msg.Root.End, found)
		}
		if err == nil {
			err = p.posted(ctx, env, found)
		}
		if err == nil {
			err = pl.add(to, found, seen, passed)
		}
		outcome := mail.Outcome{Status: mail.Reply(250, "2.1.5", "accepted"), Err: err}
		if err != nil {
			outcome.Status = mail.StatusOf(err)
			if !outcome.Status.Temporary() {
				pl.fates = append(pl.fates, mail.Fate{Kind: mail.NotifyFailure, ItemRcpt: mail.ItemRcpt{
					Recipient: to, Last: outcome.Status, Reason: err.Error(), At: p.o.Now(),
				}})
			}
		}
		pl.outcomes = append(pl.outcomes, outcome)
	}
	return pl
}

func (pl *plan) add(to mail.Recipient, found []route.Destination, seen, passed map[string]bool) error {
	added := false
	for _, d := range found {
		again := passed[d.Address.Key()]
		if again && (d.Account == "" || !pl.filtered) && (d.Account != "" || d.Hop.Kind == mail.HopPipe) {
			continue // this message was here before
		}
		added = true
		d.Hold = d.Hold && !pl.released
		key := "account " + d.Account + " " + strings.ToLower(d.Detail)
		if d.Account == "" {
			key = "address " + d.Address.String()
		}
		if d.Hop.Kind == mail.HopPipe { // one address may lead to several
			key += " " + d.Hop.Host
		}
		if seen[key] {
			continue
		}
		seen[key] = true
		switch {
		case d.Discard:
			pl.discarded = append(pl.discarded, d.Address)
			continue
		case d.Account != "" && !d.Hold:
			pl.local = append(pl.local, delivery{account: d.Account, detail: d.Detail, to: d.Address, from: d.From, rcpt: len(pl.outcomes), again: again})
			if !d.List && to.Notify.Wants(mail.NotifySuccess) {
				pl.fates = append(pl.fates, success(to, "delivered to the mailbox"))
			}
			continue
		case d.Account != "":
			d.Hop = mail.Hop{Kind: mail.HopPost, Host: heldAccount}
		}
		pl.depart(way{hop: d.Hop, from: d.From, list: d.List, hold: d.Hold}, sendsOn(to.Address, d), mail.ItemRcpt{Recipient: onward(to, d)})
	}
	if !added {
		return &mail.Failure{Op: "deliver to " + to.Address.String(),
			Status: mail.Reply(550, "5.4.6", "mail loop: this message was delivered to this address before")}
	}
	if found[0].List && to.Notify.Wants(mail.NotifySuccess) {
		pl.fates = append(pl.fates, success(to, "delivered to the mailing list"))
	}
	return nil
}

// posted leaves a destination the detail of its address only if it names a mailbox
// that mail may be sent to.
func (p *Office) posted(ctx context.Context, env *mail.Envelope, found []route.Destination) error {
	for i := range found {
		d := &found[i]
		if d.Account == "" || d.Detail == "" {
			continue
		}
		account, err := p.o.Store.Account(ctx, d.Account)
		if err != nil {
			return storage("open account "+d.Account, err)
		}
		if local.Posted(account, d.Detail, env.Origin.Account) == nil {
			d.Detail = ""
		}
	}
	return nil
}

// sendsOn is the address of ours that sends mail on to another; null if the mail was
// for that one.
func sendsOn(to mail.Address, d route.Destination) mail.Address {
	if d.Address == to {
		return mail.Address{}
	}
	return to
}

// onward is a recipient as it leaves, with what the sender wants to know. A list
// ends that: RFC 3461 section 5.2.7.1.
func onward(to mail.Recipient, d route.Destination) mail.Recipient {
	if d.List {
		return mail.Recipient{Address: d.Address}
	}
	next := to
	next.Address = d.Address
	if next.Original == "" && next.Address != to.Address {
		next.Original = original(to.Address) // RFC 3461 section 5.2.7.3
	}
	return next
}

// expand notes that an address became several, and gives the recipient that
// stands for each of them: it has all the sender's wishes, but that of success
// is fulfilled, RFC 3461 section 5.2.7.3.
func (pl *plan) expand(to mail.Recipient, members int) mail.Recipient {
	if !to.Notify.Wants(mail.NotifySuccess) {
		return to
	}
	f := success(to, fmt.Sprintf("passed on to %d addresses", members))
	f.Expanded = true
	pl.fates = append(pl.fates, f)
	if to.Notify &^= mail.NotifySuccess; to.Notify == 0 {
		to.Notify = mail.NotifyNever
	}
	return to
}

func success(to mail.Recipient, text string) mail.Fate {
	return mail.Fate{Kind: mail.NotifySuccess, ItemRcpt: mail.ItemRcpt{Recipient: to, Last: mail.Reply(250, "2.1.5", text)}}
}

// original is an address as ORCPT has it, with its type: RFC 3461 section 4.2,
// RFC 6533 section 3.
func original(a mail.Address) string {
	if a.NeedsUTF8() {
		return "utf-8;" + a.String()
	}
	return "rfc822;" + a.String()
}

// depart adds a recipient to the departure for its hop, and the address of ours that
// sends on to it.
func (pl *plan) depart(by way, at mail.Address, to mail.ItemRcpt) {
	for i := range pl.remote {
		if d := &pl.remote[i]; d.way == by {
			d.to, d.at = append(d.to, to), append(d.at, at)
			return
		}
	}
	pl.remote = append(pl.remote, departure{way: by, to: []mail.ItemRcpt{to}, at: []mail.Address{at}})
}

// copies adds those who get a copy by the wish of the administrator. Nobody is
// told of them, and one that cannot be sent refuses nothing but for a while.
func (p *Office) copies(ctx context.Context, env *mail.Envelope, msg *message.Message, pl *plan) error {
	list, err := p.o.Router.Copies(ctx, env.From, env.To)
	if err != nil || len(list) == 0 {
		return err
	}
	more := *env
	more.To = nil
	for _, a := range list {
		more.To = append(more.To, mail.Recipient{Address: a, Notify: mail.NotifyNever})
	}
	extra := p.plan(ctx, &more, msg, pl.released)
	for i, o := range extra.outcomes {
		switch {
		case o.Err == nil:
		case o.Status.Temporary():
			return o.Err
		default:
			p.o.Journal.Record(journal.Event{Time: p.o.Now(), Kind: journal.Error, Service: env.Origin.Service, Message: env.ID,
				To: addresses([]mail.ItemRcpt{{Recipient: more.To[i]}}), Status: o.Status.String(), Reason: "a copy cannot be sent: " + o.Err.Error()})
		}
	}
	for _, d := range extra.local {
		if !has(pl.local, d.account) {
			d.rcpt = -1
			pl.local = append(pl.local, d)
		}
	}
	for _, d := range extra.remote {
		for i, to := range d.to {
			pl.depart(d.way, d.at[i], to)
		}
	}
	return nil
}

func has(local []delivery, account string) bool {
	for _, d := range local {
		if d.account == account {
			return true
		}
	}
	return false
}

// deliveredTo are the addresses that the message says it was delivered to.
func deliveredTo(msg *message.Message) map[string]bool {
	var passed map[string]bool
	for _, f := range msg.Root.Header {
		if !strings.EqualFold(f.Name, "Delivered-To") {
			continue
		}
		if a, err := mail.ParseAddress(strings.TrimSpace(f.Value)); err == nil {
			if passed == nil {
				passed = map[string]bool{}
			}
			passed[a.Key()] = true
		}
	}
	return passed
}
