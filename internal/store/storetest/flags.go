package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"plic/internal/store"
)

// flagNames writes flags as IMAP does, keywords sorted.
func flagNames(f store.Flags) string {
	var out []string
	for i, name := range []string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`} {
		if f.System&(store.Seen<<i) != 0 {
			out = append(out, name)
		}
	}
	keywords := slices.Sorted(slices.Values(f.Keywords))
	return strings.Join(append(out, keywords...), " ")
}

func (s *site) flags(m *store.Mailbox, uid store.UID) string {
	s.t.Helper()
	snap := s.snapshot(m)
	e, ok := snap.Get(uid)
	if !ok {
		s.t.Fatalf("UID %d is not there", uid)
	}
	return flagNames(snap.Flags(e))
}

func testFlags(t *testing.T, s *site) {
	inbox := s.mailbox("ann", "INBOX")
	uids := s.fill(inbox, 5)
	before := s.snapshot(inbox)
	set := func(uids []store.UID, op store.FlagOp, f store.Flags) []store.Entry {
		t.Helper()
		changed, modified, err := inbox.SetFlags(s.ctx, uids, op, f, store.MaxModSeq)
		s.ok(err)
		equal(t, "modified", len(modified), 0)
		return changed
	}
	changed := set([]store.UID{4, 2, 2, 99}, store.FlagsAdd, store.Flags{System: store.Seen, Keywords: []string{"Work"}})
	equal(t, "changed", len(changed), 2)
	equal(t, "UID", changed[0].UID, 2)
	equal(t, "flags", s.flags(inbox, 2), `\Seen Work`)
	equal(t, "others", s.flags(inbox, 3), "")
	now := s.snapshot(inbox)
	equal(t, "MODSEQ", changed[0].ModSeq, now.HighestModSeq())
	equal(t, "one MODSEQ for all", changed[1].ModSeq, changed[0].ModSeq)
	if now.HighestModSeq() <= before.HighestModSeq() {
		t.Error("HIGHESTMODSEQ did not rise")
	}
	equal(t, "unseen", now.Unseen(), 3)
	equal(t, "unseen before", before.Unseen(), 5)
	equal(t, "counter", inbox.Info().Unseen, 3)
	first, _ := now.FirstUnseen()
	equal(t, "first unseen", first, 0)

	equal(t, "the same again", len(set(uids[1:2], store.FlagsAdd, store.Flags{System: store.Seen, Keywords: []string{"WORK"}})), 0)
	equal(t, "no new MODSEQ", s.snapshot(inbox), now)
	equal(t, "replaced", len(set(uids, store.FlagsSet, store.Flags{System: store.Deleted})), 5)
	equal(t, "flags", s.flags(inbox, 2), `\Deleted`)
	equal(t, "deleted", inbox.Info().Deleted, 5)
	equal(t, "removed", len(set(uids[:3], store.FlagsRemove, store.Flags{System: store.Deleted, Keywords: []string{"unknown", "bad one"}})), 3)
	equal(t, "deleted", s.snapshot(inbox).Deleted(), 2)
	equal(t, "nobody", len(set([]store.UID{77}, store.FlagsAdd, store.Flags{Keywords: []string{"New"}})), 0)
	same(t, "keywords", s.snapshot(inbox).Keywords(), []string{"Work"})
	equal(t, "first snapshot", before.At(1).Flags, 0)
	_, _, err := inbox.SetFlags(s.ctx, uids, store.FlagsAdd, store.Flags{Keywords: []string{`\Seen`}}, store.MaxModSeq)
	wantErr(t, "bad keyword", err, store.ErrBadKeyword)
	s.restart()
	inbox = s.mailbox("ann", "INBOX")
	equal(t, "after a restart", s.flags(inbox, 4), `\Deleted`)
}

// testUnchangedSince is the conditional STORE of RFC 7162 section 3.1.3.
func testUnchangedSince(t *testing.T, s *site) {
	inbox := s.mailbox("ann", "INBOX")
	uids := s.fill(inbox, 4)
	since := s.snapshot(inbox).HighestModSeq()
	_, _, err := inbox.SetFlags(s.ctx, uids[1:2], store.FlagsAdd, store.Flags{System: store.Flagged}, store.MaxModSeq)
	s.ok(err)
	changed, modified, err := inbox.SetFlags(s.ctx, uids, store.FlagsAdd, store.Flags{System: store.Seen}, since)
	s.ok(err)
	equal(t, "changed", len(changed), 3)
	same(t, "modified", modified, uids[1:2])
	equal(t, "left as it was", s.flags(inbox, uids[1]), `\Flagged`)
	changed, modified, err = inbox.SetFlags(s.ctx, uids, store.FlagsAdd, store.Flags{System: store.Seen, Keywords: []string{"x"}}, 0)
	s.ok(err)
	equal(t, "changed", len(changed), 0)
	same(t, "modified", modified, uids)
	equal(t, "no keyword made", len(s.snapshot(inbox).Keywords()), 0)
}

func testKeywords(t *testing.T, s *site) {
	inbox := s.mailbox("ann", "INBOX")
	uids := s.fill(inbox, store.MaxKeywords+1)
	for i := range store.MaxKeywords {
		_, _, err := inbox.SetFlags(s.ctx, uids[i:i+1], store.FlagsAdd, store.Flags{Keywords: []string{fmt.Sprint("k", i)}}, store.MaxModSeq)
		s.ok(err)
	}
	full := s.snapshot(inbox)
	more := store.Flags{Keywords: []string{"more"}}
	_, _, err := inbox.SetFlags(s.ctx, uids[:1], store.FlagsAdd, more, store.MaxModSeq)
	wantErr(t, "one more", err, store.ErrTooManyKeywords)
	_, err = inbox.Append(s.ctx, store.Incoming{Draft: s.draft("x"), Flags: more})
	wantErr(t, "append with one more", err, store.ErrTooManyKeywords)
	equal(t, "unchanged", s.snapshot(inbox), full)
	equal(t, "the last", s.flags(inbox, uids[store.MaxKeywords-1]), fmt.Sprint("k", store.MaxKeywords-1))

	_, err = inbox.Expunge(s.ctx, uids[7:8], false) // k7 is not in use any more
	s.ok(err)
	s.restart() // the index is not in memory
	inbox = s.mailbox("ann", "INBOX")
	_, err = inbox.Append(s.ctx, store.Incoming{Draft: s.draft("x"), Flags: more})
	s.ok(err)
	equal(t, "given again", s.flags(inbox, uids[len(uids)-1]+1), "more")
	equal(t, "others", s.flags(inbox, uids[8]), "k8")
	equal(t, "old snapshots know the old name", full.Keywords()[7], "k7")

	_, err = inbox.Expunge(s.ctx, uids[10:13], false) // k10 to k12 neither
	s.ok(err)
	two := []store.Incoming{
		{Draft: s.draft("y"), Flags: store.Flags{Keywords: []string{"n1", "n2"}}},
		{Draft: s.draft("z"), Flags: store.Flags{Keywords: []string{"n3"}}},
	}
	placed, err := inbox.Append(s.ctx, two...)
	s.ok(err)
	equal(t, "two at once", s.flags(inbox, placed[0].UID), "n1 n2")
	equal(t, "and another", s.flags(inbox, placed[1].UID), "n3")

	other := s.mailbox("ann", "Archive")
	_, _, err = inbox.Copy(s.ctx, uids[20:25], other)
	s.ok(err)
	equal(t, "copied", s.flags(other, 3), "k22")
	same(t, "numbered anew", s.snapshot(other).Keywords(), []string{"k20", "k21", "k22", "k23", "k24"})
	placed, err = inbox.Append(s.ctx, store.Incoming{Draft: s.draft("x"), Flags: store.Flags{Keywords: []string{"K3", "k3"}}})
	s.ok(err)
	equal(t, "case does not matter", s.flags(inbox, placed[0].UID), "k3")
}

func testExpunge(t *testing.T, s *site) {
	inbox := s.mailbox("ann", "INBOX")
	uids := s.fill(inbox, 10)
	since := s.snapshot(inbox).HighestModSeq()
	gone, err := inbox.Expunge(s.ctx, nil, true)
	s.ok(err)
	equal(t, "nothing deleted", len(gone), 0)
	gone, err = inbox.Expunge(s.ctx, nil, false)
	s.ok(err)
	equal(t, "nothing asked for", len(gone), 0)
	_, _, err = inbox.SetFlags(s.ctx, uids[2:5], store.FlagsAdd, store.Flags{System: store.Deleted}, store.MaxModSeq)
	s.ok(err)
	gone, err = inbox.Expunge(s.ctx, []store.UID{9, 4, 99, 1}, true) // UID EXPUNGE
	s.ok(err)
	same(t, "only the deleted", gone, []store.UID{4})
	gone, err = inbox.Expunge(s.ctx, nil, true)
	s.ok(err)
	same(t, "all deleted", gone, []store.UID{3, 5})
	gone, err = inbox.Expunge(s.ctx, []store.UID{10, 10, 1}, false)
	s.ok(err)
	same(t, "any", gone, []store.UID{1, 10})
	same(t, "left", s.uids(inbox), []store.UID{2, 6, 7, 8, 9})
	equal(t, "messages", inbox.Info().Messages, 5)
	equal(t, "deleted", inbox.Info().Deleted, 0)
	equal(t, "UIDNEXT", inbox.Info().UIDNext, 11)
	for range 2 {
		var log []store.UID
		last := since
		for x, err := range inbox.Expunged(s.ctx, since) {
			s.ok(err)
			if x.ModSeq < last {
				t.Fatal("the MODSEQ of expunged messages falls")
			}
			last = x.ModSeq
			log = append(log, x.UID)
		}
		same(t, "log", log, []store.UID{4, 3, 5, 1, 10})
		equal(t, "HIGHESTMODSEQ", inbox.Info().HighestModSeq, last)
		s.restart()
		inbox = s.mailbox("ann", "INBOX")
	}
	for range inbox.Expunged(s.ctx, inbox.Info().HighestModSeq) {
		t.Error("expunged after the last change")
	}
}

func testCopy(t *testing.T, s *site) {
	inbox, archive := s.mailbox("ann", "INBOX"), s.mailbox("ann", "Archive")
	_, err := inbox.Append(s.ctx, store.Incoming{
		Draft: s.draft(text("one")), Prefix: []byte("X-P: 1\r\n"), Internal: s.clock.now(),
		Flags: store.Flags{System: store.Answered, Keywords: []string{"b", "a"}},
	})
	s.ok(err)
	s.append(inbox, text("two"), text("three"))
	s.append(archive, text("old"))
	src, dst, err := inbox.Copy(s.ctx, []store.UID{3, 1, 50}, archive)
	s.ok(err)
	same(t, "source", src, []store.UID{1, 3})
	v := archive.Info().UIDValidity
	same(t, "copies", dst, []store.Placed{{Mailbox: "Archive", UIDValidity: v, UID: 2}, {Mailbox: "Archive", UIDValidity: v, UID: 3}})
	equal(t, "text", s.read(archive, 2), "X-P: 1\r\n"+text("one"))
	equal(t, "flags", s.flags(archive, 2), `\Answered a b`)
	equal(t, "date", s.entry(archive, 2).Internal, s.entry(inbox, 1).Internal)
	s.oneBody(s.entry(archive, 2).Body, s.entry(inbox, 1).Body)
	if s.entry(archive, 2).Saved <= s.entry(inbox, 1).Saved {
		t.Error("a copy was saved before its original")
	}
	_, dst, err = inbox.Copy(s.ctx, []store.UID{1}, inbox)
	s.ok(err)
	equal(t, "within a mailbox", dst[0].UID, 4)
	equal(t, "text", s.read(inbox, 4), "X-P: 1\r\n"+text("one"))
	other := s.mailbox("bob", "INBOX")
	_, _, err = inbox.Copy(s.ctx, []store.UID{2}, other)
	s.ok(err)
	equal(t, "to another account", s.read(other, 1), text("two"))
	src, dst, err = inbox.Copy(s.ctx, []store.UID{77}, archive)
	s.ok(err)
	equal(t, "of nothing", len(src)+len(dst), 0)
	s.ok(s.account("ann").Delete(s.ctx, "Archive"))
	_, _, err = inbox.Copy(s.ctx, []store.UID{1}, archive)
	wantErr(t, "to a mailbox that is gone", err, store.ErrGone)
	for d, err := range other.Details(s.ctx, []store.UID{1}) {
		s.ok(err)
		if !strings.Contains(string(d.AppendEnvelope(nil)), `"two"`) {
			t.Errorf("envelope %s", d.AppendEnvelope(nil))
		}
	}
}

func testMove(t *testing.T, s *site) {
	inbox, trash := s.mailbox("ann", "INBOX"), s.mailbox("ann", "Trash")
	uids := s.append(inbox, text("one"), text("two"), text("three"))
	src, dst, err := inbox.Move(s.ctx, []store.UID{1, 3, 9}, trash)
	s.ok(err)
	same(t, "source", src, []store.UID{1, 3})
	equal(t, "copies", len(dst), 2)
	same(t, "left", s.uids(inbox), uids[1:2])
	equal(t, "text", s.read(trash, dst[1].UID), text("three"))
	equal(t, "messages", trash.Info().Messages, 2)
	var log []store.UID
	for x, err := range inbox.Expunged(s.ctx, 0) {
		s.ok(err)
		log = append(log, x.UID)
	}
	same(t, "expunged", log, []store.UID{1, 3})
	_, dst, err = inbox.Move(s.ctx, []store.UID{2}, inbox) // RFC 6851: a new UID
	s.ok(err)
	same(t, "within a mailbox", s.uids(inbox), []store.UID{dst[0].UID})
	equal(t, "text", s.read(inbox, dst[0].UID), text("two"))
	s.restart()
	equal(t, "after a restart", s.read(s.mailbox("ann", "Trash"), 1), text("one"))
	same(t, "after a restart", s.uids(s.mailbox("ann", "INBOX")), []store.UID{4})
}

// testLargeCopy copies and moves more than one batch.
func testLargeCopy(t *testing.T, s *site) {
	const n = 9000
	inbox, archive := s.mailbox("ann", "INBOX"), s.mailbox("ann", "Archive")
	uids := s.fill(inbox, n)
	src, dst, err := inbox.Copy(s.ctx, uids, archive)
	s.ok(err)
	equal(t, "copied", len(src), n)
	equal(t, "copied", len(dst), n)
	equal(t, "there", s.snapshot(archive).Len(), n)
	_, _, err = archive.Move(s.ctx, s.uids(archive)[1:], inbox)
	s.ok(err)
	equal(t, "left", archive.Info().Messages, 1)
	equal(t, "there", s.snapshot(inbox).Len(), 2*n-1)
	moved := s.uids(inbox)[n:]
	for i := 0; i < len(moved); i += 97 {
		equal(t, "text", s.read(inbox, moved[i]), fmt.Sprintf("X-Number: %d\r\n%s", i+1, text("filler")))
	}
}

// testHeavyCopy copies messages whose details are too much for one batch.
func testHeavyCopy(t *testing.T, s *site) {
	inbox, archive := s.mailbox("ann", "INBOX"), s.mailbox("ann", "Archive")
	d := s.draft(text("filler"))
	in := make([]store.Incoming, 700)
	for i := range in {
		in[i] = store.Incoming{Draft: d, Prefix: fmt.Appendf(nil, "X-Number: %d\r\n%s", i, strings.Repeat("X-Filler: "+strings.Repeat("x", 58)+"\r\n", 1000))}
	}
	_, err := inbox.Append(s.ctx, in...)
	s.ok(err)
	src, dst, err := inbox.Copy(s.ctx, s.uids(inbox), archive)
	s.ok(err)
	same(t, "copied", src, s.uids(inbox))
	equal(t, "copied", len(dst), len(in))
	for i, uid := range s.uids(archive) {
		if text, want := s.read(archive, uid), fmt.Sprintf("X-Number: %d\r\n", i); !strings.HasPrefix(text, want) {
			t.Fatalf("message %d begins with %.30q", i, text)
		}
	}
}

// testRecent: no two sessions get a message as \Recent, RFC 3501 section 2.3.2.
func testRecent(t *testing.T, s *site) {
	inbox := s.mailbox("ann", "INBOX")
	take := func() store.UID {
		t.Helper()
		from, err := inbox.TakeRecent(s.ctx)
		s.ok(err)
		return from
	}
	equal(t, "empty", take(), 1)
	s.fill(inbox, 3)
	equal(t, "first", take(), 1)
	equal(t, "second", take(), 4)
	s.fill(inbox, 1)
	equal(t, "third", take(), 4)
	s.restart()
	inbox = s.mailbox("ann", "INBOX")
	equal(t, "after a restart", take(), 5)
	s.fill(inbox, 4)
	from, err := inbox.ClaimRecent(s.ctx, 7)
	s.ok(err)
	equal(t, "some", from, 5)
	equal(t, "the others", take(), 7)
	from, err = inbox.ClaimRecent(s.ctx, 99)
	s.ok(err)
	equal(t, "none is claimed before it is there", from, 9)
	s.fill(inbox, 1)
	equal(t, "then", take(), 9)
}

func testWatch(t *testing.T, s *site) {
	a := s.account("ann")
	inbox := s.mailbox("ann", "INBOX")
	box, stopBox := inbox.Watch()
	all, stopAll := a.Watch()
	check := func(what string, wantBox, wantAll bool) {
		t.Helper()
		for _, w := range []struct {
			c    <-chan struct{}
			want bool
		}{{box, wantBox}, {all, wantAll}} {
			select {
			case <-w.c:
				equal(t, what, true, w.want)
			default:
				equal(t, what, false, w.want)
			}
		}
	}
	check("nothing yet", false, false)
	s.append(inbox, text("one"))
	s.append(inbox, text("two"))
	check("two are one notice", true, true)
	check("taken", false, false)
	s.append(s.mailbox("ann", "Trash"), text("x"))
	check("another mailbox", false, true)
	s.ok(a.Create(s.ctx, "News", ""))
	check("a new mailbox", false, true)
	_, _, err := inbox.SetFlags(s.ctx, []store.UID{1}, store.FlagsAdd, store.Flags{System: store.Seen}, store.MaxModSeq)
	s.ok(err)
	check("flags", true, true)
	_, _, err = inbox.SetFlags(s.ctx, []store.UID{1}, store.FlagsAdd, store.Flags{System: store.Seen}, store.MaxModSeq)
	s.ok(err)
	check("no change", false, false)
	stopBox()
	stopBox()
	stopAll()
	s.append(inbox, text("three"))
	check("stopped", false, false)
}

// testReopen compares everything before and after a restart.
func testReopen(t *testing.T, s *site) {
	inbox := s.mailbox("ann", "INBOX")
	uids := s.fill(inbox, 1500)
	_, _, err := inbox.SetFlags(s.ctx, uids[100:900], store.FlagsAdd, store.Flags{System: store.Seen, Keywords: []string{"k"}}, store.MaxModSeq)
	s.ok(err)
	_, err = inbox.Expunge(s.ctx, uids[300:1100], false)
	s.ok(err)
	s.append(inbox, mixed)
	before := s.dump()
	s.restart()
	equal(t, "after a restart", s.dump(), before)
}
