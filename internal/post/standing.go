package post

import (
	"context"
	"time"

	"plic/internal/deliver/local"
	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/sieve"
	"plic/internal/store"
)

// Overlooker runs scripts over messages that are in mailboxes.
type Overlooker interface {
	Over(ctx context.Context, m *store.Message, s *local.Standing, chain []*sieve.Script) (*local.Plan, error)
}

// Refile runs scripts over a message that is in a mailbox, and does what they say:
// copies of it are filed and what is sent is in the queue in one commit; then the
// message itself gets its flags, or is marked as deleted. The fault of a script is
// a *sieve.Error, and changes nothing.
func (p *Office) Refile(ctx context.Context, over Overlooker, s *local.Standing, chain []*sieve.Script) error {
	m, err := s.Mailbox.Open(ctx, s.Entry)
	if err != nil {
		return err
	}
	defer m.Close()
	pl, err := over.Over(ctx, m, s, chain)
	if err != nil {
		return err
	}
	if pl.Err != nil {
		return pl.Err
	}
	if len(pl.Files)+len(pl.Redirects)+len(pl.Pipes)+len(pl.Send)+len(pl.Papers)+len(pl.Notes) > 0 {
		if err := p.refile(ctx, m, s, pl); err != nil {
			return err
		}
	}
	if !pl.Stays {
		_, _, err = s.Mailbox.SetFlags(ctx, []store.UID{s.Entry.UID}, store.FlagsAdd, store.Flags{System: store.Deleted}, store.MaxModSeq)
		return err
	}
	_, _, err = s.Mailbox.SetFlags(ctx, []store.UID{s.Entry.UID}, store.FlagsSet, pl.Flags, store.MaxModSeq)
	return err
}

func (p *Office) refile(ctx context.Context, m *store.Message, s *local.Standing, pl *local.Plan) error {
	owner, err := mail.ParseAddress(s.Mailbox.Account().Name())
	if err != nil {
		return err
	}
	now := p.o.Now()
	text := pl.Text
	if text == nil && len(pl.Redirects)+len(pl.Pipes) > 0 {
		if text, err = local.Whole(m); err != nil {
			return err
		}
	}
	j := &job{env: &mail.Envelope{ID: mail.NewID(now), From: owner, Received: now, Kind: mail.Body8Bit,
		Origin: mail.Origin{Service: "local", Account: owner.String()}}}
	defer j.discard()
	if text != nil {
		if j.draft, err = p.draft(ctx, text); err != nil {
			return err
		}
		j.drafts = append(j.drafts, j.draft)
		j.env.Size = int64(len(text))
	}
	tx := p.o.Store.Begin()
	for _, f := range pl.Files {
		in := store.Incoming{Flags: f.Flags, Internal: s.Entry.Internal.Time()}
		if pl.Text != nil {
			in.Draft = j.draft
		} else {
			in.Body, in.Prefix = s.Entry.Body, m.Prefix()
		}
		tx.Deliver(f.Mailbox, in)
	}
	d := &delivery{account: s.Mailbox.Account().Name(), to: owner, from: owner, rcpt: -1, todo: &local.Plan{
		Redirects: pl.Redirects, Pipes: pl.Pipes, Papers: pl.Papers, Notes: pl.Notes, Send: pl.Send,
	}}
	sent, err := p.carry(ctx, tx, j, d)
	if err != nil {
		return err
	}
	items, err := p.goOn(ctx, tx, j, d)
	if err != nil {
		return err
	}
	pl.Stays = pl.Stays || d.todo == nil // it leads nowhere new
	for _, item := range items {
		tx.PutItem(item)
	}
	if _, err := tx.Commit(ctx); err != nil {
		return storage("commit", err)
	}
	items = append(items, sent...)
	if len(items) > 0 && p.scheduler != nil {
		p.scheduler.Added(items...)
	}
	p.tellRefiled(j, s, pl, now)
	return nil
}

// goOn routes what a script sends on. What is for accounts here goes to them in
// the same commit.
func (p *Office) goOn(ctx context.Context, tx *store.Tx, j *job, d *delivery) ([]mail.Item, error) {
	whole := &plan{local: []delivery{*d}}
	whole.pipe(d)
	if len(d.todo.Redirects) == 0 {
		return p.items(j, whole.remote), nil
	}
	msg, err := j.draft.Message()
	if err != nil {
		return nil, storage("read the message", err)
	}
	if err := p.sendOn(ctx, j, msg, whole, 0); err != nil {
		return nil, err
	}
	d.todo = whole.local[0].todo
	if j.trace, err = p.signed(ctx, j.draft, nil); err != nil {
		return nil, err
	}
	if _, err := p.deliver(ctx, tx, j, whole.local[1:]); err != nil {
		return nil, err
	}
	return p.items(j, whole.remote), nil
}

func (p *Office) tellRefiled(j *job, s *local.Standing, pl *local.Plan, now time.Time) {
	why := "by a filter over mailbox " + s.Mailbox.Name()
	e := journal.Event{Time: now, Service: "imap", Message: j.env.ID, Account: s.Mailbox.Account().Name(), Reason: why}
	for _, f := range pl.Files {
		e.Kind, e.Mailbox = "deliver", f.Mailbox.Name()
		p.o.Journal.Record(e)
	}
	e.Mailbox = ""
	for _, r := range pl.Redirects {
		e.Kind, e.To = journal.Redirect, []string{r.To.String()}
		p.o.Journal.Record(e)
	}
}
