package store

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"

	"plic/internal/mail"
)

// openMany is how many messages are looked up together.
const openMany = 64

// OpenAll opens messages, by rising UID, one after the other: each as Open does,
// in less time. Who takes a message closes it.
func (m *Mailbox) OpenAll(ctx context.Context, entries []Entry) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		for some := range slices.Chunk(entries, openMany) {
			if !m.openSome(ctx, some, yield) {
				return
			}
		}
	}
}

// openSome opens messages that are looked up together. What cannot be found so is
// opened by itself, which says what is wrong with it.
func (m *Mailbox) openSome(ctx context.Context, entries []Entry, yield func(*Message, error) bool) bool {
	prefixes := m.prefixes(ctx, entries)
	ids := make([]mail.ID, 0, len(entries))
	for i := range entries {
		if _, known := prefixes[entries[i].UID]; known {
			ids = append(ids, entries[i].Body)
		}
	}
	singly := func() bool { // those before the next that was found
		for len(entries) > 0 {
			if _, known := prefixes[entries[0].UID]; known {
				break
			}
			e := entries[0]
			entries = entries[1:]
			if !yield(m.Open(ctx, e)) {
				return false
			}
		}
		return true
	}
	s := m.account.store
	for body, err := range s.engine.OpenBodies(ctx, ids) {
		if !singly() {
			if body != nil {
				body.Close()
			}
			return false
		}
		e := entries[0]
		entries = entries[1:]
		if err != nil {
			if !yield(nil, fmt.Errorf("open UID %d of %s: %w", e.UID, m.Name(), err)) {
				return false
			}
		} else if !yield(&Message{s: s, id: e.Body, prefix: prefixes[e.UID], body: body}, nil) {
			return false
		}
	}
	return singly()
}

// prefixes reads those of messages that are there.
func (m *Mailbox) prefixes(ctx context.Context, entries []Entry) map[UID][]byte {
	st := m.visible.Load()
	if st.gone {
		return nil
	}
	uids := make([]UID, len(entries))
	for i := range entries {
		uids[i] = entries[i].UID
	}
	out := make(map[UID][]byte, len(uids))
	for d, err := range m.rawDetails(ctx, st, uids) {
		if err != nil {
			break
		}
		out[d.UID] = bytes.Clone(d.Prefix)
	}
	return out
}

// The messages that are kept open for who has not asked for them.
const (
	followMany   = 16
	followOctets = 64 << 10
)

// Following keeps messages open for a client that fetches one after the other,
// so that the next is there when it is asked for. It is for one goroutine.
type Following struct {
	open []following
}

type following struct {
	uid UID
	msg *Message
}

// Take gives a message that was opened before, if it is the next. Others that
// were are closed if it is not.
func (f *Following) Take(uid UID) *Message {
	if len(f.open) == 0 || f.open[0].uid != uid {
		f.Close()
		return nil
	}
	msg := f.open[0].msg
	f.open[0] = following{}
	f.open = f.open[1:]
	return msg
}

// Empty says that none is open.
func (f *Following) Empty() bool { return len(f.open) == 0 }

// Fill opens messages, by rising UID, as far as they are small and can be opened;
// about the others Open will tell.
func (f *Following) Fill(ctx context.Context, m *Mailbox, next iter.Seq[Entry]) {
	f.Close()
	var entries []Entry
	octets := int64(0)
	for e := range next {
		if octets += e.Size; octets > followOctets {
			break
		}
		if entries = append(entries, e); len(entries) == followMany {
			break
		}
	}
	for msg, err := range m.OpenAll(ctx, entries) {
		if err != nil {
			return
		}
		f.open = append(f.open, following{entries[len(f.open)].UID, msg})
	}
}

// Close closes what is open.
func (f *Following) Close() {
	for _, o := range f.open {
		o.msg.Close()
	}
	f.open = nil
}
