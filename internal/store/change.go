package store

import (
	"context"
	"fmt"
	"slices"

	"plic/internal/store/engine"
)

// checkEvery is how many messages a long loop handles between looks at its
// context.
const checkEvery = 4096

// likely is how many messages there is room for before it is known that so many
// change.
const likely = 1024

// begin locks the account and loads the index: the beginning of every change to
// messages that are there already.
func (m *Mailbox) begin(ctx context.Context) (*commit, *edit, *Snapshot, error) {
	c, err := m.account.store.lock(m.account)
	if err != nil {
		return nil, nil, nil, err
	}
	st, err := m.loaded(ctx)
	if err != nil {
		c.unlock()
		return nil, nil, nil, err
	}
	e, err := c.edit(m)
	if err != nil {
		c.unlock()
		return nil, nil, nil, err
	}
	return c, e, st.snap, nil
}

// SetFlags changes the flags of messages; UIDs that are not there are left out.
// Only messages whose flags differ afterwards get a new MODSEQ, one for all.
// Those with a MODSEQ above unchangedSince are left as they are and returned as
// modified, RFC 7162 section 3.1.3; give MaxModSeq for none.
func (m *Mailbox) SetFlags(ctx context.Context, uids []UID, op FlagOp, f Flags, unchangedSince ModSeq) (changed []Entry, modified []UID, err error) {
	return m.SetFlagsBut(ctx, uids, op, f, unchangedSince, 0)
}

// SetFlagsBut is SetFlags that leaves some flags as they are.
func (m *Mailbox) SetFlagsBut(ctx context.Context, uids []UID, op FlagOp, f Flags, unchangedSince ModSeq, keep engine.Flags) (changed []Entry, modified []UID, err error) {
	c, e, snap, err := m.begin(ctx)
	if err != nil {
		return nil, nil, err
	}
	defer c.unlock()
	modified, err = e.setFlags(ctx, snap, uids, op, f, unchangedSince, keep)
	if err != nil {
		return nil, nil, err
	}
	if len(e.change.Update) == 0 {
		return nil, modified, c.nothing(ctx)
	}
	if err := c.finish(); err != nil {
		return nil, nil, fmt.Errorf("change flags in %s: %w", e.next.rec.Name, err)
	}
	return e.change.Update, modified, nil
}

func (e *edit) setFlags(ctx context.Context, snap *Snapshot, uids []UID, op FlagOp, f Flags, since ModSeq, keep engine.Flags) (modified []UID, err error) {
	var bits engine.Flags
	numbered := false
	e.change.Update = slices.Grow(e.change.Update, min(len(uids), likely))
	at := snap.Cursor()
	for i, uid := range rising(uids) {
		if i%checkEvery == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		msg, ok := at.Get(uid)
		if !ok {
			continue
		}
		if msg.ModSeq > since {
			modified = append(modified, uid)
			continue
		}
		if !numbered { // a keyword is made only when there is a message for it
			numbered = true
			if op == FlagsRemove {
				bits = e.known(f)
			} else if bits, err = e.bits(f, func() (engine.Flags, error) { return snap.used(), nil }); err != nil {
				return nil, err
			}
		}
		next := bits
		switch op {
		case FlagsAdd:
			next = msg.Flags | bits
		case FlagsRemove:
			next = msg.Flags &^ bits
		}
		if next = next&^keep | msg.Flags&keep; next != msg.Flags {
			e.flag(&msg, next)
		}
	}
	return modified, nil
}

// rising gives UIDs in rising order, each once.
func rising(uids []UID) []UID {
	for i := 1; i < len(uids); i++ {
		if uids[i] <= uids[i-1] {
			uids = slices.Clone(uids)
			slices.Sort(uids)
			return slices.Compact(uids)
		}
	}
	return uids
}

// Expunge removes messages and gives the UIDs that went. With onlyDeleted those
// that are not \Deleted stay; then nil stands for all messages, RFC 9051
// section 6.4.3.
func (m *Mailbox) Expunge(ctx context.Context, uids []UID, onlyDeleted bool) ([]UID, error) {
	c, e, snap, err := m.begin(ctx)
	if err != nil {
		return nil, err
	}
	defer c.unlock()
	if uids == nil && onlyDeleted {
		uids = snap.allDeleted()
	}
	e.change.Expunge = slices.Grow(e.change.Expunge, min(len(uids), likely))
	at := snap.Cursor()
	for i, uid := range rising(uids) {
		if i%checkEvery == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if msg, ok := at.Get(uid); ok && (!onlyDeleted || msg.Flags&Deleted != 0) {
			e.expunge(msg)
		}
	}
	if len(e.change.Expunge) == 0 {
		return nil, c.nothing(ctx)
	}
	if err := c.finish(); err != nil {
		return nil, fmt.Errorf("expunge from %s: %w", e.next.rec.Name, err)
	}
	return e.change.Expunge, nil
}

func (s *Snapshot) allDeleted() []UID {
	uids := make([]UID, 0, s.deleted)
	chunks, _ := s.list()
	for _, c := range chunks {
		if c.deleted == 0 {
			continue
		}
		for i, f := range c.flags {
			if f&Deleted != 0 {
				uids = append(uids, c.uids[i])
			}
		}
	}
	return uids
}
