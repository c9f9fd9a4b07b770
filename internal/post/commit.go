package post

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/queue"
	"plic/internal/route"
	"plic/internal/store"
)

// inbox is where mail for an account goes.
const inbox = "INBOX"

// Commit takes custody: when it returns no error, the message is on stable
// storage for every recipient with a positive outcome, and reports for those
// that failed are on their way. trace is what smtpd puts before the message.
//
// Over LMTP each recipient has an outcome of its own, RFC 2033 section 4.2.
// Otherwise trouble with one recipient refuses the message for all when it is
// temporary, since one reply speaks for all; a recipient that has gone since
// RCPT is reported by DSN if others remain.
func (d *Draft) Commit(ctx context.Context, env *mail.Envelope, trace []byte) ([]mail.Outcome, error) {
	msg, err := d.Message()
	if err != nil {
		return nil, storage("read the message", err)
	}
	if err := d.office.author(ctx, env, msg); err != nil {
		return nil, err
	}
	plan := d.office.plan(ctx, env, msg)
	if env.Origin.Service != "lmtp" {
		if err := plan.refusal(); err != nil {
			return nil, err
		}
	}
	if !plan.any() {
		return plan.outcomes, nil
	}
	if err := d.office.carryOut(ctx, d.Draft, env, trace, plan); err != nil {
		return nil, err
	}
	return plan.outcomes, nil
}

// author checks that an account writes in no other's name: each address of
// From and Sender must be its own, RFC 6409 section 8.1. A second From would be
// read by some and not by others, so there may be only one, RFC 5322 section
// 3.6.
func (p *Office) author(ctx context.Context, env *mail.Envelope, msg *message.Message) error {
	if env.Origin.Account == "" || p.o.AnySender {
		return nil
	}
	authors := 0
	for _, f := range msg.Root.Header {
		switch {
		case strings.EqualFold(f.Name, "From"):
			if authors++; authors > 1 {
				return &mail.Failure{Op: "read the author",
					Status: mail.Reply(550, "5.6.0", "the message has more than one From field")}
			}
		case !strings.EqualFold(f.Name, "Sender"):
			continue
		}
		for _, box := range message.ParseAddressList(f.Value) {
			a, err := mail.ParseAddress(box.Local + "@" + box.Host)
			if err != nil {
				continue // no address, so nobody's name
			}
			if err := p.mayUse(ctx, env.Origin.Account, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// plan is what is to be done with one message.
type plan struct {
	outcomes []mail.Outcome // one for each recipient of the envelope, in order
	local    []delivery
	remote   []departure
	fates    []mail.Fate // that the sender may want to know at once
}

// delivery is a message's way into one account.
type delivery struct {
	account string
	to      mail.Address
	from    int // index of the recipient in the envelope
}

// departure is a message's way to one hop.
type departure struct {
	hop mail.Hop
	to  []mail.ItemRcpt
}

func (pl *plan) any() bool { return len(pl.local)+len(pl.remote) > 0 }

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
func (p *Office) plan(ctx context.Context, env *mail.Envelope, msg *message.Message) *plan {
	pl := &plan{}
	seen := map[string]bool{}
	passed := deliveredTo(msg)
	for i, to := range env.To {
		found, err := p.o.Router.Route(ctx, to.Address)
		if err == nil && len(found) > 1 {
			to = pl.expand(to, len(found))
		}
		if err == nil {
			err = pl.add(i, to, found, seen, passed)
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

func (pl *plan) add(i int, to mail.Recipient, found []route.Destination, seen, passed map[string]bool) error {
	added := false
	for _, d := range found {
		if d.Account != "" && passed[d.Address.Key()] {
			continue // this message was here before
		}
		added = true
		key := "account " + d.Account
		if d.Account == "" {
			key = "address " + d.Address.String()
		}
		if seen[key] {
			continue
		}
		seen[key] = true
		if d.Account != "" {
			pl.local = append(pl.local, delivery{d.Account, d.Address, i})
			if to.Notify.Wants(mail.NotifySuccess) {
				pl.fates = append(pl.fates, success(to, "delivered to the mailbox"))
			}
			continue
		}
		rcpt := to
		rcpt.Address = d.Address
		if rcpt.Original == "" && rcpt.Address != to.Address {
			rcpt.Original = original(to.Address) // RFC 3461 section 5.2.7.3
		}
		pl.depart(d.Hop, mail.ItemRcpt{Recipient: rcpt})
	}
	if !added {
		return &mail.Failure{Op: "deliver to " + to.Address.String(),
			Status: mail.Reply(550, "5.4.6", "mail loop: this message was delivered to this address before")}
	}
	return nil
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

// depart adds a recipient to the departure for its hop.
func (pl *plan) depart(hop mail.Hop, to mail.ItemRcpt) {
	for i := range pl.remote {
		if pl.remote[i].hop == hop {
			pl.remote[i].to = append(pl.remote[i].to, to)
			return
		}
	}
	pl.remote = append(pl.remote, departure{hop, []mail.ItemRcpt{to}})
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

// carryOut does what was planned in one commit, then tells the queue.
func (p *Office) carryOut(ctx context.Context, draft *store.Draft, env *mail.Envelope, trace []byte, pl *plan) error {
	tx := p.o.Store.Begin()
	if err := p.deliver(ctx, tx, draft, env, trace, pl.local); err != nil {
		return err
	}
	items := p.items(draft, env, trace, pl.remote)
	for _, item := range items {
		tx.PutItem(item)
	}
	placed, err := tx.Commit(ctx)
	if err != nil {
		return storage("commit", err)
	}
	p.tell(env, draft, pl.local, placed, items)
	return p.report(ctx, draft, env, trace, pl)
}

// report sends the DSN that is due at once: for recipients that have gone since
// RCPT, for those delivered here or expanded, whose sender wants to know, RFC
// 3461 section 5.2. It comes before the 250 but after the commit, since it
// quotes the message.
func (p *Office) report(ctx context.Context, draft *store.Draft, env *mail.Envelope, trace []byte, pl *plan) error {
	item := mail.Item{Envelope: *env, Body: draft.ID(), Prefix: trace, Size: int64(len(trace)) + draft.Size()}
	item.Envelope.To = nil
	fates := pl.fates
	if env.Origin.Service == "lmtp" { // whose client was told of failures
		fates = slices.DeleteFunc(fates, func(f mail.Fate) bool { return f.Kind == mail.NotifyFailure })
	}
	if len(fates) == 0 {
		return nil
	}
	r, due := p.o.Reporter.Report(&item, fates)
	if !due {
		return nil
	}
	return p.Settle(ctx, queue.Settlement{Reports: []queue.Report{r}})
}

// deliver adds the local deliveries to the transaction.
func (p *Office) deliver(ctx context.Context, tx *store.Tx, draft *store.Draft, env *mail.Envelope, trace []byte, local []delivery) error {
	for _, d := range local {
		account, err := p.o.Store.Account(ctx, d.account)
		if err != nil {
			return storage("open account "+d.account, err)
		}
		mailbox, err := account.Mailbox(inbox)
		if err != nil {
			return storage("open INBOX of "+d.account, err)
		}
		tx.Deliver(mailbox, store.Incoming{Draft: draft, Prefix: localPrefix(env.From, d.to, trace)})
	}
	return nil
}

// localPrefix is what final delivery puts before a message: Return-Path, RFC
// 5321 section 4.4, and Delivered-To, RFC 9228.
func localPrefix(from, to mail.Address, trace []byte) []byte {
	prefix := make([]byte, 0, 64+len(trace))
	prefix = append(prefix, "Return-Path: "+from.Path()+"\r\nDelivered-To: "+to.String()+"\r\n"...)
	return append(prefix, trace...)
}

// items makes a queue item for each hop.
func (p *Office) items(draft *store.Draft, env *mail.Envelope, trace []byte, remote []departure) []mail.Item {
	var items []mail.Item
	now := p.o.Now()
	for _, d := range remote {
		item := mail.Item{
			ID: mail.NewID(now), Envelope: *env, Body: draft.ID(), Prefix: trace,
			Size: int64(len(trace)) + draft.Size(), Hop: d.hop, To: d.to,
			Due: now, Expires: now.Add(p.o.Lifetime),
		}
		item.Envelope.To = nil
		if len(remote) > 1 {
			item.Parts = len(remote)
		}
		if r := env.Release; r.After(now) { // RFC 4865 section 4
			item.Due, item.Expires = r, r.Add(p.o.Lifetime)
		}
		items = append(items, item)
	}
	return items
}

// tell writes what was committed into the journal and starts the queue on it.
func (p *Office) tell(env *mail.Envelope, draft *store.Draft, local []delivery, placed []store.Placed, items []mail.Item) {
	for i, d := range local {
		p.o.Journal.Record(journal.Event{
			Time: p.o.Now(), Kind: "deliver", Service: env.Origin.Service, Conn: env.Origin.Conn, Message: env.ID,
			From: env.From.String(), To: []string{d.to.String()}, Account: d.account,
			Mailbox: placed[i].Mailbox, UID: uint32(placed[i].UID), Size: draft.Size(), Status: "250 2.1.5 delivered",
		})
	}
	for _, item := range items {
		p.o.Journal.Record(journal.Event{
			Time: p.o.Now(), Kind: "queue", Service: env.Origin.Service, Conn: env.Origin.Conn, Message: item.Envelope.ID,
			From: item.Envelope.From.String(), To: addresses(item.To), Host: item.Hop.Host, Size: item.Size,
		})
	}
	if len(items) > 0 && p.scheduler != nil {
		p.scheduler.Added(items...)
	}
}

func addresses(to []mail.ItemRcpt) []string {
	list := make([]string, len(to))
	for i := range to {
		list[i] = to[i].Address.String()
	}
	return list
}
