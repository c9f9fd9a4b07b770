package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// bench is an engine under test with its file system and clock.
type bench struct {
	*testing.T
	s  Suite
	fs *vfs.Memory
	c  *clock
	e  engine.Engine
}

func newBench(t *testing.T, s Suite) *bench {
	b := &bench{T: t, s: s, fs: vfs.NewMemory(), c: newClock()}
	b.open()
	t.Cleanup(func() { b.e.Close() })
	return b
}

func (b *bench) open() {
	b.Helper()
	e, err := b.s.Open(b.Context(), Config{FS: b.fs, Now: b.c.now})
	if err != nil {
		b.Fatal("open:", err)
	}
	b.e = e
}

func (b *bench) reopen() {
	b.Helper()
	if err := b.e.Close(); err != nil {
		b.Fatal("close:", err)
	}
	b.open()
}

func (b *bench) apply(batch *engine.Batch) {
	b.Helper()
	if err := applyWait(b.e, batch); err != nil {
		b.Fatal("apply:", err)
	}
}

func (b *bench) body(content []byte) engine.BodyWriter {
	b.Helper()
	w, err := write(context.Background(), b.e, content)
	if err != nil {
		b.Fatal("body:", err)
	}
	return w
}

func (b *bench) tend() {
	b.Helper()
	if err := b.s.Tend(b.Context(), b.e); err != nil {
		b.Fatal("tend:", err)
	}
}

func (b *bench) sound() {
	b.Helper()
	for _, problem := range b.s.Check(b.Context(), b.e) {
		b.Error("check:", problem)
	}
}

func (b *bench) wants(what string, got, want any) {
	b.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		b.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// all collects a sequence.
func all[T any](t *testing.T, seq iter.Seq2[T, error]) []T {
	t.Helper()
	var list []T
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}

func uids[T any](list []T, of func(T) engine.UID) []engine.UID {
	got := []engine.UID{}
	for _, v := range list {
		got = append(got, of(v))
	}
	return got
}

func entryUID(e engine.Entry) engine.UID { return e.UID }

// user makes an account with one mailbox and messages 1 to n over one body.
func (b *bench) user(id engine.AccountID, name string, n int) mail.ID {
	b.Helper()
	w := b.body([]byte("Subject: of " + name + "\r\n\r\n"))
	m := engine.MailboxChange{Account: id, Record: engine.Mailbox{
		ID: 1, Name: "INBOX", UIDNext: engine.UID(n + 1), UIDValidity: 7, Keywords: []string{"$Junk", "ü"}, Messages: uint32(n),
		Created: b.c.now(),
	}}
	for uid := 1; uid <= n; uid++ {
		m.Add = append(m.Add, engine.Message{
			Entry:  engine.Entry{UID: engine.UID(uid), ModSeq: engine.ModSeq(uid), Flags: 3, Size: 99, Internal: -5, Saved: 6, Body: w.ID()},
			Detail: engine.Detail{Prefix: fmt.Appendf(nil, "X: %d\r\n", uid), Summary: []byte{byte(uid), 0}},
		})
	}
	b.apply(&engine.Batch{
		Accounts:  []engine.Account{{ID: id, Name: name, NextMailbox: 2, NextUIDValidity: 8, Created: b.c.now()}},
		Mailboxes: []engine.MailboxChange{m}, Bodies: []engine.BodyWriter{w},
	})
	return w.ID()
}

func contract(t *testing.T, s Suite) {
	for name, test := range map[string]func(*bench){
		"Accounts": testAccounts, "Mailbox": testMailbox, "Entries": testEntries, "Details": testDetails,
		"Expunge": testExpunge, "Remove": testRemove, "Forget": testForget, "Items": testItems,
		"Bodies": testBodies, "LargeBody": testLargeBody, "Discard": testDiscard, "Owners": testOwners,
		"Moved": testMoved, "LaterDetails": testLaterDetails, "Tickets": testTickets, "Closed": testClosed, "Cancelled": testCancelled, "Notes": testNotes, "Nothing": testNothing,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(newBench(t, s))
		})
	}
}

func testAccounts(b *bench) {
	b.user(2, "b@example.org", 0)
	b.user(1<<40, "a@example.org", 0)
	changed := engine.Account{ID: 2, Name: "c@example.org", NextMailbox: 9, NextUIDValidity: 1 << 31}
	b.apply(&engine.Batch{Accounts: []engine.Account{changed}})
	b.reopen()
	got := all(b.T, b.e.Accounts(b.Context()))
	names := []string{}
	for _, a := range got {
		names = append(names, a.Name)
	}
	slices.Sort(names)
	b.wants("names", names, []string{"a@example.org", "c@example.org"})
	a, boxes, err := b.e.Account(b.Context(), "c@example.org")
	b.wants("error", err, nil)
	b.wants("account", a, changed)
	b.wants("mailboxes", len(boxes), 1)
	for _, name := range []string{"b@example.org", "", "a@example"} {
		if _, _, err := b.e.Account(b.Context(), name); !errors.Is(err, engine.ErrNotFound) {
			b.Errorf("account %q: %v, want ErrNotFound", name, err)
		}
	}
	if err := applyWait(b.e, &engine.Batch{Accounts: []engine.Account{{ID: 77, Name: "c@example.org"}}}); err == nil {
		b.Error("two accounts of one name")
	}
}

func testMailbox(b *bench) {
	b.user(1, "a", 0)
	want := engine.Mailbox{
		ID: 5, Name: "Ünï/x", UIDValidity: 1<<32 - 1, UIDNext: 1<<32 - 1, HighestModSeq: 1<<63 - 1, RecentFrom: 3,
		SpecialUse: `\Sent`, Subscribed: true, NoSelect: true, Keywords: []string{"$a", "", "b"},
		Created: b.c.now(), Messages: 1<<32 - 1, Unseen: 2, Deleted: 3, Bytes: 1<<62 + 1, ExpungedSince: 1<<63 - 2, ExpungedCount: 1<<32 - 1,
	}
	b.apply(&engine.Batch{Mailboxes: []engine.MailboxChange{{Account: 1, Record: want}}})
	b.reopen()
	_, boxes, err := b.e.Account(b.Context(), "a")
	if err != nil || len(boxes) != 2 {
		b.Fatal(boxes, err)
	}
	slices.SortFunc(boxes, func(x, y engine.Mailbox) int { return int(x.ID) - int(y.ID) })
	boxes[1].Created = boxes[1].Created.UTC()
	b.wants("mailbox", fmt.Sprintf("%+v", boxes[1]), fmt.Sprintf("%+v", want))
}

func testEntries(b *bench) {
	b.user(1, "a", 300)
	b.user(2, "b", 5)
	b.apply(&engine.Batch{Mailboxes: []engine.MailboxChange{{Account: 1, Record: engine.Mailbox{ID: 2, Name: "other"}}}})
	got := all(b.T, b.e.Entries(b.Context(), 1, 1, 0))
	for i, e := range got {
		if e.UID != engine.UID(i+1) {
			b.Fatalf("uid %d in place %d", e.UID, i)
		}
	}
	b.wants("entries", len(got), 300)
	b.wants("fields", fmt.Sprintf("%+v", got[8]), fmt.Sprintf("%+v", engine.Entry{UID: 9, ModSeq: 9, Flags: 3, Size: 99, Internal: -5, Saved: 6, Body: got[8].Body}))
	b.wants("from", uids(all(b.T, b.e.Entries(b.Context(), 1, 1, 299)), entryUID), []engine.UID{299, 300})
	b.wants("from beyond", len(all(b.T, b.e.Entries(b.Context(), 1, 1, 301))), 0)
	b.wants("empty mailbox", len(all(b.T, b.e.Entries(b.Context(), 1, 2, 0))), 0)
	b.wants("no mailbox", len(all(b.T, b.e.Entries(b.Context(), 1, 3, 0))), 0)
	b.wants("no account", len(all(b.T, b.e.Entries(b.Context(), 3, 1, 0))), 0)

	changed := got[9]
	changed.Flags, changed.ModSeq = 1<<63|5, 1000
	seq := b.e.Entries(b.Context(), 1, 1, 10)
	for e, err := range seq { // a sequence does not see what comes after it began
		if e.UID == 10 {
			b.apply(&engine.Batch{Mailboxes: []engine.MailboxChange{{
				Account: 1, Record: engine.Mailbox{ID: 1, Name: "INBOX"}, Update: []engine.Entry{changed}, Expunge: []engine.UID{11}, ExpungedAt: 1001,
			}}})
		}
		if err != nil || e.Flags != 3 {
			b.Fatal(e, err)
		}
		if e.UID == 11 {
			break
		}
	}
	got = all(b.T, b.e.Entries(b.Context(), 1, 1, 10))
	b.wants("changed", fmt.Sprintf("%+v", got[0]), fmt.Sprintf("%+v", changed))
	b.wants("after it", got[1].UID, 12)
	b.sound()
}

func testDetails(b *bench) {
	b.user(1, "a", 20)
	var got []engine.Detailed
	for d, err := range b.e.Details(b.Context(), 1, 1, []engine.UID{1, 3, 19, 20, 21, 4000}) {
		if err != nil {
			b.Fatal(err)
		}
		d.Detail = d.Clone() // it holds until the next
		got = append(got, d)
	}
	b.wants("uids", uids(got, func(d engine.Detailed) engine.UID { return d.UID }), []engine.UID{1, 3, 19, 20})
	b.wants("prefix", string(got[1].Prefix), "X: 3\r\n")
	b.wants("summary", got[1].Summary, []byte{3, 0})
	b.wants("none", len(all(b.T, b.e.Details(b.Context(), 1, 1, nil))), 0)
	b.wants("no mailbox", len(all(b.T, b.e.Details(b.Context(), 1, 9, []engine.UID{1}))), 0)
	for d := range b.e.Details(b.Context(), 1, 1, []engine.UID{1, 2, 3}) {
		b.wants("first", d.UID, 1)
		break
	}
}

func testExpunge(b *bench) {
	body := b.user(1, "a", 10)
	for i, gone := range [][]engine.UID{{2, 9}, {5}, {1}} {
		b.apply(&engine.Batch{Mailboxes: []engine.MailboxChange{{
			Account: 1, Record: engine.Mailbox{ID: 1, Name: "INBOX"}, Expunge: gone, ExpungedAt: engine.ModSeq(100 + i*i),
		}}})
	}
	b.reopen()
	b.wants("left", uids(all(b.T, b.e.Entries(b.Context(), 1, 1, 0)), entryUID), []engine.UID{3, 4, 6, 7, 8, 10})
	b.wants("details", len(all(b.T, b.e.Details(b.Context(), 1, 1, []engine.UID{1, 2, 3, 9}))), 1)
	b.wants("gone", all(b.T, b.e.Expunged(b.Context(), 1, 1, 0)), []engine.Expunged{{UID: 2, ModSeq: 100}, {UID: 9, ModSeq: 100}, {UID: 5, ModSeq: 101}, {UID: 1, ModSeq: 104}})
	b.wants("gone since", all(b.T, b.e.Expunged(b.Context(), 1, 1, 100)), []engine.Expunged{{UID: 5, ModSeq: 101}, {UID: 1, ModSeq: 104}})
	b.wants("gone since the last", len(all(b.T, b.e.Expunged(b.Context(), 1, 1, 104))), 0)
	b.wants("gone since ever", len(all(b.T, b.e.Expunged(b.Context(), 1, 1, 1<<64-1))), 0)
	b.apply(&engine.Batch{Mailboxes: []engine.MailboxChange{{
		Account: 1, Record: engine.Mailbox{ID: 1, Name: "INBOX"}, Expunge: []engine.UID{3}, ExpungedAt: 110, Unlearn: 101,
	}}})
	b.wants("still known", all(b.T, b.e.Expunged(b.Context(), 1, 1, 0)), []engine.Expunged{{UID: 1, ModSeq: 104}, {UID: 3, ModSeq: 110}})
	b.apply(&engine.Batch{Mailboxes: []engine.MailboxChange{{
		Account: 1, Record: engine.Mailbox{ID: 1, Name: "INBOX"}, Expunge: []engine.UID{4}, ExpungedAt: 120, Unlearn: 120,
	}}})
	b.wants("nothing known", len(all(b.T, b.e.Expunged(b.Context(), 1, 1, 0))), 0)
	if _, err := contentOf(b.Context(), b.e, body); err != nil {
		b.Error("a body with owners left:", err)
	}
	b.sound()
}

func testRemove(b *bench) {
	body := b.user(1, "a", 2500)
	b.user(2, "b", 3)
	b.apply(&engine.Batch{Mailboxes: []engine.MailboxChange{{Account: 1, Record: engine.Mailbox{ID: 1}, Remove: true}}})
	gone := func() {
		b.Helper()
		b.wants("entries", len(all(b.T, b.e.Entries(b.Context(), 1, 1, 0))), 0)
		b.wants("details", len(all(b.T, b.e.Details(b.Context(), 1, 1, []engine.UID{1}))), 0)
		_, boxes, err := b.e.Account(b.Context(), "a")
		b.wants("mailboxes", fmt.Sprint(boxes, err), "[] <nil>")
		b.sound()
	}
	gone()
	b.reopen()
	gone()
	b.c.advance(time.Hour)
	b.tend()
	b.c.advance(time.Hour)
	b.tend()
	gone()
	if _, err := b.e.OpenBody(b.Context(), body); !errors.Is(err, engine.ErrNotFound) {
		b.Errorf("body of a removed mailbox: %v, want ErrNotFound", err)
	}
	b.wants("other account", len(all(b.T, b.e.Entries(b.Context(), 2, 1, 0))), 3)
	b.apply(&engine.Batch{Mailboxes: []engine.MailboxChange{{Account: 2, Record: engine.Mailbox{ID: 1}, Remove: true}}})
	b.apply(&engine.Batch{Mailboxes: []engine.MailboxChange{{Account: 2, Record: engine.Mailbox{ID: 1, Name: "again"}}}})
	b.wants("a new mailbox of an old number", len(all(b.T, b.e.Entries(b.Context(), 2, 1, 0))), 0)
	b.sound()
}

func testForget(b *bench) {
	body := b.user(1, "a", 1200)
	b.user(2, "b", 1)
	b.apply(&engine.Batch{Forget: []engine.AccountID{1}})
	for range 3 {
		if _, _, err := b.e.Account(b.Context(), "a"); !errors.Is(err, engine.ErrNotFound) {
			b.Errorf("a forgotten account: %v, want ErrNotFound", err)
		}
		b.wants("accounts", len(all(b.T, b.e.Accounts(b.Context()))), 1)
		b.wants("entries", len(all(b.T, b.e.Entries(b.Context(), 1, 1, 0))), 0)
		b.sound()
		b.reopen()
		b.c.advance(time.Hour)
		b.tend()
	}
	if _, err := b.e.OpenBody(b.Context(), body); !errors.Is(err, engine.ErrNotFound) {
		b.Errorf("body of a forgotten account: %v, want ErrNotFound", err)
	}
	b.user(1, "a", 2)
	b.wants("the account made anew", len(all(b.T, b.e.Entries(b.Context(), 1, 1, 0))), 2)
	b.sound()
}

func testItems(b *bench) {
	w := b.body([]byte("queued"))
	item := func(n byte) mail.Item {
		id := mail.FirstID(b.c.now())
		id[15] = n
		return mail.Item{
			ID: id, Body: w.ID(), Prefix: []byte{n, '\r', '\n'}, Size: 6, Hop: mail.Hop{Kind: mail.HopRemote, Host: "example.net"},
			To:  []mail.ItemRcpt{{Recipient: mail.Recipient{Address: mail.MustAddress(`"a b"@example.net`), Notify: mail.NotifyDelay}}},
			Due: b.c.now(), Envelope: mail.Envelope{ID: id, UTF8: true},
		}
	}
	one, three := item(1), item(3)
	b.apply(&engine.Batch{PutItems: []mail.Item{three, one, item(2)}, Bodies: []engine.BodyWriter{w}})
	changed := item(2)
	changed.Attempts = 4
	b.apply(&engine.Batch{PutItems: []mail.Item{changed}, DropItems: []mail.ID{three.ID, item(9).ID}})
	b.reopen()
	got := all(b.T, b.e.Items(b.Context()))
	b.wants("items", fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", []mail.Item{one, changed}))
	found, err := b.e.Item(b.Context(), changed.ID)
	b.wants("item", fmt.Sprintf("%+v %v", found, err), fmt.Sprintf("%+v <nil>", changed))
	if _, err := b.e.Item(b.Context(), three.ID); !errors.Is(err, engine.ErrNotFound) {
		b.Errorf("a dropped item: %v, want ErrNotFound", err)
	}
	b.sound()
	b.apply(&engine.Batch{DropItems: []mail.ID{one.ID}})
	b.c.advance(time.Hour)
	b.tend()
	if _, err := contentOf(b.Context(), b.e, w.ID()); err != nil {
		b.Error("body of an item:", err)
	}
	b.apply(&engine.Batch{DropItems: []mail.ID{changed.ID}})
	b.c.advance(time.Hour)
	b.tend()
	if _, err := b.e.OpenBody(b.Context(), w.ID()); !errors.Is(err, engine.ErrNotFound) {
		b.Errorf("body of no item: %v, want ErrNotFound", err)
	}
	b.sound()
}

func testNothing(b *bench) {
	b.apply(&engine.Batch{})
	b.wants("accounts", len(all(b.T, b.e.Accounts(b.Context()))), 0)
	b.wants("items", len(all(b.T, b.e.Items(b.Context()))), 0)
	if err := b.e.Room(1 << 20); err != nil {
		b.Error("room:", err)
	}
	b.sound()
}

func equalBody(b *bench, what string, body mail.Body, want []byte) {
	b.Helper()
	got, err := read(body)
	if err != nil || !bytes.Equal(got, want) {
		b.Errorf("%s: %d octets, error %v; want %d", what, len(got), err, len(want))
	}
}
