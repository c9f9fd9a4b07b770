package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"plic/internal/imap"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/store"
	"plic/internal/store/engine"
)

const mixed = "From: Ann <ann@example.org>\r\nSubject: parts\r\nMIME-Version: 1.0\r\n" +
	"Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n" +
	"--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello\r\n" +
	"--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ninner text\r\n" +
	"--b--\r\n"

func testDeliver(t *testing.T, s *site) {
	inbox := s.mailbox("ann", "INBOX")
	internal := time.Date(2020, 2, 3, 4, 5, 6, 0, time.FixedZone("", -(5*60+30)*60))
	prefix := "Return-Path: <x@example.org>\r\nReceived: from there\r\n\tby here\r\n"
	body := text("hello")
	placed, err := inbox.Append(s.ctx, store.Incoming{
		Draft: s.draft(body), Prefix: []byte(prefix), Internal: internal,
		Flags: store.Flags{System: store.Flagged | store.Deleted, Keywords: []string{"$Forwarded"}},
	})
	s.ok(err)
	info := inbox.Info()
	same(t, "placed", placed, []store.Placed{{Mailbox: "INBOX", UIDValidity: info.UIDValidity, UID: 1}})
	equal(t, "messages", info.Messages, 1)
	equal(t, "unseen", info.Unseen, 1)
	equal(t, "deleted", info.Deleted, 1)
	equal(t, "octets", info.Bytes, int64(len(prefix)+len(body)))
	equal(t, "UIDNEXT", info.UIDNext, 2)

	snap := s.snapshot(inbox)
	e := snap.At(0)
	equal(t, "size", e.Size, int64(len(prefix)+len(body)))
	equal(t, "date", e.Internal.Time().Format(time.RFC3339), internal.Format(time.RFC3339))
	equal(t, "MODSEQ", e.ModSeq, snap.HighestModSeq())
	equal(t, "flags", fmt.Sprint(snap.Flags(e)), fmt.Sprint(store.Flags{System: store.Flagged | store.Deleted, Keywords: []string{"$Forwarded"}}))
	equal(t, "text", s.read(inbox, 1), prefix+body)
	first, ok := snap.FirstUnseen()
	equal(t, "first unseen", first, 0)
	equal(t, "has unseen", ok, true)

	_, err = inbox.Append(s.ctx, store.Incoming{})
	if err == nil {
		t.Error("an append of nothing is taken")
	}
	_, err = inbox.Append(s.ctx, store.Incoming{Draft: s.draft("x"), Flags: store.Flags{Keywords: []string{"no space"}}})
	wantErr(t, "bad keyword", err, store.ErrBadKeyword)
	equal(t, "nothing appended", inbox.Info().UIDNext, 2)
}

func testDeliverMany(t *testing.T, s *site) {
	d := s.draft(text("to all"))
	defer d.Discard()
	tx := s.Begin()
	var boxes []*store.Mailbox
	for i := range 20 {
		boxes = append(boxes, s.mailbox(fmt.Sprintf("user%d", i), "INBOX"))
		tx.Deliver(boxes[i], store.Incoming{Draft: d, Prefix: fmt.Appendf(nil, "Delivered-To: user%d\r\n", i)})
	}
	placed, err := tx.Commit(s.ctx)
	s.ok(err)
	equal(t, "placed", len(placed), 20)
	d.Discard() // does nothing: the commit has taken it
	for i, m := range boxes {
		equal(t, "text", s.read(m, placed[i].UID), fmt.Sprintf("Delivered-To: user%d\r\n", i)+text("to all"))
		s.oneBody(s.entry(m, 1).Body, d.ID())
	}
	for _, m := range boxes[:19] {
		_, err := m.Expunge(s.ctx, []store.UID{1}, false)
		s.ok(err)
	}
	if got := s.read(boxes[19], 1); !strings.HasSuffix(got, text("to all")) {
		t.Fatalf("the last owner reads %q", got)
	}
}

// testDeliverBody delivers a body that the engine has already.
func testDeliverBody(t *testing.T, s *site) {
	inbox, trash := s.mailbox("ann", "INBOX"), s.mailbox("bob", "Trash")
	s.append(inbox, text("again"))
	id := s.entry(inbox, 1).Body
	_, err := trash.Append(s.ctx, store.Incoming{Body: id})
	s.ok(err)
	equal(t, "text", s.read(trash, 1), text("again"))
	for d, err := range trash.Details(s.ctx, []store.UID{1}) {
		s.ok(err)
		if !bytes.Contains(d.AppendEnvelope(nil), []byte("again")) {
			t.Fatalf("envelope %s", d.AppendEnvelope(nil))
		}
	}
	_, err = trash.Append(s.ctx, store.Incoming{Body: mail.NewID(s.clock.now())})
	wantErr(t, "no such body", err, engine.ErrNotFound)
}

func (s *site) items() (out []mail.Item) {
	s.t.Helper()
	for item, err := range s.Items(s.ctx) {
		s.ok(err)
		out = append(out, item)
	}
	return out
}

func testQueue(t *testing.T, s *site) {
	d := s.draft(text("out"))
	item := mail.Item{ID: mail.NewID(s.clock.now()), Body: d.ID(), Size: d.Size(), Due: s.clock.now()}
	tx := s.Begin()
	tx.PutItem(item)
	_, err := tx.Commit(s.ctx) // only the item says which draft is meant
	s.ok(err)
	d.Discard()
	s.restart()
	equal(t, "items", len(s.items()), 1)
	equal(t, "item", s.items()[0].ID, item.ID)
	b, err := s.OpenBody(s.ctx, item.Body)
	s.ok(err)
	equal(t, "body", s.body(b), text("out"))
	s.ok(b.Close())

	item.Attempts = 3
	report := s.draft(text("report"))
	inbox := s.mailbox("ann", "INBOX")
	tx = s.Begin()
	tx.PutItem(item)
	tx.Deliver(inbox, store.Incoming{Draft: report})
	_, err = tx.Commit(s.ctx)
	s.ok(err)
	equal(t, "attempts", s.items()[0].Attempts, 3)
	equal(t, "report", s.read(inbox, 1), text("report"))
	tx = s.Begin()
	tx.DropItem(item.ID)
	_, err = tx.Commit(s.ctx)
	s.ok(err)
	equal(t, "items", len(s.items()), 0)
	placed, err := s.Begin().Commit(s.ctx)
	s.ok(err)
	equal(t, "an empty Tx", len(placed), 0)
	s.ok(s.Room(1))
	_, err = s.OpenBody(s.ctx, mail.NewID(s.clock.now()))
	wantErr(t, "no such body", err, engine.ErrNotFound)
}

// testAtomicCommit has one of three mailboxes go: nothing happens in the others.
func testAtomicCommit(t *testing.T, s *site) {
	ann, bob := s.mailbox("ann", "INBOX"), s.mailbox("bob", "INBOX")
	trash := s.mailbox("bob", "Trash")
	s.ok(s.account("bob").Delete(s.ctx, "Trash"))
	d := s.draft(text("x"))
	tx := s.Begin()
	for _, m := range []*store.Mailbox{ann, bob, trash} {
		tx.Deliver(m, store.Incoming{Draft: d})
	}
	item := mail.Item{ID: mail.NewID(s.clock.now()), Body: d.ID()}
	tx.PutItem(item)
	_, err := tx.Commit(s.ctx)
	wantErr(t, "commit", err, store.ErrGone)
	equal(t, "ann", ann.Info().UIDNext, 1)
	equal(t, "bob", s.snapshot(bob).Len(), 0)
	equal(t, "items", len(s.items()), 0)

	tx = s.Begin() // the draft is still ours
	tx.Deliver(ann, store.Incoming{Draft: d})
	tx.Deliver(bob, store.Incoming{Draft: d})
	tx.PutItem(item)
	_, err = tx.Commit(s.ctx)
	s.ok(err)
	s.restart()
	equal(t, "ann", s.read(s.mailbox("ann", "INBOX"), 1), text("x"))
	equal(t, "bob", s.read(s.mailbox("bob", "INBOX"), 1), text("x"))
	equal(t, "items", len(s.items()), 1)
}

// testReplace puts a message in the place of another, whole or not at all.
func testReplace(t *testing.T, s *site) {
	inbox, trash := s.mailbox("ann", "INBOX"), s.mailbox("ann", "Trash")
	s.append(inbox, text("one"), text("two"))
	replace := func(to *store.Mailbox, uid store.UID, by string) error {
		d := s.draft(text(by))
		defer d.Discard()
		tx := s.Begin()
		tx.Deliver(to, store.Incoming{Draft: d})
		tx.Replace(inbox, uid)
		_, err := tx.Commit(s.ctx)
		return err
	}
	s.ok(replace(inbox, 1, "three"))
	same(t, "replaced", s.uids(inbox), []store.UID{2, 3})
	s.ok(replace(trash, 2, "four"))
	same(t, "moved", s.uids(inbox), []store.UID{3})
	wantErr(t, "gone", replace(trash, 2, "five"), engine.ErrNotFound)
	equal(t, "nothing came", s.snapshot(trash).Len(), 1)
	s.restart()
	inbox = s.mailbox("ann", "INBOX")
	same(t, "after a restart", s.uids(inbox), []store.UID{3})
	equal(t, "text", s.read(inbox, 3), text("three"))
	equal(t, "text", s.read(s.mailbox("ann", "Trash"), 1), text("four"))
}

// testStructure compares the structure over prefix and body, and the summary, with an
// analysis of the two as one.
func testStructure(t *testing.T, s *site) {
	inbox := s.mailbox("ann", "INBOX")
	prefix := "Return-Path: <>\r\nDelivered-To: ann\r\n"
	for i, body := range []string{mixed, text("plain"), mixed, " no field\r\n" + mixed, mixed} {
		pre := []string{prefix, prefix, "", prefix + "\r\n", "\r\n"}[i] // the last two end the header
		_, err := inbox.Append(s.ctx, store.Incoming{Draft: s.draft(body), Prefix: []byte(pre)})
		s.ok(err)
		uid := store.UID(i + 1)
		want, err := message.Parse(strings.NewReader(pre+body), message.Limits{})
		s.ok(err)
		for range 2 { // the second comes from memory
			msg, err := inbox.Open(s.ctx, s.entry(inbox, uid))
			s.ok(err)
			got, err := msg.Structure()
			s.ok(err)
			equal(t, "structure", describe(got), describe(want))
			equal(t, "prefix", string(msg.Prefix()), s.apart(pre))
			s.ok(msg.Close())
		}
		for d, err := range inbox.Details(s.ctx, []store.UID{uid}) {
			s.ok(err)
			equal(t, "BODYSTRUCTURE", string(d.BodyStructure), string(imap.AppendStructure(nil, want.Root, true)))
			equal(t, "envelope", string(d.AppendEnvelope(nil)), string(imap.AppendEnvelope(nil, want.Root.Envelope())))
			equal(t, "preview", d.Preview(), want.Text)
		}
	}
	gone := s.entry(inbox, 1)
	_, err := inbox.Expunge(s.ctx, []store.UID{1}, false)
	s.ok(err)
	_, err = inbox.Open(s.ctx, gone)
	wantErr(t, "open what is gone", err, engine.ErrNotFound)
	testReadAt(t, s, inbox)
}

func testReadAt(t *testing.T, s *site, inbox *store.Mailbox) {
	msg, err := inbox.Open(s.ctx, s.entry(inbox, 2))
	s.ok(err)
	defer msg.Close()
	whole := s.body(msg)
	for off := range len(whole) {
		for _, n := range []int{1, 7, 40} {
			p := make([]byte, n)
			got, err := msg.ReadAt(p, int64(off))
			want := whole[off:min(off+n, len(whole))]
			if string(p[:got]) != want || got < n && !errors.Is(err, io.EOF) {
				t.Fatalf("ReadAt(%d, %d): %q, %v; want %q", n, off, p[:got], err, want)
			}
		}
	}
	if _, err := msg.ReadAt(make([]byte, 1), int64(len(whole))); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

// describe writes a structure down.
func describe(m *message.Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d parts, %d octets, %q\n", m.Parts, m.Size, m.Text)
	m.Walk(func(p *message.Part) bool {
		fmt.Fprintf(&b, "%v %s/%s %d %d %d lines %d header %q\n", p.Path, p.Type, p.Subtype, p.Offset, p.Body, p.End, p.Lines, p.Header)
		return true
	})
	return b.String()
}

// testForeword sees that ENVELOPE tells of fields that came with the prefix,
// and only with that one.
func testForeword(t *testing.T, s *site) {
	box, tx, draft := s.mailbox("ann", "Archive"), s.Begin(), s.draft("Subject: x\r\n\r\n")
	for _, prefix := range []string{"Received: x\r\n", "Received: by\r\n\there\r\nDate: then\r\nMESSAGE-ID: <a@b>\r\n", ""} {
		tx.Deliver(box, store.Incoming{Draft: draft, Prefix: []byte(prefix)})
	}
	_, err := tx.Commit(s.ctx)
	s.ok(err)
	var got []string
	for d, err := range box.Details(s.ctx, []store.UID{1, 2, 3}) {
		s.ok(err)
		got = append(got, string(d.AppendEnvelope(nil)))
	}
	const without = `(NIL "x" NIL NIL NIL NIL NIL NIL NIL NIL)`
	same(t, "envelopes", got, []string{without, `("then" "x" NIL NIL NIL NIL NIL NIL NIL "<a@b>")`, without})
}

func testDetails(t *testing.T, s *site) {
	inbox := s.mailbox("ann", "INBOX")
	var want []store.UID
	for i := range 30 {
		uid := s.append(inbox, text(fmt.Sprint("number", i)))[0]
		if i%3 == 0 {
			want = append(want, uid)
		}
	}
	_, err := inbox.Append(s.ctx, store.Incoming{Draft: s.draft(mixed), Prefix: []byte("X-P: 1\r\n")})
	s.ok(err)
	want = append(want, 31)
	var got []store.UID
	for d, err := range inbox.Details(s.ctx, append(want, 99)) {
		s.ok(err)
		got = append(got, d.UID)
		if d.UID == 31 {
			equal(t, "prefix", string(d.Prefix), s.apart("X-P: 1\r\n"))
			equal(t, "preview", d.Preview(), "hello")
			equal(t, "envelope", string(d.AppendEnvelope(nil)), `(NIL "parts" (("Ann" NIL "ann" "example.org")) (("Ann" NIL "ann" "example.org")) (("Ann" NIL "ann" "example.org")) NIL NIL NIL NIL NIL)`)
			if body, err := d.AppendBody(nil); err != nil || !strings.HasSuffix(string(body), ` "mixed")`) || !strings.Contains(string(d.BodyStructure), `"boundary" "b"`) {
				t.Errorf("BODY %s\nBODYSTRUCTURE %s (%v)", body, d.BodyStructure, err)
			}
			continue
		}
		if subject := fmt.Sprintf("\"number%d\"", d.UID-1); !bytes.Contains(d.AppendEnvelope(nil), []byte(subject)) {
			t.Errorf("UID %d: %s", d.UID, d.AppendEnvelope(nil))
		}
	}
	same(t, "UIDs", got, want)
	testForeword(t, s)
	for range inbox.Details(s.ctx, want) {
		break // stops without trouble
	}
}
