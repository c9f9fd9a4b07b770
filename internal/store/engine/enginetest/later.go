package enginetest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"plic/internal/store/engine"
)

// details makes up details that some messages get later.
func (a *author) details(uids, gone []engine.UID) (out []engine.Detailed) {
	for _, uid := range uids {
		if slices.Contains(gone, uid) || a.later.IntN(8) > 0 {
			continue
		}
		out = append(out, engine.Detailed{UID: uid, Detail: engine.Detail{
			Prefix:  bytes.Repeat([]byte("p"), a.later.IntN(3)),
			Summary: fmt.Append(nil, strings.Repeat("later ", a.later.IntN(20)), a.later.Uint32()),
		}})
	}
	return out
}

// testLaterDetails: messages get other details, alone or beside all else that a
// batch does, and keep what else they have; those that go have none.
func testLaterDetails(b *bench) {
	const many = 1300 // in several pages
	b.user(1, "a", many)
	b.tend()
	_, boxes, err := b.e.Account(b.Context(), "a")
	if err != nil {
		b.Fatal(err)
	}
	before := all(b.T, b.e.Entries(b.Context(), 1, 1, 0))
	m := engine.MailboxChange{Account: 1, Record: boxes[0]}
	for uid := engine.UID(2); uid <= many; uid += 2 {
		m.Details = append(m.Details, engine.Detailed{UID: uid, Detail: engine.Detail{Summary: fmt.Append(nil, "later ", uid)}})
	}
	b.apply(&engine.Batch{Mailboxes: []engine.MailboxChange{m}})
	look := func(gone ...engine.UID) {
		b.Helper()
		n := 0
		for d, err := range b.e.Details(b.Context(), 1, 1, uids(before, entryUID)) {
			n++
			if err != nil {
				b.Fatal(err)
			}
			prefix, summary := fmt.Sprintf("X: %d\r\n", d.UID), string([]byte{byte(d.UID), 0})
			if d.UID%2 == 0 {
				prefix, summary = "", fmt.Sprint("later ", d.UID)
			}
			if string(d.Prefix) != prefix || string(d.Summary) != summary || slices.Contains(gone, d.UID) {
				b.Fatalf("UID %d: prefix %q, summary %q", d.UID, d.Prefix, d.Summary)
			}
		}
		b.wants("details", n, many-len(gone))
	}
	look()
	b.wants("entries", all(b.T, b.e.Entries(b.Context(), 1, 1, 0)), before)
	b.reopen()
	b.tend()
	look()

	// Beside an expunge and new flags of the same messages.
	m = engine.MailboxChange{Account: 1, Record: boxes[0], Expunge: []engine.UID{3, 4}, ExpungedAt: many + 1}
	m.Record.HighestModSeq, m.Record.Messages = many+1, many-2
	flagged := before[5]
	flagged.Flags, flagged.ModSeq = 9, many+1
	m.Update = []engine.Entry{flagged}
	m.Details = []engine.Detailed{{UID: 6, Detail: engine.Detail{Summary: []byte("later 6")}}}
	b.apply(&engine.Batch{Mailboxes: []engine.MailboxChange{m}})
	look(3, 4)
	b.reopen()
	look(3, 4)
	b.wants("flags", all(b.T, b.e.Entries(b.Context(), 1, 1, 6))[0], flagged)
	b.sound()
}
