package embedded

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/store/engine"
)

// TestConvert opens a store of format 1, which kept each entry by itself.
func TestConvert(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.fill(1500, 40)
	apply(t, r.e, &engine.Batch{Accounts: []engine.Account{{ID: 9, Name: "empty"}}})
	index := func() (all []engine.Entry) {
		for entry, err := range r.e.Entries(t.Context(), 1, 1, 0) {
			r.must(err)
			all = append(all, entry)
		}
		return all
	}
	want := index()
	b := r.e.db.NewBatch()
	for _, entry := range want {
		key := messageKey(1, partEntry, 1, entry.UID)
		b.Set(key, encodeEntry(nil, key, &entry), nil)
	}
	for _, part := range []byte{partLog, partPage} {
		all := mailboxKey(1, part, 1)
		b.DeleteRange(all, after(all), nil)
	}
	b.Set([]byte{kindFormat}, encodeNumber([]byte{kindFormat}, 1), nil)
	r.must(b.Commit(pebble.NoSync))
	for range 2 {
		r.close()
		r.open()
		if got := index(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%d entries, want %d", len(got), len(want))
		}
		r.sound()
	}
}

// TestFold makes and changes an index of many pages, folds now and then, and
// compares it with what it should be.
func TestFold(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const messages = 4000
	fillMailbox(t, r.e, messages)
	want := map[engine.UID]engine.Flags{}
	for uid := engine.UID(1); uid <= messages; uid++ {
		want[uid] = 0
	}
	for round := range engine.UID(20) {
		c := engine.MailboxChange{Account: 1, Record: engine.Mailbox{ID: 1, Name: "INBOX"}, ExpungedAt: engine.ModSeq(10_000 + round)}
		entries := map[engine.UID]engine.Entry{}
		for entry, err := range r.e.Entries(t.Context(), 1, 1, 0) {
			r.must(err)
			entries[entry.UID] = entry
			if flags, ok := want[entry.UID]; !ok || flags != entry.Flags {
				t.Fatalf("round %d: uid %d has flags %d, want %d, %v", round, entry.UID, entry.Flags, flags, ok)
			}
		}
		if len(entries) != len(want) {
			t.Fatalf("round %d: %d entries, want %d", round, len(entries), len(want))
		}
		for uid := engine.UID(1); uid <= messages; uid++ {
			entry, ok := entries[uid]
			switch {
			case !ok:
			case round%3 == 0 && uid/600 == round/3: // whole pages and more
				c.Expunge = append(c.Expunge, uid)
				delete(want, uid)
			case uid%97 == round:
				c.Expunge = append(c.Expunge, uid)
				delete(want, uid)
			case uid%13 == round%13:
				entry.Flags, entry.ModSeq = engine.Flags(round), c.ExpungedAt
				c.Update = append(c.Update, entry)
				want[uid] = entry.Flags
			}
		}
		apply(t, r.e, &engine.Batch{Mailboxes: []engine.MailboxChange{c}})
		if round%4 == 3 {
			r.e.folds.want(mailboxRef{1, 1})
		}
		r.must(r.e.Fold(t.Context()))
	}
	r.sound()
}
