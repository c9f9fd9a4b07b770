package post

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/queue"
	"plic/internal/store"
	"plic/internal/store/engine"
)

var _ queue.Custody = (*Office)(nil)

// Items gives every item of the queue, as queue.Custody asks.
func (p *Office) Items(ctx context.Context) iter.Seq2[mail.Item, error] {
	return p.o.Store.Items(ctx)
}

// Item gives one item of the queue; queue.ErrNotFound.
func (p *Office) Item(ctx context.Context, id mail.ID) (mail.Item, error) {
	item, err := p.o.Store.Item(ctx, id)
	if errors.Is(err, engine.ErrNotFound) {
		err = errors.Join(queue.ErrNotFound, err)
	}
	return item, err
}

// OpenBody gives an item's prefix and body as one.
func (p *Office) OpenBody(ctx context.Context, item *mail.Item) (mail.Body, error) {
	body, err := p.o.Store.OpenBody(ctx, item.Body)
	if err != nil {
		return nil, fmt.Errorf("open the body of item %s: %w", item.ID, err)
	}
	return mail.WithPrefix(item.Prefix, body), nil
}

// Settle records what became of an item, and takes custody of the reports that
// follow from it, in one commit: a failure is never lost between the two.
func (p *Office) Settle(ctx context.Context, s queue.Settlement) error {
	if len(s.Put) == 0 && len(s.Reports) == 0 {
		return p.drop(ctx, s.Drop)
	}
	tx := p.o.Store.Begin()
	tx.Arrival()
	tx.BeyondQuota() // only reports go to accounts here
	for _, item := range s.Put {
		tx.PutItem(item)
	}
	for _, id := range s.Drop {
		tx.DropItem(id)
	}
	var added []mail.Item
	for _, report := range s.Reports {
		draft, err := p.draft(ctx, report.Message)
		if err != nil {
			return err
		}
		defer draft.Discard() // nothing, once committed
		items, err := p.mailReport(ctx, tx, draft, &report.Envelope)
		if err != nil {
			return err
		}
		added = append(added, items...)
	}
	if _, err := tx.Commit(ctx); err != nil {
		return storage("settle", err)
	}
	if len(added) > 0 && p.scheduler != nil {
		p.scheduler.Added(added...)
	}
	return nil
}

// draft takes a message of our own making in.
func (p *Office) draft(ctx context.Context, text []byte) (*store.Draft, error) {
	draft, err := p.o.Store.NewDraft(ctx)
	if err != nil {
		return nil, storage("begin a report", err)
	}
	if _, err := draft.Write(text); err != nil {
		draft.Discard()
		return nil, storage("write a report", err)
	}
	return draft, nil
}

// mailReport routes a report to the sender it is for and puts it into the
// transaction. One that cannot be routed is journalled and goes no further:
// there is nobody left to tell, RFC 5321 section 6.1.
func (p *Office) mailReport(ctx context.Context, tx *store.Tx, draft *store.Draft, env *mail.Envelope) ([]mail.Item, error) {
	msg, err := draft.Message()
	if err != nil {
		return nil, storage("read a report", err)
	}
	pl := p.plan(ctx, env, msg, false)
	for i, o := range pl.outcomes {
		if o.Status.Temporary() {
			return nil, o.Err
		}
		e := journal.Event{
			Time: p.o.Now(), Kind: "bounce", Service: "queue", Message: env.ID, To: []string{env.To[i].Address.String()},
			Status: o.Status.String(),
		}
		if o.Err != nil {
			e.Reason = o.Err.Error()
		}
		p.o.Journal.Record(e)
	}
	signature, err := p.signed(ctx, draft, nil)
	if err != nil {
		return nil, err
	}
	j := &job{draft: draft, env: env, trace: signature}
	sent, err := p.deliver(ctx, tx, j, pl.local)
	if err != nil {
		return nil, err
	}
	items := append(sent, p.items(j, pl.remote)...)
	for i := range items {
		items[i].Report = true
		tx.PutItem(items[i])
	}
	return items, nil
}
