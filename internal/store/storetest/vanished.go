package storetest

import (
	"testing"

	"plic/internal/imap"
	"plic/internal/store"
)

// testVanished: what went is told of, however long ago, and what is remembered
// of it stays bounded, RFC 7162 section 3.2.10.
func testVanished(t *testing.T, s *site) {
	const keep = 5
	s.o.KeepExpunged = keep
	s.restart()
	inbox := s.mailbox("ann", "INBOX")
	uids := s.fill(inbox, 60)
	type moment struct {
		modSeq store.ModSeq
		there  []store.UID
	}
	var moments []moment
	forgot, exact := 0, 0
	check := func() {
		t.Helper()
		snap := s.snapshot(inbox)
		n := 0
		for _, err := range inbox.Expunged(s.ctx, 0) {
			s.ok(err)
			n++
		}
		if n > 2*keep {
			t.Fatalf("%d expunged messages are remembered", n)
		}
		for _, m := range moments {
			ranges, all, err := inbox.Vanished(s.ctx, snap, m.modSeq)
			s.ok(err)
			if all {
				forgot++
			} else {
				exact++
			}
			var told []imap.Range
			for r := range ranges {
				if k := len(told); r.Lo > r.Hi || k > 0 && r.Lo <= told[k-1].Hi+1 {
					t.Fatalf("ranges %v do not rise at %v", told, r)
				}
				told = append(told, r)
			}
			for _, uid := range m.there {
				if _, there := snap.Get(uid); there == imap.Contains(told, uint32(uid)) {
					t.Fatalf("UID %d, there %v, since %d: told %v", uid, there, m.modSeq, told)
				}
			}
		}
	}
	for step := 0; len(uids) > 0; step++ {
		moments = append(moments, moment{s.snapshot(inbox).HighestModSeq(), s.uids(inbox)})
		n := min(1+step%4, len(uids))
		if step == 9 {
			n = min(3*keep, len(uids)) // more at a time than is kept
		}
		var gone []store.UID
		for range n {
			i := (step * 7) % len(uids)
			gone = append(gone, uids[i])
			uids = append(uids[:i:i], uids[i+1:]...)
		}
		if step%2 == 0 {
			_, err := inbox.Expunge(s.ctx, gone, false)
			s.ok(err)
		} else {
			_, _, err := inbox.Move(s.ctx, gone, s.mailbox("ann", "Trash"))
			s.ok(err)
		}
		check()
		if step%5 == 0 {
			s.restart()
			inbox = s.mailbox("ann", "INBOX")
			check()
		}
	}
	if forgot == 0 || exact == 0 {
		t.Errorf("forgotten %d times, exact %d times: both should be tried", forgot, exact)
	}
}
