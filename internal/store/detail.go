package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"

	"plic/internal/store/engine"
)

// Details gives what is known of messages without their bodies, by rising UID;
// those that are not there are left out. A summary that is still to be made is made
// now, and kept; one that is lost or damaged is made anew from the body. Only if
// that fails, its message comes with the error, and the rest goes on. The octets of
// a Detail hold until the next.
func (m *Mailbox) Details(ctx context.Context, uids []UID) iter.Seq2[Detail, error] {
	return func(yield func(Detail, error) bool) {
		st := m.visible.Load()
		if st.gone {
			yield(Detail{}, m.errGone())
			return
		}
		give := func(d Detail, err error) bool {
			if err != nil {
				err = fmt.Errorf("details in %s: %w", st.rec.Name, err)
			}
			return yield(d, err)
		}
		for rest := rising(uids); len(rest) > 0; {
			next := m.known(ctx, st, rest, give)
			if next == 0 {
				return
			}
			i, _ := slices.BinarySearch(rest, next)
			rest = rest[i:]
			n := m.lacking(ctx, rest[:min(len(rest), pendingMany)], give)
			if n == 0 {
				return
			}
			rest = rest[n:]
		}
	}
}

// known gives the details of messages before the first whose summary is still to
// be made, and its UID; 0 if there is none, or no more is wanted.
func (m *Mailbox) known(ctx context.Context, st *state, uids []UID, give func(Detail, error) bool) UID {
	for raw, err := range m.rawDetails(ctx, st, uids) {
		d := Detail{UID: raw.UID}
		if err == nil {
			d, err = readSummary(raw.UID, raw.Detail)
		}
		switch {
		case errors.Is(err, errPending):
			return raw.UID
		case errors.Is(err, engine.ErrDamaged):
			d, err = m.remake(ctx, raw, err)
		}
		if !give(d, err) {
			return 0
		}
	}
	return 0
}

// lacking gives the details of messages of which some have no summary yet. It says
// how many of the UIDs it has come to, 0 if no more is wanted.
func (m *Mailbox) lacking(ctx context.Context, uids []UID, give func(Detail, error) bool) int {
	keep := arena{of: &m.account.store.pieces}
	defer keep.free()
	raws, n, err := m.details(ctx, uids, &keep)
	var failed map[UID]error
	if err == nil {
		failed, err = m.analyse(ctx, raws)
	}
	if err != nil {
		give(Detail{}, err)
		return 0
	}
	for _, raw := range raws {
		d, err := readSummary(raw.UID, raw.Detail)
		switch {
		case errors.Is(err, errPending):
			if err = failed[raw.UID]; err == nil { // as much as was made is enough for once
				n, _ = slices.BinarySearch(uids, raw.UID)
				return n
			}
		case errors.Is(err, engine.ErrDamaged):
			d, err = m.remake(ctx, raw, err)
		}
		if !give(d, err) {
			return 0
		}
	}
	return n
}

// rawDetails gives the engine's details by rising UID. An engine leaves damaged
// ones out; the messages are there all the same, and come without prefix and
// summary. Their octets hold until the next.
func (m *Mailbox) rawDetails(ctx context.Context, st *state, uids []UID) iter.Seq2[engine.Detailed, error] {
	return func(yield func(engine.Detailed, error) bool) {
		rest := rising(uids)
		var snap *Snapshot
		lost := func(before UID) bool { // gives those that were left out
			for ; len(rest) > 0 && rest[0] < before; rest = rest[1:] {
				if snap == nil {
					var err error
					if snap, err = m.Snapshot(ctx); err != nil {
						yield(engine.Detailed{}, err)
						return false
					}
				}
				if _, there := snap.Get(rest[0]); there && !yield(engine.Detailed{UID: rest[0]}, nil) {
					return false
				}
			}
			return true
		}
		for raw, err := range m.account.store.engine.Details(ctx, m.account.id, st.rec.ID, rest) {
			if errors.Is(err, engine.ErrDamaged) {
				continue
			}
			if err != nil {
				yield(engine.Detailed{}, err)
				return
			}
			if !lost(raw.UID) || !yield(raw, nil) {
				return
			}
			rest = rest[1:]
		}
		lost(math.MaxUint32)
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
	if !m.leaving(raw.UID) && !engine.Elsewhere(e.Body) { // of one in files all is in its file
		m.account.store.o.Log.Warn("summary made anew", "account", m.account.name, "mailbox", m.Name(), "uid", raw.UID, "error", cause)
	}
	_, msg, err := m.account.store.readBody(ctx, e.Body, raw.Prefix)
	if err != nil {
		return none, err
	}
	raw.Summary = summarize(msg, foreword(raw.Prefix))
	if engine.Elsewhere(e.Body) {
		_ = m.keep([]engine.Detailed{raw}, 0) // else it is made again
	}
	return readSummary(raw.UID, raw.Detail)
}

// leaving says that a message is on its way out, by a commit that is not durable
// yet: it is shown, but its records are gone already, which is no damage.
func (m *Mailbox) leaving(uid UID) bool {
	m.account.mu.Lock()
	defer m.account.mu.Unlock()
	snap := m.head.snap
	if m.head.gone || m.account.gone {
		return true
	}
	if snap == nil || !snap.whole() {
		return false
	}
	_, there := snap.Get(uid)
	return !there
}
