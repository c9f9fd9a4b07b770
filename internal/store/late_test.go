package store_test

import (
	"strings"
	"testing"
	"time"

	"plic/internal/store"
	"plic/internal/store/memory"
)

// TestLateEntries: a mailbox is opened without the rest of its entries, and who
// holds a snapshot of it finds them all the same: after messages came and went,
// and when the index was dropped and read again meanwhile.
func TestLateEntries(t *testing.T) {
	t.Parallel()
	for _, dropped := range []bool{false, true} {
		e := memory.New(time.Now)
		w := &world{t, e, store.New(store.Options{Engine: e})}
		m := w.mailbox("ann", "INBOX")
		const messages = 1100
		sizes := map[store.UID]int64{}
		for i := range messages {
			d := w.draft("Subject: x\r\n\r\n" + strings.Repeat("x", i%50))
			sizes[store.UID(i+1)] = d.Size()
			_, err := m.Append(t.Context(), store.Incoming{Draft: d})
			w.ok(err)
		}
		w.s = store.New(store.Options{Engine: e, IndexBytes: 1})
		m = w.mailbox("ann", "INBOX")
		old, err := m.Snapshot(t.Context())
		w.ok(err)
		if dropped { // by another that needs the room
			_, err := w.mailbox("ann", "Sent").Snapshot(t.Context())
			w.ok(err)
		}
		w.append(m)
		gone, err := m.Expunge(t.Context(), []store.UID{3, 700, messages + 1}, false)
		w.ok(err)
		w.want("gone", len(gone), 3)
		now, err := m.Snapshot(t.Context())
		w.ok(err)
		w.want("before", old.Len(), messages)
		w.want("after", now.Len(), messages-2)
		for _, snap := range []*store.Snapshot{old, now} {
			for _, got := range snap.All() {
				if got.Size != sizes[got.UID] || got.Body.IsZero() {
					t.Fatalf("%+v, want %d octets", got, sizes[got.UID])
				}
			}
		}
	}
}
