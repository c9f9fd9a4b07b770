package enginetest

import (
	"context"
	"fmt"
	"slices"

	"plic/internal/store/engine"
)

// whole changes all of a mailbox at once, as who copies, marks, clears, converts or
// restores it does: commits that are much larger than most, and ranges of keys.
func (a *author) whole(ctx context.Context, e engine.Engine, b *engine.Batch, accounts []engine.AccountID) error {
	acct := a.model.accounts[accounts[a.wide.IntN(len(accounts))]]
	boxes := sortedKeys(acct.boxes)
	if len(boxes) == 0 {
		return nil
	}
	box := acct.boxes[boxes[a.wide.IntN(len(boxes))]]
	uids := sortedKeys(box.messages)
	a.seq++
	c := engine.MailboxChange{Account: acct.ID, Record: box.Mailbox}
	c.Record.Keywords = slices.Clone(c.Record.Keywords)
	what := a.wide.IntN(6)
	switch {
	case len(uids) < 10:
		what = 0
	case len(uids) > 300:
		what = 3
	}
	switch what {
	case 0, 1:
		if err := a.many(ctx, e, b, &c); err != nil {
			return err
		}
	case 2:
		a.mark(box, uids, &c)
	case 3:
		a.clear(box, uids, &c)
	case 4:
		a.leap(acct, box, uids, b, &c)
	case 5:
		if err := a.move(ctx, e, box, uids, b, &c); err != nil {
			return err
		}
	}
	c.Record.HighestModSeq = a.seq
	b.Mailboxes = append(b.Mailboxes, c)
	return nil
}

// many adds messages over one body.
func (a *author) many(ctx context.Context, e engine.Engine, b *engine.Batch, c *engine.MailboxChange) error {
	w, err := a.body(ctx, e)
	if err != nil {
		return err
	}
	b.Bodies = append(b.Bodies, w)
	for range 20 + a.wide.IntN(200) {
		c.Add = append(c.Add, engine.Message{
			Entry: engine.Entry{
				UID: c.Record.UIDNext, ModSeq: a.seq, Size: int64(a.wide.IntN(1 << 20)),
				Internal: engine.DateOf(a.clock.now()), Saved: a.clock.now().Unix(), Body: w.ID(),
			},
			Detail: engine.Detail{Summary: fmt.Append(nil, a.wide.Uint64(), " ", a.wide.Uint64())},
		})
		c.Record.UIDNext++
		c.Record.Messages++
	}
	return nil
}

// mark gives all messages other flags.
func (a *author) mark(box *mailbox, uids []engine.UID, c *engine.MailboxChange) {
	for _, uid := range uids {
		entry := box.messages[uid].Entry
		entry.Flags, entry.ModSeq = engine.Flags(a.wide.IntN(4)), a.seq
		c.Update = append(c.Update, entry)
	}
}

// clear expunges all messages, or all but a few.
func (a *author) clear(box *mailbox, uids []engine.UID, c *engine.MailboxChange) {
	spared := a.wide.IntN(3)
	named := a.wide.IntN(2) == 0
	for i, uid := range uids {
		if spared > 0 && i%100 == 50 {
			spared--
			continue
		}
		c.Expunge = append(c.Expunge, uid)
		if named {
			c.Gone = append(c.Gone, box.messages[uid].Body)
		}
		c.Record.Messages--
	}
	c.ExpungedAt = a.seq
}

// leap does to a mailbox what engine.Leap does.
func (a *author) leap(acct *account, box *mailbox, uids []engine.UID, b *engine.Batch, c *engine.MailboxChange) {
	changed := acct.Account
	changed.NextUIDValidity += 1 << 20
	changed.NextMailbox += 1 << 16
	b.Accounts = append(b.Accounts, changed)
	a.seq += 1 << 32
	a.mark(box, uids, c)
	c.Record.UIDNext += 1 << 20
	c.Record.ExpungedSince, c.Record.ExpungedCount = a.seq, 0
	c.Unlearn = a.seq
}

// move gives all messages another body.
func (a *author) move(ctx context.Context, e engine.Engine, box *mailbox, uids []engine.UID, b *engine.Batch, c *engine.MailboxChange) error {
	w, err := a.body(ctx, e)
	if err != nil {
		return err
	}
	b.Bodies = append(b.Bodies, w)
	c.Moved = true
	for _, uid := range uids {
		msg := engine.Message{Entry: box.messages[uid].Entry}
		msg.Body = w.ID()
		if a.wide.IntN(4) == 0 {
			msg.Summary = fmt.Append(nil, "moved ", a.wide.Uint64())
		}
		c.Add = append(c.Add, msg)
	}
	return nil
}
