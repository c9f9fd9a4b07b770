package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"plic/internal/store"
	"plic/internal/store/engine"
)

// testOpenAll opens many messages by one call: small and large ones, with and
// without a prefix, and such as are gone.
func testOpenAll(t *testing.T, s *site) {
	inbox := s.mailbox("ann", "INBOX")
	const n = 150
	want := make([]string, n)
	for i := range want {
		body, prefix := text(fmt.Sprint("number", i)), ""
		if i%50 == 20 {
			body += strings.Repeat("a line of many\r\n", 10_000)
		}
		if i%3 == 0 {
			prefix = fmt.Sprintf("X-Prefix: %d\r\n", i)
		}
		_, err := inbox.Append(s.ctx, store.Incoming{Draft: s.draft(body), Prefix: []byte(prefix)})
		s.ok(err)
		want[i] = prefix + body
	}
	entries := make([]store.Entry, 0, n)
	for _, e := range s.snapshot(inbox).All() {
		entries = append(entries, e)
	}
	gone := []store.UID{1, 2, 70, n}
	_, err := inbox.Expunge(s.ctx, gone, false)
	s.ok(err)
	i := 0
	for msg, err := range inbox.OpenAll(s.ctx, entries) {
		switch uid := entries[i].UID; {
		case slices.Contains(gone, uid):
			if !errors.Is(err, engine.ErrNotFound) {
				t.Errorf("UID %d, which went: %v", uid, err)
			}
		case err != nil:
			t.Fatal(err)
		default:
			equal(t, fmt.Sprint("UID ", uid), s.body(msg), want[i])
			s.ok(msg.Close())
		}
		i++
	}
	equal(t, "messages", i, n)
	for msg := range inbox.OpenAll(s.ctx, entries[2:]) {
		s.ok(msg.Close())
		break // stops without trouble
	}

	var f store.Following
	f.Fill(s.ctx, inbox, slices.Values(entries[2:]))
	for _, e := range entries[2:6] {
		msg := f.Take(e.UID)
		if msg == nil {
			t.Fatalf("UID %d is not open", e.UID)
		}
		equal(t, "in turn", s.body(msg), want[e.UID-1])
		s.ok(msg.Close())
	}
	if f.Take(entries[8].UID) != nil || !f.Empty() {
		t.Error("something is open after another message was asked for")
	}
	f.Fill(s.ctx, inbox, slices.Values(entries[20:])) // the first is large
	equal(t, "nothing open", f.Empty(), true)
}
