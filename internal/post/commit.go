package post

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"plic/internal/check/score"
	"plic/internal/check/sender"
	"plic/internal/deliver/local"
	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/queue"
	"plic/internal/store"
)

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
	found, verdict, told, err := d.office.ask(ctx, d, env, msg)
	if err != nil {
		return nil, err
	}
	defer d.office.tellScore(told)
	if found != nil {
		trace = append(found.Field(), trace...)
	}
	shaped := *env
	orders, err := d.office.shape(ctx, d, &shaped)
	if err != nil {
		return nil, err
	}
	if err := d.office.milters(ctx, d, &shaped, &orders); err != nil {
		return nil, err
	}
	if mayRelay(env.Origin) {
		if trace, err = d.office.signed(ctx, d.Draft, trace); err != nil {
			return nil, err
		}
	}
	j := job{draft: d.Draft, env: &shaped, trace: trace, found: found, verdict: verdict, told: told}
	switch {
	case orders.discard:
		d.Discard()
		return accepted(env.To), nil
	case orders.hold:
		return accepted(env.To), d.office.holdAll(ctx, &j, cmp.Or(orders.why, "a header rule holds it"))
	case !orders.redirect.IsNull():
		shaped.To = []mail.Recipient{{Address: orders.redirect, Notify: mail.NotifyNever}}
	}
	outcomes, err := d.office.post(ctx, &j)
	if wrote := d.office.o.Wrote; wrote != nil && err == nil && env.Origin.Account != "" {
		wrote(env.Origin.Account, env.To)
	}
	return d.office.asThey(env.To, shaped.To, &orders, outcomes, err)
}

// accepted are the outcomes of a message that all is done with.
func accepted(to []mail.Recipient) []mail.Outcome {
	return slices.Repeat([]mail.Outcome{{Status: mail.Reply(250, "2.1.5", "accepted")}}, len(to))
}

// job is a message that is to be committed.
type job struct {
	draft *store.Draft
	env   *mail.Envelope
	trace []byte
	found *sender.Findings // of who sent it; nil if nobody looked
	// verdict is that of the site by its score; nil if nobody has judged it.
	verdict *score.Verdict
	told    *journal.Event          // what the journal is to have of that; nil likewise
	titled  map[string]*store.Draft // the message with a word before its subject
	// item is what the message was in the queue, if it has been there; what is
	// left of it changes in the same commit.
	item    *mail.Item
	changed map[*local.Plan]*store.Draft // the message as filters have changed it
	// Of how it is sent on, by its form: what becomes of it as it is, and the message
	// with an author of ours.
	outlooks map[*store.Draft]*outlook
	replaced map[replacement]*outgoing
	// drafts are messages of our own that are committed with it.
	drafts []*store.Draft
}

// each says that every recipient has an answer of its own.
func (j *job) each() bool { return j.env.Origin.Service == "lmtp" || j.item != nil }

// post routes a message and carries out what follows.
func (p *Office) post(ctx context.Context, j *job) ([]mail.Outcome, error) {
	msg, err := j.draft.Message()
	if err != nil {
		return nil, storage("read the message", err)
	}
	j.env.TLSOptional = !j.env.RequireTLS && tlsOptional(msg)
	plan := p.plan(ctx, j.env, msg, j.item != nil)
	if !j.each() {
		if err := plan.refusal(); err != nil {
			return nil, err
		}
	}
	if !plan.any() {
		return plan.outcomes, nil
	}
	if err := p.decide(ctx, j, msg, plan); err != nil {
		return nil, err
	}
	if j.item == nil || j.item.Hop.Host != heldAccount { // of which there were copies already
		if err := p.copies(ctx, j.env, msg, plan); err != nil {
			return nil, err
		}
	}
	if err := p.filter(ctx, j, msg, plan); err != nil {
		return nil, err
	}
	if p.o.Ledger != nil && j.item == nil {
		if err := p.o.Ledger.Enter(ctx, j.env, j.draft.Body(), j.found); err != nil {
			return nil, storage("enter a report", err)
		}
	}
	if err := p.carryOut(ctx, j, plan); err != nil {
		return nil, err
	}
	if len(plan.local)+len(plan.remote) == 0 { // all of it is thrown away
		j.draft.Discard()
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

// carryOut does what was planned in one commit, then tells the queue.
func (p *Office) carryOut(ctx context.Context, j *job, pl *plan) error {
	if err := p.inFlow(ctx, j, len(pl.remote) > 0); err != nil {
		j.discard()
		return err
	}
	tx := p.o.Store.Begin()
	tx.Arrival()
	defer j.discard()
	if err := p.onward(ctx, j, pl); err != nil {
		return err
	}
	sent, err := p.deliver(ctx, tx, j, pl.local)
	if err != nil {
		return err
	}
	items := p.items(j, pl.remote)
	for _, item := range items {
		tx.PutItem(item)
	}
	items = append(items, sent...)
	if j.item != nil {
		if rest := pl.rest(j.item); len(rest.To) > 0 {
			tx.PutItem(rest)
		} else {
			tx.DropItem(j.item.ID)
		}
	}
	along := p.riders.along(p.o.Now())
	board(along, tx)
	placed, err := tx.Commit(ctx)
	arrive(along, err == nil)
	if err != nil {
		return storage("commit", err)
	}
	p.tell(j, pl, placed, items)
	return p.report(ctx, j, pl)
}

// inFlow lets a client wait a little whose message goes into the queue, when more
// comes there than goes: so the disk and the processor are for what leaves.
func (p *Office) inFlow(ctx context.Context, j *job, queued bool) error {
	if !queued || j.item != nil || p.scheduler == nil {
		return nil
	}
	d := p.scheduler.Pressure()
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return mail.Reply(451, "4.3.2", "shutting down, try again later")
	}
}

// report sends the DSN that is due at once: for recipients that have gone since
// RCPT, for those delivered here or expanded, whose sender wants to know, RFC
// 3461 section 5.2. It comes before the 250 but after the commit, since it
// quotes the message.
func (p *Office) report(ctx context.Context, j *job, pl *plan) error {
	fates := pl.fates
	if j.each() { // else somebody was told of failures
		fates = slices.DeleteFunc(fates, func(f mail.Fate) bool { return f.Kind == mail.NotifyFailure })
	}
	if len(fates) == 0 {
		return nil
	}
	item := mail.Item{Envelope: *j.env, Body: j.draft.ID(), Prefix: j.trace, Size: int64(len(j.trace)) + j.draft.Size()}
	item.Envelope.To = nil
	r, due := p.o.Reporter.Report(&item, fates)
	if !due {
		return nil
	}
	return p.Settle(ctx, queue.Settlement{Reports: []queue.Report{r}})
}

// discard frees what was written for a commit; nothing, once committed.
func (j *job) discard() {
	for _, d := range j.drafts {
		d.Discard()
	}
}

// deliver adds the local deliveries to the transaction, and gives the items of
// what they send.
func (p *Office) deliver(ctx context.Context, tx *store.Tx, j *job, local []delivery) (sent []mail.Item, err error) {
	for i := range local {
		d := &local[i]
		if d.todo != nil {
			items, err := p.carry(ctx, tx, j, d)
			if err != nil {
				return nil, err
			}
			sent = append(sent, items...)
			continue
		}
		mailbox, err := p.mailbox(ctx, d, j)
		if err != nil {
			return nil, err
		}
		draft, err := p.titled(ctx, j, d)
		if err != nil {
			return nil, err
		}
		tx.Deliver(mailbox, store.Incoming{Draft: draft, Prefix: j.prefix(d)})
	}
	return sent, nil
}

// localPrefix is what final delivery puts before a message: Return-Path, RFC
// 5321 section 4.4, and Delivered-To, RFC 9228.
func localPrefix(from, to mail.Address, trace []byte) []byte {
	prefix := make([]byte, 0, 64+len(trace))
	prefix = append(prefix, "Return-Path: "+from.Path()+"\r\nDelivered-To: "+to.String()+"\r\n"...)
	return append(prefix, trace...)
}

// items makes a queue item for each departure.
func (p *Office) items(j *job, remote []departure) []mail.Item {
	var items []mail.Item
	for _, d := range remote {
		item := p.item(j, d.hop, d.to)
		item.Hold, item.Envelope.From = d.hold, d.from
		if d.hold {
			item.Why = "a transport holds it"
		}
		as := j.base(&d)
		if d.as != nil {
			as = *d.as
		}
		item.Body, item.Prefix, item.Size = as.draft.ID(), as.prefix, as.draft.Size()+int64(len(j.trace))
		if j.verdict != nil && d.hop.Kind != mail.HopPost && j.changed[d.changed] == nil {
			item.Prefix = append(j.verdict.Fields(j.junk() != ""), item.Prefix...)
		}
		if !d.via.IsNull() { // so that a circle of filters ends, RFC 9228
			item.Prefix = append([]byte("Delivered-To: "+d.via.String()+"\r\n"), item.Prefix...)
		}
		item.Size += int64(len(item.Prefix) - len(j.trace))
		if !d.by.At.IsZero() {
			item.Envelope.By = d.by
		}
		if d.ret != "" {
			item.Envelope.Ret = d.ret
		}
		if d.list { // whose business the sender's wishes are not, RFC 3461 section 5.2.7.1
			item.Envelope.Ret, item.Envelope.EnvelopeID = "", ""
		}
		items = append(items, item)
	}
	return inParts(p.held(items))
}

// inParts counts the items of a message, of which its sender is told together.
// Those that go on with different senders have nobody in common to be told.
func inParts(items []mail.Item) []mail.Item {
	if len(items) < 2 || slices.ContainsFunc(items, func(i mail.Item) bool { return i.Envelope.From != items[0].Envelope.From }) {
		return items
	}
	for i := range items {
		items[i].Parts = len(items)
	}
	return items
}

// item is a message on its way to a hop.
func (p *Office) item(j *job, hop mail.Hop, to []mail.ItemRcpt) mail.Item {
	now := p.o.Now()
	item := mail.Item{
		ID: mail.NewID(now), Envelope: *j.env, Body: j.draft.ID(), Prefix: j.trace,
		Size: int64(len(j.trace)) + j.draft.Size(), Hop: hop, To: to,
		Due: now, Expires: now.Add(p.o.Lifetime),
	}
	item.Envelope.To = nil
	if hop.Kind == mail.HopPost {
		item.Junk = j.junk()
	}
	if r := j.env.Release; r.After(now) { // RFC 4865 section 4
		item.Due, item.Expires = r, r.Add(p.o.Lifetime)
	}
	return item
}

// tell writes what was committed into the journal and starts the queue on it.
func (p *Office) tell(j *job, pl *plan, placed []store.Placed, items []mail.Item) {
	for i := range pl.local {
		placed = p.tellLocal(j, &pl.local[i], placed)
	}
	for _, to := range pl.discarded {
		e := j.event(journal.Discard)
		e.To, e.Reason = []string{to.String()}, "as a table wants it"
		p.record(e)
	}
	for _, item := range items {
		e := j.event("queue")
		e.From, e.To, e.Host, e.Size = item.Envelope.From.String(), addresses(item.To), item.Hop.Host, item.Size
		if item.Hold {
			e.Kind = journal.Hold
		}
		p.record(e)
	}
	if len(items) > 0 && p.scheduler != nil {
		p.scheduler.Added(items...)
	}
}

// event is something that happens to the message of a job.
func (j *job) event(kind string) journal.Event {
	return journal.Event{
		Kind: kind, Service: j.env.Origin.Service, Conn: j.env.Origin.Conn, Message: j.env.ID,
		From: j.env.From.String(), Size: j.draft.Size(),
	}
}

func (p *Office) record(e journal.Event) {
	e.Time = p.o.Now()
	p.o.Journal.Record(e)
}

func addresses(to []mail.ItemRcpt) []string {
	list := make([]string, len(to))
	for i := range to {
		list[i] = to[i].Address.String()
	}
	return list
}
