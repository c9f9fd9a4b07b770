package store

import (
	"context"
	"fmt"
	"math"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

const (
	uidLeap    = 1 << 20 // messages that may have come since the backup
	modSeqLeap = 1 << 32
	queueStep  = 1000
)

// Leap makes the state of an earlier time fit to go on from, in an engine that
// no store uses yet. Clients have seen what came later: UIDs and MODSEQs that
// were given since are not given again, RFC 9051 section 2.3.1.1, and every
// message gets a new MODSEQ, so that flags are asked for anew, RFC 7162. What is
// in the queue is held: most of it has been sent since.
func Leap(ctx context.Context, e engine.Engine, why string) error {
	var accounts []engine.Account
	for a, err := range e.Accounts(ctx) {
		if err != nil {
			return fmt.Errorf("leap: %w", err)
		}
		accounts = append(accounts, a)
	}
	for _, a := range accounts {
		if err := leapAccount(ctx, e, a.Name); err != nil {
			return fmt.Errorf("leap: account %s: %w", a.Name, err)
		}
	}
	if err := holdQueue(ctx, e, why); err != nil {
		return fmt.Errorf("leap: queue: %w", err)
	}
	return nil
}

func leapAccount(ctx context.Context, e engine.Engine, name string) error {
	a, boxes, err := e.Account(ctx, name)
	if err != nil {
		return err
	}
	// Mailboxes that were made since had values of this counter.
	a.NextUIDValidity += uidLeap
	a.NextMailbox += 1 << 16
	b := engine.Batch{Accounts: []engine.Account{a}}
	for i := range boxes {
		rec := boxes[i]
		if rec.NoSelect {
			continue
		}
		if rec.UIDNext > math.MaxUint32-2*uidLeap { // no room to leap: a new life
			rec.UIDValidity = a.NextUIDValidity
			a.NextUIDValidity++
			b.Accounts[0] = a
		} else {
			rec.UIDNext += uidLeap
		}
		rec.HighestModSeq += modSeqLeap
		c := engine.MailboxChange{Account: a.ID, Record: rec}
		for entry, err := range e.Entries(ctx, a.ID, rec.ID, 0) {
			if err != nil {
				return err
			}
			entry.ModSeq = rec.HighestModSeq
			c.Update = append(c.Update, entry)
		}
		// Of what went since nothing is known: who asks gets to know all UIDs.
		c.Record.ExpungedSince, c.Record.ExpungedCount = rec.HighestModSeq, 0
		c.Unlearn = rec.HighestModSeq
		b.Mailboxes = append(b.Mailboxes, c)
	}
	t, err := e.Apply(&b)
	if err != nil {
		return err
	}
	return t.Wait()
}

// holdQueue holds all items.
func holdQueue(ctx context.Context, e engine.Engine, why string) error {
	var some []mail.Item
	put := func() error {
		if len(some) == 0 {
			return nil
		}
		t, err := e.Apply(&engine.Batch{PutItems: some})
		some = nil
		if err != nil {
			return err
		}
		return t.Wait()
	}
	for i, err := range e.Items(ctx) {
		if err != nil {
			return err
		}
		i.Hold, i.Why = true, why
		if some = append(some, i); len(some) == queueStep {
			if err := put(); err != nil {
				return err
			}
		}
	}
	return put()
}
