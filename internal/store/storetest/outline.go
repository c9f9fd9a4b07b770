package storetest

import (
	"fmt"
	"testing"

	"plic/internal/store"
)

// testOutline opens a mailbox by its counters: whatever happens to it meanwhile,
// what is read of it later is as it was.
func testOutline(t *testing.T, s *site) {
	inbox := s.mailbox("ann", "INBOX")
	const n = 1500
	uids := s.fill(inbox, n)
	_, err := inbox.Expunge(s.ctx, uids[100:110], false)
	s.ok(err)
	_, _, err = inbox.SetFlags(s.ctx, uids[:100], store.FlagsAdd, store.Flags{System: store.Seen}, store.MaxModSeq)
	s.ok(err)

	acts := []struct {
		name  string
		act   func(*store.Mailbox)
		more  int
		first int // the first that is not seen
	}{
		{"nothing", func(*store.Mailbox) {}, 0, 100},
		{"claim", func(m *store.Mailbox) { _, err := m.TakeRecent(s.ctx); s.ok(err) }, 0, 100},
		{"claim and flags", func(m *store.Mailbox) {
			_, err := m.TakeRecent(s.ctx)
			s.ok(err)
			_, _, err = m.SetFlags(s.ctx, uids[:200], store.FlagsRemove, store.Flags{System: store.Seen}, store.MaxModSeq)
			s.ok(err)
		}, 0, 0},
		{"append", func(m *store.Mailbox) { s.fill(m, 3) }, 3, 0},
		{"expunge", func(m *store.Mailbox) { _, err := m.Expunge(s.ctx, uids[:50], false); s.ok(err) }, -50, 0},
		{"memory runs out", func(m *store.Mailbox) {
			s.snapshot(s.mailbox("bob", "INBOX")) // which drops the index of the other
			_, err := m.Expunge(s.ctx, uids[50:60], false)
			s.ok(err)
		}, -10, 0},
	}
	unseen := 100
	s.o.IndexBytes = 1
	for _, a := range acts {
		s.restart()
		inbox := s.mailbox("ann", "INBOX")
		info := inbox.Info()
		o, err := inbox.Outline(s.ctx)
		s.ok(err)
		equal(t, a.name+": messages", o.Len(), int(info.Messages))
		equal(t, a.name+": UIDNEXT", o.UIDNext(), info.UIDNext)
		equal(t, a.name+": MODSEQ", o.HighestModSeq(), info.HighestModSeq)
		equal(t, a.name+": beyond", o.Search(o.UIDNext()), o.Len())
		a.act(inbox)
		i, ok := o.FirstUnseen()
		equal(t, a.name+": first not seen", fmt.Sprint(i, ok), fmt.Sprint(unseen, true))
		seen := 0
		for i, e := range o.All() {
			if e.Flags&store.Seen != 0 {
				seen++
			}
			if e.Size == 0 || e.ModSeq > info.HighestModSeq || o.At(i) != e {
				t.Fatalf("%s: entry %d is %+v", a.name, i, e)
			}
		}
		equal(t, a.name+": seen", seen, unseen)
		now := s.snapshot(inbox)
		equal(t, a.name+": now", now.Len(), o.Len()+a.more)
		equal(t, a.name+": wrong", o.Wrong(), false)
		unseen = a.first
		s.recount(inbox)
	}
}
