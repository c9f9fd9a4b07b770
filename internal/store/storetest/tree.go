package storetest

import (
	"errors"
	"strings"
	"testing"

	"plic/internal/store"
)

const initial = "INBOX* Archive* Drafts* Junk* Sent* Trash*"

func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: got error %v, want %v", what, err, want)
	}
}

func testAccounts(t *testing.T, s *site) {
	a := s.account("ann@example.org")
	equal(t, "names", s.names(a), initial)
	equal(t, "opening second", s.account("ann@example.org"), a)
	for _, i := range a.Mailboxes() {
		if i.Name != "INBOX" && i.SpecialUse != `\`+i.Name {
			t.Errorf("special use of %s is %q", i.Name, i.SpecialUse)
		}
		if i.UIDNext != 1 || i.UIDValidity == 0 || i.Messages != 0 || i.HighestModSeq == 0 {
			t.Errorf("new mailbox: %+v", i)
		}
	}
	s.account("bob@example.org")
	names, err := s.Accounts(s.ctx)
	s.ok(err)
	same(t, "accounts", names, []string{"ann@example.org", "bob@example.org"})
	for _, bad := range []string{"", "a\r\nb", strings.Repeat("x", 5000)} {
		_, err := s.Store.Account(s.ctx, bad)
		wantErr(t, "bad account name", err, store.ErrNoAccount)
	}
	for _, inbox := range []string{"INBOX", "inbox", "InBox"} {
		m, err := a.Mailbox(inbox)
		s.ok(err)
		equal(t, "name of "+inbox, m.Name(), "INBOX")
	}
	_, err = a.Mailbox("nowhere")
	wantErr(t, "missing mailbox", err, store.ErrNoMailbox)
	_, err = a.Mailbox("bad//name")
	wantErr(t, "bad name", err, store.ErrBadName)
}

func testRemoveAccount(t *testing.T, s *site) {
	wantErr(t, "remove nobody", s.RemoveAccount(s.ctx, "nobody@example.org"), store.ErrNoAccount)
	a := s.account("ann@example.org")
	inbox := s.mailbox("ann@example.org", "INBOX")
	s.append(inbox, text("one"))
	before := inbox.Info().UIDValidity
	notice, stop := inbox.Watch()
	defer stop()
	s.ok(s.RemoveAccount(s.ctx, "ann@example.org"))
	<-notice
	_, err := inbox.Snapshot(s.ctx)
	wantErr(t, "snapshot", err, store.ErrGone)
	_, err = inbox.Append(s.ctx, store.Incoming{Draft: s.draft(text("two"))})
	wantErr(t, "append", err, store.ErrGone)
	wantErr(t, "create", a.Create(s.ctx, "x", ""), store.ErrGone)
	if !inbox.Gone() {
		t.Error("the mailbox is not gone")
	}
	names, err := s.Accounts(s.ctx)
	s.ok(err)
	same(t, "accounts", names, nil)

	again := s.account("ann@example.org")
	if again == a {
		t.Fatal("the removed account came back")
	}
	inbox = s.mailbox("ann@example.org", "INBOX")
	equal(t, "messages", s.snapshot(inbox).Len(), 0)
	if now := inbox.Info().UIDValidity; now <= before {
		t.Fatalf("UIDVALIDITY %d after %d", now, before)
	}
}

func testCreate(t *testing.T, s *site) {
	a := s.account("ann")
	s.ok(a.Create(s.ctx, "Lists/go/dev/", ""))
	equal(t, "parents", s.names(a), "INBOX* Archive* Drafts* Junk* Lists+ Lists/go+ Lists/go/dev Sent* Trash*")
	s.ok(a.Create(s.ctx, "inbox/Bills", ""))
	odd, longest := "Lists.x", 1000
	if err := a.Create(s.ctx, odd, ""); s.files && errors.Is(err, store.ErrBadName) { // a dot may be a format's own
		odd = "Lists-x"
		s.ok(a.Create(s.ctx, odd, ""))
	} else {
		s.ok(err)
	}
	if s.files {
		longest = 200
	}
	s.ok(a.Create(s.ctx, "Cafe\u0301", `\Important`))
	equal(t, "sorted", s.names(a), "INBOX+* INBOX/Bills Archive* Caf\u00e9 Drafts* Junk* Lists+ Lists/go+ Lists/go/dev "+odd+" Sent* Trash*")
	for _, name := range []string{"Lists/go", "INBOX", "inBox", "Caf\u00e9", "Cafe\u0301"} {
		wantErr(t, name, a.Create(s.ctx, name, ""), store.ErrExists)
	}
	wantErr(t, "second \\Sent", a.Create(s.ctx, "S", `\Sent`), store.ErrSpecialUse)
	wantErr(t, "\\All", a.Create(s.ctx, "S", `\All`), store.ErrSpecialUse)
	for _, name := range []string{"", "/", "a//b", "/a", "..", "a/../b", "~x", "a\x00b", "a*", "a%b", "\xff",
		strings.Repeat("x", 1001), strings.Repeat("x", 1<<20), strings.Repeat("a/", 32) + "a"} {
		wantErr(t, name, a.Create(s.ctx, name, ""), store.ErrBadName)
	}
	s.ok(a.Create(s.ctx, strings.Repeat("a/", 31)+"a", ""))
	s.ok(a.Create(s.ctx, strings.Repeat("x", longest), ""))
}

func testDelete(t *testing.T, s *site) {
	a := s.account("ann")
	s.ok(a.Create(s.ctx, "a/b/c", ""))
	s.append(s.mailbox("ann", "a/b"), text("x"))
	b := s.mailbox("ann", "a/b")
	s.ok(a.Delete(s.ctx, "a/b"))
	equal(t, "kept as \\NoSelect", s.names(a), "INBOX* Archive* Drafts* Junk* Sent* Trash* a+ a/b(noselect)+ a/b/c")
	if !b.Gone() {
		t.Error("the mailbox is not gone")
	}
	_, err := a.Mailbox("a/b")
	wantErr(t, "select", err, store.ErrNoSelect)
	wantErr(t, "again", a.Delete(s.ctx, "a/b"), store.ErrHasChildren)
	s.ok(a.Delete(s.ctx, "a/b/c"))
	equal(t, "gone with the last child", s.names(a), "INBOX* Archive* Drafts* Junk* Sent* Trash* a")
	wantErr(t, "missing", a.Delete(s.ctx, "a/b/c"), store.ErrNoMailbox)
	wantErr(t, "INBOX", a.Delete(s.ctx, "Inbox"), store.ErrInbox)
	s.ok(a.Create(s.ctx, "a/b", ""))
	equal(t, "made again", s.snapshot(s.mailbox("ann", "a/b")).Len(), 0)
	s.ok(a.Create(s.ctx, "a/b/c", ""))
	s.ok(a.Delete(s.ctx, "a/b"))
	s.ok(a.Create(s.ctx, "a/b", ""))
	equal(t, "made in place of \\NoSelect", s.names(a), "INBOX* Archive* Drafts* Junk* Sent* Trash* a+ a/b+ a/b/c")
	s.restart()
	equal(t, "after a restart", s.names(s.account("ann")), "INBOX* Archive* Drafts* Junk* Sent* Trash* a+ a/b+ a/b/c")
}

func testRename(t *testing.T, s *site) {
	a := s.account("ann")
	s.ok(a.Create(s.ctx, "a/b/c", ""))
	s.ok(a.Subscribe(s.ctx, "a/b", true))
	b := s.mailbox("ann", "a/b")
	uids := s.append(b, text("one"), text("two"))
	before := b.Info().UIDValidity
	s.ok(a.Rename(s.ctx, "a/b", "x/y"))
	equal(t, "names", s.names(a), "INBOX* Archive* Drafts* Junk* Sent* Trash* a x+ x/y+* x/y/c")
	equal(t, "name", b.Name(), "x/y")
	equal(t, "same mailbox", s.mailbox("ann", "x/y"), b)
	same(t, "UIDs", s.uids(b), uids)
	equal(t, "text", s.read(b, uids[1]), text("two"))
	equal(t, "UIDVALIDITY", b.Info().UIDValidity, before)
	s.ok(a.Rename(s.ctx, "x/y", "a/b"))
	s.ok(a.Rename(s.ctx, "a/b", "x/y"))
	equal(t, "UIDVALIDITY there and back", b.Info().UIDValidity, before)
	s.ok(a.Create(s.ctx, "w", ""))
	newer := s.mailbox("ann", "w").Info().UIDValidity
	s.ok(a.Delete(s.ctx, "w"))
	s.restart()
	a = s.account("ann")
	s.ok(a.Rename(s.ctx, "x/y", "w"))
	s.ok(a.Rename(s.ctx, "w", "x/y"))
	b = s.mailbox("ann", "x/y")
	if now := b.Info().UIDValidity; now <= newer {
		t.Fatalf("UIDVALIDITY %d for a name that had %d", now, newer)
	}
	wantErr(t, "to an existing name", a.Rename(s.ctx, "x", "a"), store.ErrExists)
	wantErr(t, "below itself", a.Rename(s.ctx, "x", "x/z"), store.ErrBadName)
	wantErr(t, "missing", a.Rename(s.ctx, "nowhere", "b"), store.ErrNoMailbox)
	wantErr(t, "to INBOX", a.Rename(s.ctx, "x", "inbox"), store.ErrExists)
	wantErr(t, "too long below", a.Rename(s.ctx, "x", strings.Repeat("y", 997)), store.ErrBadName)
	equal(t, "after errors", s.names(a), "INBOX* Archive* Drafts* Junk* Sent* Trash* a x+ x/y+* x/y/c")
	s.ok(a.Delete(s.ctx, "x"))
	s.ok(a.Rename(s.ctx, "x", "z")) // \NoSelect, but with children
	equal(t, "names", s.names(a), "INBOX* Archive* Drafts* Junk* Sent* Trash* a z(noselect)+ z/y+* z/y/c")
	s.ok(a.Rename(s.ctx, "z/y", "y"))
	equal(t, "parent swept", s.names(a), "INBOX* Archive* Drafts* Junk* Sent* Trash* a y+* y/c")
	s.restart()
	equal(t, "after a restart", s.names(s.account("ann")), "INBOX* Archive* Drafts* Junk* Sent* Trash* a y+* y/c")
	equal(t, "text", s.read(s.mailbox("ann", "y"), uids[1]), text("two"))
}

func testRenameInbox(t *testing.T, s *site) {
	a := s.account("ann")
	inbox := s.mailbox("ann", "INBOX")
	s.ok(a.Create(s.ctx, "INBOX/sub", ""))
	s.append(inbox, text("one"), text("two"), text("three"))
	old := s.snapshot(inbox)
	s.ok(a.Rename(s.ctx, "inbox", "Old/mail"))
	equal(t, "names", s.names(a), "INBOX+* INBOX/sub Archive* Drafts* Junk* Old+ Old/mail Sent* Trash*")
	now := s.snapshot(inbox)
	equal(t, "INBOX", now.Len(), 0)
	equal(t, "expunged", len(store.Diff(old, now).Expunged), 3)
	equal(t, "UIDVALIDITY of INBOX", now.UIDValidity(), old.UIDValidity())
	moved := s.mailbox("ann", "Old/mail")
	equal(t, "moved", s.snapshot(moved).Len(), 3)
	equal(t, "text", s.read(moved, s.uids(moved)[2]), text("three"))
	uids := s.append(inbox, text("four"))
	equal(t, "next UID", uids[0], 4)
	wantErr(t, "again", a.Rename(s.ctx, "INBOX", "Old/mail"), store.ErrExists)
}

func testSubscribe(t *testing.T, s *site) {
	a := s.account("ann")
	s.ok(a.Create(s.ctx, "a/b", ""))
	s.ok(a.Subscribe(s.ctx, "a/b", true))
	s.ok(a.Subscribe(s.ctx, "Trash", false))
	s.ok(a.Subscribe(s.ctx, "later/on", true))
	equal(t, "names", s.names(a), "INBOX* Archive* Drafts* Junk* Sent* Trash a+ a/b* later/on(gone)*")
	_, err := a.Mailbox("later/on")
	wantErr(t, "a subscription is no mailbox", err, store.ErrNoMailbox)
	wantErr(t, "to be deleted", a.Delete(s.ctx, "later/on"), store.ErrNoMailbox)
	s.ok(a.Delete(s.ctx, "a/b")) // RFC 9051 section 6.3.7: the subscription stays
	equal(t, "names", s.names(a), "INBOX* Archive* Drafts* Junk* Sent* Trash a a/b(gone)* later/on(gone)*")
	s.ok(a.Create(s.ctx, "a/b", ""))
	s.ok(a.Create(s.ctx, "x", ""))
	s.ok(a.Rename(s.ctx, "x", "later/on"))
	equal(t, "names", s.names(a), "INBOX* Archive* Drafts* Junk* Sent* Trash a+ a/b* later+ later/on*")
	s.ok(a.Delete(s.ctx, "a/b"))
	s.ok(a.Subscribe(s.ctx, "a/b", false))
	s.ok(a.Subscribe(s.ctx, "never/was", false))
	s.ok(a.Delete(s.ctx, "later/on"))
	s.ok(a.Delete(s.ctx, "later"))
	s.restart()
	equal(t, "names", s.names(s.account("ann")), "INBOX* Archive* Drafts* Junk* Sent* Trash a later/on(gone)*")
}

// testUIDValidityRises makes, removes and renames mailboxes over and over: for
// each name UIDVALIDITY only rises, and a pair of UIDVALIDITY and UID never
// names two messages.
func testUIDValidityRises(t *testing.T, s *site) {
	highest := map[string]uint32{}
	pairs := map[[2]uint32]string{}
	look := func(round int) {
		a := s.account("ann")
		for _, i := range a.Mailboxes() {
			if i.UIDValidity < highest[i.Name] {
				t.Fatalf("round %d: UIDVALIDITY of %s fell from %d to %d", round, i.Name, highest[i.Name], i.UIDValidity)
			}
			highest[i.Name] = i.UIDValidity
			if i.NoSelect {
				continue
			}
			m := s.mailbox("ann", i.Name)
			for _, e := range s.snapshot(m).All() {
				key := [2]uint32{i.UIDValidity, uint32(e.UID)}
				body := e.Body.String()
				if had := pairs[key]; had != "" && had != body {
					t.Fatalf("round %d: %v names two messages", round, key)
				}
				pairs[key] = body
			}
		}
	}
	for round := range 60 {
		a := s.account("ann")
		s.ok(a.Create(s.ctx, "a", ""))
		s.ok(a.Create(s.ctx, "b", ""))
		s.append(s.mailbox("ann", "a"), text("one"))
		look(round)
		s.ok(a.Delete(s.ctx, "b"))
		s.ok(a.Rename(s.ctx, "a", "b"))
		s.append(s.mailbox("ann", "b"), text("two"))
		s.ok(a.Create(s.ctx, "a", ""))
		s.append(s.mailbox("ann", "a"), text("three"))
		look(round)
		if round%3 == 0 {
			s.ok(a.Rename(s.ctx, "INBOX", "c"))
			s.append(s.mailbox("ann", "INBOX"), text("four"))
			look(round)
			s.ok(a.Delete(s.ctx, "c"))
		}
		if round%10 == 0 {
			s.restart()
			s.clock.n.Add(-1e6) // the clock goes back
			a = s.account("ann")
		}
		s.ok(a.Delete(s.ctx, "a"))
		s.ok(a.Delete(s.ctx, "b"))
	}
}
