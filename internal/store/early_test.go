package store

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

// TestEarly writes drafts that are analysed early, while some of them are taken
// and some discarded: what is taken is as if nothing had been early.
func TestEarly(t *testing.T) {
	t.Parallel()
	s := testStore(t, Options{})
	m := testMailbox(t, s, "alice", "INBOX")
	const writers, each = 8, 40
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			var in []Incoming
			for n := range each {
				d, err := s.NewDraft(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				defer d.Discard()
				fmt.Fprintf(d, "Subject: %d of %d\r\n\r\n", n, w)
				io.WriteString(d, strings.Repeat("All work and no play.\r\n", 100))
				d.Written()
				switch n % 3 {
				case 0:
					d.Discard()
				default:
					in = append(in, Incoming{Draft: d})
				}
			}
			if _, err := m.Append(t.Context(), in...); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	snap := testSnapshot(t, m)
	want := 0
	for n := range each {
		if n%3 != 0 {
			want += writers
		}
	}
	if snap.Len() != want {
		t.Errorf("%d messages, want %d", snap.Len(), want)
	}
	var uids []UID
	for _, e := range snap.All() {
		uids = append(uids, e.UID)
	}
	for d, err := range m.Details(t.Context(), uids) {
		if err != nil || !strings.Contains(string(d.AppendEnvelope(nil)), " of ") || !strings.HasPrefix(d.Preview(), "All work") {
			t.Errorf("UID %d: envelope %s, preview %q, %v", d.UID, d.AppendEnvelope(nil), d.Preview(), err)
		}
	}
}
