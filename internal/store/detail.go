package store

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"plic/internal/store/engine"
)

// Details gives what is known of messages without their bodies, by rising UID;
// those that are not there are left out. A summary that is damaged is made
// anew from the body; only if that fails, its message comes with the error, and
// the rest goes on.
func (m *Mailbox) Details(ctx context.Context, uids []UID) iter.Seq2[Detail, error] {
	return func(yield func(Detail, error) bool) {
		st := m.visible.Load()
		if st.gone {
			yield(Detail{}, m.errGone())
			return
		}
		for raw, err := range m.account.store.engine.Details(ctx, m.account.id, st.rec.ID, rising(uids)) {
			var d Detail
			if err == nil {
				d, err = readSummary(raw.UID, raw.Detail)
			}
			if errors.Is(err, engine.ErrDamaged) && raw.UID != 0 {
				d, err = m.remake(ctx, raw, err)
			}
			if err != nil {
				err = fmt.Errorf("details in %s: %w", st.rec.Name, err)
			}
			if !yield(d, err) {
				return
			}
		}
	}
}

// remake makes a detail from the body.
func (m *Mailbox) remake(ctx context.Context, raw engine.Detailed, cause error) (Detail, error) {
	none := Detail{UID: raw.UID}
	snap, err := m.Snapshot(ctx)
	if err != nil {
		return none, err
	}
	e, ok := snap.Get(raw.UID)
	if !ok {
		return none, cause
	}
	m.account.store.o.Log.Warn("summary made anew", "account", m.account.name, "mailbox", m.Name(), "uid", raw.UID, "error", cause)
	_, raw.Summary, err = m.account.store.summaryOf(ctx, e.Body)
	if err != nil {
		return none, err
	}
	return readSummary(raw.UID, raw.Detail)
}
