package store

import (
	"context"
	"fmt"

	"plic/internal/store/engine"
)

// Prefixes reads the prefixes of messages that will be opened one after the
// other, for OpenAfter, in less time than one by one. Those that are gone or
// damaged are left out.
func (m *Mailbox) Prefixes(ctx context.Context, uids []UID) (map[UID][]byte, error) {
	st := m.visible.Load()
	if st.gone {
		return nil, m.errGone()
	}
	out := make(map[UID][]byte, len(uids))
	for d, err := range m.rawDetails(ctx, st, rising(uids)) {
		if err != nil {
			return out, fmt.Errorf("read prefixes in %s: %w", st.rec.Name, err)
		}
		out[d.UID] = d.Prefix
	}
	return out, nil
}

// OpenAfter is Open of a message whose prefix is known: it never changes.
func (m *Mailbox) OpenAfter(ctx context.Context, e Entry, prefix []byte) (*Message, error) {
	snap, err := m.Snapshot(ctx)
	if err != nil {
		return nil, err
	}
	if _, ok := snap.Get(e.UID); !ok {
		return nil, fmt.Errorf("open UID %d of %s: %w", e.UID, m.Name(), engine.ErrNotFound)
	}
	s := m.account.store
	body, err := s.OpenBody(ctx, e.Body)
	if err != nil {
		return nil, fmt.Errorf("open UID %d of %s: %w", e.UID, m.Name(), err)
	}
	return &Message{s: s, id: e.Body, prefix: prefix, body: body}, nil
}
