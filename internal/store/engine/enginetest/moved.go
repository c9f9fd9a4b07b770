package enginetest

import (
	"errors"
	"time"

	"plic/internal/store/engine"
)

// testMoved: messages get other bodies and keep all else; their old bodies go,
// and the new ones stay when who had them before is forgotten.
func testMoved(b *bench) {
	const many = 1300 // in several pages
	old := b.user(1, "a", many)
	next := b.user(2, "b", 1)
	b.tend()
	_, boxes, err := b.e.Account(b.Context(), "a")
	if err != nil {
		b.Fatal(err)
	}
	before := all(b.T, b.e.Entries(b.Context(), 1, 1, 0))
	far := engine.ElsewhereID(5, 77)
	m := engine.MailboxChange{Account: 1, Record: boxes[0], Moved: true}
	for i, e := range before {
		if e.Body = next; i == many-1 {
			e.Body = far
		}
		msg := engine.Message{Entry: e}
		if i == 0 {
			msg.Summary = []byte("other")
		}
		m.Add = append(m.Add, msg)
	}
	b.apply(&engine.Batch{Mailboxes: []engine.MailboxChange{m}, Forget: []engine.AccountID{2}})
	look := func() {
		b.Helper()
		now := all(b.T, b.e.Entries(b.Context(), 1, 1, 0))
		if len(now) != many {
			b.Fatalf("%d messages of %d", len(now), many)
		}
		for i, e := range now {
			want := m.Add[i].Entry
			if e != want {
				b.Fatalf("entry %+v, want %+v", e, want)
			}
		}
		for d, err := range b.e.Details(b.Context(), 1, 1, []engine.UID{1, 2, many}) {
			if err != nil {
				b.Fatal(err)
			}
			prefix, summary := "X: 2\r\n", "\x02\x00"
			switch d.UID {
			case 1:
				prefix, summary = "", "other"
			case many:
				prefix, summary = "X: 1300\r\n", "\x14\x00"
			}
			b.wants("prefix", string(d.Prefix), prefix)
			b.wants("summary", string(d.Summary), summary)
		}
		b.wants("expunged", len(all(b.T, b.e.Expunged(b.Context(), 1, 1, 0))), 0)
	}
	look()
	b.reopen()
	for range 3 {
		b.c.advance(time.Hour)
		b.tend()
		look()
	}
	if _, err := b.e.OpenBody(b.Context(), old); !errors.Is(err, engine.ErrNotFound) {
		b.Errorf("the old body: %v, want ErrNotFound", err)
	}
	if _, err := contentOf(b.Context(), b.e, next); err != nil {
		b.Error("the new body, whose first owner was forgotten:", err)
	}
	b.sound()
}
