// Package storetest is the suite that a store passes over every engine: the
// contract of each method, many users at once, random histories compared with a
// naive model and with the engine in memory, and crashes. Beside it are the
// benchmarks.
package storetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"plic/internal/mail"
	"plic/internal/store"
	"plic/internal/store/engine"
)

// Place makes engines over one place: each call opens what the engine before,
// closed by now, left there.
type Place func() engine.Engine

// NewPlace makes an empty place.
type NewPlace func(t testing.TB) Place

// Run runs the whole suite but for crashes.
func Run(t *testing.T, place NewPlace) {
	tests := []struct {
		name string
		run  func(*testing.T, *site)
	}{
		{"Accounts", testAccounts},
		{"RemoveAccount", testRemoveAccount},
		{"Create", testCreate},
		{"Delete", testDelete},
		{"Rename", testRename},
		{"RenameInbox", testRenameInbox},
		{"Subscribe", testSubscribe},
		{"UIDValidityRises", testUIDValidityRises},
		{"Deliver", testDeliver},
		{"DeliverMany", testDeliverMany},
		{"DeliverBody", testDeliverBody},
		{"Queue", testQueue},
		{"AtomicCommit", testAtomicCommit},
		{"Structure", testStructure},
		{"Details", testDetails},
		{"OpenAll", testOpenAll},
		{"Outline", testOutline},
		{"Flags", testFlags},
		{"UnchangedSince", testUnchangedSince},
		{"Keywords", testKeywords},
		{"Expunge", testExpunge},
		{"Vanished", testVanished},
		{"Copy", testCopy},
		{"Move", testMove},
		{"Replace", testReplace},
		{"LargeCopy", testLargeCopy},
		{"HeavyCopy", testHeavyCopy},
		{"Recent", testRecent},
		{"Share", testShare},
		{"Quota", testQuota},
		{"DomainQuota", testDomainQuota},
		{"QuotaTogether", testQuotaTogether},
		{"Notes", testNotes},
		{"NotesTogether", testNotesTogether},
		{"Bare", testBare},
		{"Watch", testWatch},
		{"Reopen", testReopen},
		{"Concurrent", testConcurrent},
		{"ConcurrentAccounts", testConcurrentAccounts},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, newSite(t, place(t)))
		})
	}
	for seed := range 3 {
		t.Run(fmt.Sprintf("History/%d", seed), func(t *testing.T) {
			t.Parallel()
			testHistory(t, place, uint64(seed))
		})
	}
}

// clock is a time that goes on by one second each time it is asked for.
type clock struct{ n atomic.Int64 }

func (c *clock) now() time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(c.n.Add(1)) * time.Second)
}

// site is a store over an engine, with short forms of its methods that fail the
// test.
type site struct {
	t     testing.TB
	ctx   context.Context
	place Place
	clock clock
	o     store.Options
	files bool // mail is in files: prefix and body are one, and each message has its own
	*store.Store
}

func newSite(t testing.TB, place Place) *site {
	s := &site{t: t, ctx: t.Context(), place: place}
	s.start()
	t.Cleanup(func() { s.end() })
	return s
}

// end closes the store, and lets go of it and of its place: package testing keeps
// each test that has ended, and what that gave it to clean up.
func (s *site) end() error {
	if s.Store == nil {
		return nil
	}
	err := s.Store.Close()
	s.Store, s.place, s.o = nil, nil, store.Options{}
	return err
}

func (s *site) start() {
	o := s.o
	o.Engine, o.Now = s.place(), s.clock.now
	_, s.files = o.Engine.(engine.Files)
	s.Store = store.New(o)
}

// restart closes the store and opens another over the same place.
func (s *site) restart() {
	s.t.Helper()
	s.ok(s.Store.Close())
	s.start()
}

func (s *site) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) account(name string) *store.Account {
	s.t.Helper()
	a, err := s.Store.Account(s.ctx, name)
	s.ok(err)
	return a
}

func (s *site) mailbox(account, name string) *store.Mailbox {
	s.t.Helper()
	m, err := s.account(account).Mailbox(name)
	s.ok(err)
	return m
}

// apart is what is kept of a prefix by itself.
func (s *site) apart(prefix string) string {
	if s.files {
		return ""
	}
	return prefix
}

// oneBody says whether messages share a body, which those in files do not.
func (s *site) oneBody(got, want mail.ID) {
	s.t.Helper()
	if !s.files {
		equal(s.t, "body", got, want)
	}
}

func (s *site) draft(text string) *store.Draft {
	s.t.Helper()
	d, err := s.NewDraft(s.ctx)
	s.ok(err)
	_, err = io.WriteString(d, text)
	s.ok(err)
	return d
}

// append puts messages of the given texts into a mailbox.
func (s *site) append(m *store.Mailbox, texts ...string) []store.UID {
	s.t.Helper()
	var in []store.Incoming
	for _, text := range texts {
		in = append(in, store.Incoming{Draft: s.draft(text)})
	}
	placed, err := m.Append(s.ctx, in...)
	s.ok(err)
	var uids []store.UID
	for _, p := range placed {
		uids = append(uids, p.UID)
	}
	return uids
}

// fill puts n messages that share a body into a mailbox.
func (s *site) fill(m *store.Mailbox, n int) []store.UID {
	s.t.Helper()
	d := s.draft(text("filler"))
	in := make([]store.Incoming, n)
	for i := range in {
		in[i] = store.Incoming{Draft: d, Prefix: fmt.Appendf(nil, "X-Number: %d\r\n", i)}
	}
	placed, err := m.Append(s.ctx, in...)
	s.ok(err)
	uids := make([]store.UID, n)
	for i, p := range placed {
		uids[i] = p.UID
	}
	return uids
}

func (s *site) snapshot(m *store.Mailbox) *store.Snapshot {
	s.t.Helper()
	snap, err := m.Snapshot(s.ctx)
	s.ok(err)
	return snap
}

func (s *site) entry(m *store.Mailbox, uid store.UID) store.Entry {
	s.t.Helper()
	e, ok := s.snapshot(m).Get(uid)
	if !ok {
		s.t.Fatalf("UID %d is not in %s", uid, m.Name())
	}
	return e
}

// read gives a whole message.
func (s *site) read(m *store.Mailbox, uid store.UID) string {
	s.t.Helper()
	msg, err := m.Open(s.ctx, s.entry(m, uid))
	s.ok(err)
	defer msg.Close()
	return s.body(msg)
}

func (s *site) body(b mail.Body) string {
	s.t.Helper()
	var out bytes.Buffer
	_, err := io.Copy(&out, io.NewSectionReader(b, 0, b.Size()))
	s.ok(err)
	if int64(out.Len()) != b.Size() {
		s.t.Fatalf("read %d of %d octets", out.Len(), b.Size())
	}
	return out.String()
}

func (s *site) uids(m *store.Mailbox) []store.UID {
	s.t.Helper()
	snap := s.snapshot(m)
	uids := make([]store.UID, 0, snap.Len())
	for _, e := range snap.All() {
		uids = append(uids, e.UID)
	}
	return uids
}

// names lists the mailboxes as LIST does, with a mark for what is special.
func (s *site) names(a *store.Account) string {
	var out []string
	for _, i := range a.Mailboxes() {
		name := i.Name
		switch {
		case i.NonExistent:
			name += "(gone)"
		case i.NoSelect:
			name += "(noselect)"
		}
		if i.HasChildren {
			name += "+"
		}
		if i.Subscribed {
			name += "*"
		}
		out = append(out, name)
	}
	return strings.Join(out, " ")
}

// text is a small message with a subject.
func text(subject string) string {
	return "From: Ann <ann@example.org>\r\nTo: bob@example.net\r\nSubject: " + subject +
		"\r\nMessage-ID: <" + subject + "@example.org>\r\n\r\nThis is about " + subject + ".\r\n"
}

func equal[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
}

func same[T any](t testing.TB, what string, got, want []T) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Fatalf("%s: got %s, want %s", what, g, w)
	}
}
