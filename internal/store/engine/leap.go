package engine

import (
	"context"
	"fmt"
	"math"
)

const (
	uidLeap    = 1 << 20 // messages that may have come since
	modSeqLeap = 1 << 32
)

// Leap makes mailboxes fit to go on from the state of an earlier time, or from
// one of which a part is lost, in an engine that no store uses yet. Clients have
// seen what came later: UIDs and MODSEQs that were given since are not given
// again, RFC 9051 section 2.3.1.1, and every message gets a new MODSEQ, so that
// flags are asked for anew, RFC 7162.
func Leap(ctx context.Context, e Engine) error {
	var accounts []Account
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
	return nil
}

func leapAccount(ctx context.Context, e Engine, name string) error {
	a, boxes, err := e.Account(ctx, name)
	if err != nil {
		return err
	}
	// Mailboxes that were made since had values of this counter.
	a.NextUIDValidity += uidLeap
	a.NextMailbox += 1 << 16
	b := Batch{Accounts: []Account{a}}
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
		c := MailboxChange{Account: a.ID, Record: rec}
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
