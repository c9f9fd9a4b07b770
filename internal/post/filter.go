package post

import (
	"bytes"
	"context"
	"strings"

	"plic/internal/check/score"
	"plic/internal/deliver/local"
	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/sieve"
	"plic/internal/store"
)

// filter has the accounts of a plan say what they do with the message, and puts
// what follows into the plan: who it is sent on to, whom it refuses. An account
// that a redirect leads to has its say too; a circle of redirects ends with the
// message kept at the last of them.
func (p *Office) filter(ctx context.Context, j *job, msg *message.Message, pl *plan) error {
	if p.o.Filter == nil {
		return nil
	}
	for i := 0; i < len(pl.local); i++ { // redirects make it longer
		d := pl.local[i]
		d.verdict = p.verdictFor(ctx, j, &d)
		pl.local[i].verdict = d.verdict
		if d.again {
			continue
		}
		account, err := p.o.Store.Account(ctx, d.account)
		if err != nil {
			return storage("open account "+d.account, err)
		}
		letter := &local.Letter{
			Account: account, From: d.from, To: d.to, Detail: d.detail, Envelope: j.env, Junk: j.junkFor(&d) != "",
			Whole: mail.WithPrefix(j.prefix(&d), j.draft.Body()),
		}
		if d.verdict != nil {
			letter.Spam = &sieve.Score{Percent: d.verdict.Percent()}
			letter.Virus = virus(d.verdict)
		}
		if d.rcpt >= 0 {
			letter.Rcpt = &j.env.To[d.rcpt]
		}
		todo, err := p.o.Filter.Plan(ctx, letter)
		if err != nil {
			return storage("filter for "+d.account, err)
		}
		if todo == nil {
			continue
		}
		if todo.Err != nil {
			e := j.event(journal.Error)
			e.Account, e.Reason = d.account, "the filter script failed, the message is kept: "+todo.Err.Error()
			p.record(e)
		}
		pl.local[i].todo = todo
		pl.pipe(&pl.local[i])
		if err := p.sendOn(ctx, j, msg, pl, i); err != nil {
			return err
		}
	}
	return pl.refuse(j)
}

// virus is what scripts learn of a virus scanner, nil if there is none.
func virus(v *score.Verdict) *sieve.Score {
	found, asked := v.Virus()
	switch {
	case !asked:
		return nil
	case found:
		return &sieve.Score{Percent: 100}
	}
	return &sieve.Score{}
}

// sendOn routes the redirects of a delivery. Where one leads nowhere new, the
// message is kept: RFC 5228 section 2.10.6, and a circle must not lose it.
func (p *Office) sendOn(ctx context.Context, j *job, msg *message.Message, pl *plan, i int) error {
	d := &pl.local[i]
	for _, r := range d.todo.Redirects {
		more := *j.env
		more.From = d.from
		more.To = []mail.Recipient{{Address: r.To, Notify: r.Notify}}
		if r.Notify == 0 {
			more.To[0].Notify = mail.NotifyFailure
		}
		extra := p.plan(ctx, &more, msg, pl.released)
		if o := extra.outcomes[0]; o.Err != nil && o.Status.Temporary() {
			return o.Err
		}
		added := false
		for _, next := range extra.local {
			if !has(pl.local, next.account) {
				next.rcpt, added = -1, true
				pl.local = append(pl.local, next)
				d = &pl.local[i]
			}
		}
		from, err := p.o.Router.Forwarded(ctx, d.from)
		if err != nil {
			return err
		}
		for _, next := range extra.remote {
			next.via, next.ret, next.by, next.changed = d.to, r.Ret, r.By, changed(d.todo)
			if next.from == d.from {
				next.from = from
			}
			for _, to := range next.to {
				added = true
				pl.depart(next.way, d.to, to)
			}
		}
		if !added && len(d.todo.Files) == 0 {
			d.todo, d.again = nil, true // as without a script
			return nil
		}
	}
	return nil
}

// pipe sends the message to the programs that a delivery names. Its sender hears
// of their failures only if it is nowhere else.
func (pl *plan) pipe(d *delivery) {
	to := mail.Recipient{Address: d.to, Notify: mail.NotifyFailure}
	if len(d.todo.Files) > 0 {
		to.Notify = mail.NotifyNever
	}
	for _, x := range d.todo.Pipes {
		hop := mail.Hop{Kind: mail.HopPipe, Host: mail.ForScripts + x.Program, Args: strings.Join(x.Args, "\n"), Exact: true}
		pl.depart(way{hop: hop, from: d.from, via: d.to, changed: changed(d.todo)}, mail.Address{}, mail.ItemRcpt{Recipient: to})
	}
}

// changed is the plan if it has changed the message.
func changed(todo *local.Plan) *local.Plan {
	if todo.Text == nil {
		return nil
	}
	return todo
}

// leave writes the message as filters have changed it, for where it is sent on to:
// without the Return-Path of its delivery, RFC 5321 section 4.4.
func (p *Office) leave(ctx context.Context, j *job, remote []departure) error {
	for _, d := range remote {
		if d.changed == nil || j.changed[d.changed] != nil {
			continue
		}
		text := d.changed.Text
		if bytes.HasPrefix(text, []byte("Return-Path:")) {
			_, text, _ = bytes.Cut(text, []byte("\r\n"))
		}
		draft, err := p.draft(ctx, text)
		if err != nil {
			return err
		}
		if j.changed == nil {
			j.changed = map[*local.Plan]*store.Draft{}
		}
		j.changed[d.changed] = draft
		j.drafts = append(j.drafts, draft)
	}
	return nil
}

// refuse makes of rejections what the sender learns: in the session where one
// reply can say it or each recipient has its own, else by a report. RFC 5429
// section 2.1.
func (pl *plan) refuse(j *job) error {
	var first error
	rejected := 0
	for i := range pl.local {
		d := &pl.local[i]
		if d.todo == nil || !d.todo.Rejected {
			continue
		}
		if d.rcpt < 0 { // a copy, or one that was sent on: its sender has no part in it
			continue
		}
		status := mail.Reply(550, "5.7.1", rejection(d.todo.Reason))
		err := &mail.Failure{Op: "deliver to " + d.to.String(), Status: status}
		rejected++
		if first == nil {
			first = err
		}
		if j.each() {
			pl.outcomes[d.rcpt] = mail.Outcome{Status: status, Err: err}
		}
		pl.unsay(mail.Fate{Kind: mail.NotifyFailure, ItemRcpt: mail.ItemRcpt{
			Recipient: j.env.To[d.rcpt], Last: status, Reason: "refused by the owner of the mailbox: " + d.todo.Reason,
		}}, j.env.To[d.rcpt].Address)
	}
	if rejected > 0 && rejected == len(pl.local) && len(pl.remote)+len(pl.discarded) == 0 && !j.each() {
		return first
	}
	return nil
}

// unsay takes back that a recipient was served, and says what became of it.
func (pl *plan) unsay(f mail.Fate, to mail.Address) {
	kept := pl.fates[:0]
	for _, have := range pl.fates {
		if have.Kind != mail.NotifySuccess || have.Address != to {
			kept = append(kept, have)
		}
	}
	pl.fates = append(kept, f)
}

// rejection is a reason that fits into a reply.
func rejection(reason string) string {
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, reason)
	const most = 400
	if text = strings.TrimSpace(text); text == "" {
		return "the message is refused by its recipient"
	}
	return text[:min(len(text), most)]
}

// carry adds what an account has planned to the transaction.
func (p *Office) carry(ctx context.Context, tx *store.Tx, j *job, d *delivery) (sent []mail.Item, err error) {
	todo := d.todo
	draft, err := p.titled(ctx, j, d)
	if err != nil {
		return nil, err
	}
	prefix := j.prefix(d)
	if todo.Text != nil && len(todo.Files) > 0 {
		if draft, err = p.draft(ctx, todo.Text); err != nil {
			return nil, err
		}
		j.drafts, prefix = append(j.drafts, draft), nil
	}
	for _, f := range todo.Files {
		tx.Deliver(f.Mailbox, store.Incoming{Draft: draft, Prefix: prefix, Flags: f.Flags})
	}
	for _, paper := range todo.Papers {
		if draft, err = p.draft(ctx, paper.Text); err != nil {
			return nil, err
		}
		j.drafts = append(j.drafts, draft)
		tx.Deliver(paper.Mailbox, store.Incoming{Draft: draft, Flags: paper.Flags})
	}
	account, err := p.o.Store.Account(ctx, d.account)
	if err != nil {
		return nil, storage("open account "+d.account, err)
	}
	for _, n := range todo.Notes {
		tx.PutNote(account.Notes(), n.Key, n.Value)
	}
	for i := range todo.Send {
		if draft, err = p.draft(ctx, todo.Send[i].Message); err != nil {
			return nil, err
		}
		j.drafts = append(j.drafts, draft)
		items, err := p.mailReport(ctx, tx, draft, &todo.Send[i].Envelope)
		if err != nil {
			return nil, err
		}
		sent = append(sent, items...)
	}
	return sent, nil
}

// tellLocal writes what became of a delivery into the journal.
func (p *Office) tellLocal(j *job, d *delivery, placed []store.Placed) []store.Placed {
	e := j.event("deliver")
	e.From, e.To, e.Account, e.Status = d.from.String(), []string{d.to.String()}, d.account, "250 2.1.5 delivered"
	if d.todo == nil {
		e.Mailbox, e.UID, e.Reason = placed[0].Mailbox, uint32(placed[0].UID), j.junkFor(d)
		p.record(e)
		return placed[1:]
	}
	for i := range d.todo.Files {
		e.Mailbox, e.UID, e.Reason = placed[i].Mailbox, uint32(placed[i].UID), "by the filter of the account"
		p.record(e)
	}
	for _, r := range d.todo.Redirects {
		e := j.event(journal.Redirect)
		e.Account, e.To, e.Reason = d.account, []string{r.To.String()}, "by the filter of the account"
		p.record(e)
	}
	for _, x := range d.todo.Pipes {
		e := j.event(journal.Redirect)
		e.Account, e.To, e.Reason = d.account, []string{d.to.String()}, "to the program "+x.Program+" by the filter of the account"
		p.record(e)
	}
	switch {
	case d.todo.Rejected:
		e := j.event(journal.Reject)
		e.Account, e.To, e.Reason = d.account, []string{d.to.String()}, "by the filter of the account: "+d.todo.Reason
		p.record(e)
	case len(d.todo.Files)+len(d.todo.Redirects)+len(d.todo.Pipes) == 0:
		e := j.event(journal.Discard)
		e.Account, e.To, e.Reason = d.account, []string{d.to.String()}, "by the filter of the account"
		p.record(e)
	}
	return placed[len(d.todo.Files)+len(d.todo.Papers):]
}
