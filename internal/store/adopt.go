package store

import (
	"context"
	"fmt"
)

// Adopt gives a mailbox that never had a message the UIDVALIDITY that it has
// elsewhere, from where its messages will come with their UIDs. Until Settle,
// UIDs below next are for them: others get UIDs from there on. It says whether
// the UIDs can be kept; a mailbox adopted before may go on.
func (a *Account) Adopt(ctx context.Context, name string, validity uint32, next UID) (kept bool, err error) {
	m, err := a.Mailbox(name)
	if err != nil || a.kept { // files say themselves what UIDs mean
		return false, err
	}
	err = a.plan(ctx, func(p *plan) error {
		rec := p.record(m)
		switch {
		case validity == 0:
			return nil
		case rec.UIDValidity == validity:
			kept = true
		case rec.UIDNext == 1 && rec.Messages == 0:
			e, err := p.c.edit(m)
			if err != nil {
				return err
			}
			e.next.rec.UIDValidity = validity
			// What is made later is above all that there was.
			p.rec.NextUIDValidity = max(p.rec.NextUIDValidity, validity+1)
			kept = true
		}
		if kept {
			m.floor.Store(uint32(next))
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("adopt %s: %w", name, err)
	}
	return kept, nil
}

// Settle ends what Adopt began: new messages get UIDs from next on.
func (m *Mailbox) Settle(ctx context.Context, next UID) error {
	defer m.floor.Store(0)
	c, err := m.account.store.lock(m.account)
	if err != nil {
		return err
	}
	defer c.unlock()
	e, err := c.edit(m)
	if err != nil {
		return err
	}
	if e.next.rec.UIDNext >= next {
		return c.nothing(ctx)
	}
	e.next.rec.UIDNext = next
	return c.finish()
}

// numbered makes the next UID that which a message has elsewhere, if it can have
// it, or one that no message there can have.
func (e *edit) numbered(uid UID) {
	rec := &e.next.rec
	if uid >= rec.UIDNext {
		rec.UIDNext = uid
		return
	}
	rec.UIDNext = max(rec.UIDNext, UID(e.m.floor.Load()))
}
