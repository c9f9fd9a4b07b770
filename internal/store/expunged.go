package store

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"plic/internal/imap"
	"plic/internal/store/engine"
)

// boundExpunged forgets the oldest of the messages that went if they have become
// too many. Who asks for more than is kept is told of every UID that is not
// there, which is as true, RFC 7162 section 5. The account is locked.
func (e *edit) boundExpunged() {
	m, rec, keep := e.m, &e.next.rec, e.m.account.store.o.KeepExpunged
	if rec.ExpungedCount += uint32(len(e.change.Expunge)); int(rec.ExpungedCount) <= 2*keep || e.next.gone {
		return
	}
	var log []ModSeq
	for x, err := range m.account.store.engine.Expunged(context.Background(), m.account.id, rec.ID, 0) {
		if err != nil {
			m.account.store.o.Log.Warn("what was expunged cannot be read", "account", m.account.name, "mailbox", rec.Name, "error", err)
			return
		}
		log = append(log, x.ModSeq)
	}
	for range e.change.Expunge {
		log = append(log, e.change.ExpungedAt)
	}
	if len(log) > keep {
		upTo := log[len(log)-keep-1]
		log = slices.DeleteFunc(log, func(q ModSeq) bool { return q <= upTo })
		e.change.Unlearn, rec.ExpungedSince = upTo, upTo
	}
	rec.ExpungedCount = uint32(len(log))
}

// Expunged gives the UIDs expunged after a MODSEQ, by rising MODSEQ, as far as
// they are remembered.
func (m *Mailbox) Expunged(ctx context.Context, since ModSeq) iter.Seq2[engine.Expunged, error] {
	return func(yield func(engine.Expunged, error) bool) {
		st := m.visible.Load()
		if st.gone {
			yield(engine.Expunged{}, m.errGone())
			return
		}
		for x, err := range m.account.store.engine.Expunged(ctx, m.account.id, st.rec.ID, since) {
			if err == nil && x.ModSeq > st.rec.HighestModSeq {
				return // applied, but not durable yet
			}
			if !yield(x, err) {
				return
			}
		}
	}
}

// Vanished gives UIDs that are not in a snapshot of the mailbox, as ranges that
// rise: those of the messages expunged after a MODSEQ, and perhaps others that
// went before. That is what VANISHED (EARLIER) of RFC 7162 section 3.2.10 tells.
// all says that it was all that went ever.
func (m *Mailbox) Vanished(ctx context.Context, snap *Snapshot, since ModSeq) (ranges iter.Seq[imap.Range], all bool, err error) {
	if since >= snap.modSeq {
		return slices.Values[[]imap.Range](nil), false, nil
	}
	if m.visible.Load().rec.ExpungedSince > since {
		return snap.missing(), true, nil
	}
	var uids []UID
	for x, err := range m.Expunged(ctx, since) {
		if err != nil {
			return nil, false, fmt.Errorf("expunged from %s: %w", m.Name(), err)
		}
		if x.ModSeq <= snap.modSeq {
			uids = append(uids, x.UID)
		}
	}
	m.account.mu.Lock()
	forgotten := m.head.rec.ExpungedSince > since // while it was read
	m.account.mu.Unlock()
	if forgotten {
		return snap.missing(), true, nil
	}
	slices.Sort(uids)
	var out []imap.Range
	for _, uid := range uids {
		out = imap.AddNumber(out, uint32(uid))
	}
	return slices.Values(out), false, nil
}

// missing gives the UIDs that were given to messages that are not there.
func (s *Snapshot) missing() iter.Seq[imap.Range] {
	return func(yield func(imap.Range) bool) {
		next := UID(1)
		chunks, _ := s.list()
		for _, c := range chunks {
			for _, uid := range c.uids {
				if uid > next && !yield(imap.Range{Lo: uint32(next), Hi: uint32(uid - 1)}) {
					return
				}
				next = uid + 1
			}
		}
		if next < s.uidNext {
			yield(imap.Range{Lo: uint32(next), Hi: uint32(s.uidNext - 1)})
		}
	}
}
