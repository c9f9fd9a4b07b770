package store

import (
	"fmt"
	"io"
	"iter"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"weak"

	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/store/memory"
)

func testStore(t *testing.T, o Options) *Store {
	t.Helper()
	o.Engine = memory.New(time.Now)
	return New(o)
}

func testMailbox(t *testing.T, s *Store, account, name string) *Mailbox {
	t.Helper()
	a, err := s.Account(t.Context(), account)
	if err != nil {
		t.Fatal(err)
	}
	m, err := a.Mailbox(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func testAppend(t *testing.T, m *Mailbox, n int) {
	t.Helper()
	d, err := m.account.store.NewDraft(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(d, "Subject: x\r\n\r\nx\r\n")
	if _, err := m.Append(t.Context(), slices.Repeat([]Incoming{{Draft: d}}, n)...); err != nil {
		t.Fatal(err)
	}
}

func testSnapshot(t *testing.T, m *Mailbox) *Snapshot {
	t.Helper()
	snap, err := m.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

// TestDeliveryLoadsNoIndex: only who wants to see a mailbox has its index read.
func TestDeliveryLoadsNoIndex(t *testing.T) {
	t.Parallel()
	m := testMailbox(t, testStore(t, Options{}), "ann", "INBOX")
	testAppend(t, m, 10)
	if m.head.snap != nil || m.visible.Load().snap != nil {
		t.Fatal("a delivery has loaded the index")
	}
	if n := testSnapshot(t, m).Len(); n != 10 {
		t.Fatalf("%d messages", n)
	}
	testAppend(t, m, 1)
	if m.visible.Load().snap.Len() != 11 {
		t.Fatal("a loaded index does not follow")
	}
}

// TestFilledMailbox: the index of a mailbox that gets many messages at once, and had
// none, is made of them; it is the one that would be read, follows, and is dropped
// as others are.
func TestFilledMailbox(t *testing.T) {
	t.Parallel()
	s := testStore(t, Options{})
	m := testMailbox(t, s, "ann", "INBOX")
	testAppend(t, m, fillLeast)
	made := m.visible.Load().snap
	if made == nil {
		t.Fatal("no index")
	}
	testAppend(t, m, 3)
	if _, err := m.Expunge(t.Context(), []UID{2, 5}, false); err != nil {
		t.Fatal(err)
	}
	follows := slices.Collect(entries(m.visible.Load().snap))
	if made.Len() != fillLeast || len(follows) != fillLeast+1 {
		t.Errorf("%d messages, then %d", made.Len(), len(follows))
	}
	if counted := s.indexes.bytes; counted < m.visible.Load().snap.bytes() {
		t.Errorf("%d octets are counted for an index of %d", counted, m.visible.Load().snap.bytes())
	}
	m.unload()
	if read := slices.Collect(entries(testSnapshot(t, m))); !slices.Equal(read, follows) {
		t.Errorf("read: %v\nmade: %v", read, follows)
	}
	for name, fill := range map[string]func(*Mailbox){
		"few":     func(m *Mailbox) { testAppend(t, m, fillLeast-1) },
		"not new": func(m *Mailbox) { testAppend(t, m, 1); testAppend(t, m, fillLeast) },
	} {
		m := testMailbox(t, s, name, "INBOX")
		if fill(m); m.visible.Load().snap != nil {
			t.Errorf("%s: an index that nobody asked for", name)
		}
	}
	small := testStore(t, Options{IndexBytes: 1})
	m = testMailbox(t, small, "ann", "INBOX")
	if testAppend(t, m, fillLeast); m.visible.Load().snap != nil {
		t.Error("an index for which there is no room")
	}
}

func entries(s *Snapshot) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for _, e := range s.All() {
			if !yield(e) {
				return
			}
		}
	}
}

// TestIndexesAreDropped: what nobody watches goes when there is too much, the
// longest unused first, and comes again when it is wanted.
func TestIndexesAreDropped(t *testing.T) {
	t.Parallel()
	const boxes, each = 20, 200
	one := (&Snapshot{n: each, chunks: make([]*chunk, 1)}).bytes()
	s := testStore(t, Options{IndexBytes: 5 * one})
	var all []*Mailbox
	for i := range boxes {
		m := testMailbox(t, s, fmt.Sprint("user", i), "INBOX")
		testAppend(t, m, each)
		all = append(all, m)
	}
	_, stop := all[0].Watch()
	defer stop()
	loaded := func() (out []int) {
		for i, m := range all {
			if m.visible.Load().snap != nil {
				out = append(out, i)
			}
		}
		return out
	}
	old := testSnapshot(t, all[1])
	for i, m := range all {
		testSnapshot(t, m)
		testSnapshot(t, all[2]) // always in use
		if got := loaded(); len(got) > 5 || !slices.Contains(got, i) {
			t.Fatalf("loaded after %d: %v", i, got)
		}
	}
	if got := loaded(); !slices.Contains(got, 0) || !slices.Contains(got, 2) {
		t.Errorf("loaded: %v; 0 is watched, and 2 was used all the time", got)
	}
	if old.Len() != each || old.At(each-1).UID != each {
		t.Error("a snapshot that someone holds is damaged")
	}
	testAppend(t, all[1], 1)
	if all[1].visible.Load().snap != nil {
		t.Error("a delivery brought a dropped index back")
	}
	if n := testSnapshot(t, all[1]).Len(); n != each+1 {
		t.Errorf("%d messages after the index was dropped", n)
	}
}

// TestIdleAccounts: an account is the same for all that hold it, however many
// are opened meanwhile; one that nobody holds is let go.
func TestIdleAccounts(t *testing.T) {
	t.Parallel()
	s := testStore(t, Options{IdleAccounts: 3})
	held, err := s.Account(t.Context(), "held")
	if err != nil {
		t.Fatal(err)
	}
	box := testMailbox(t, s, "by mailbox", "INBOX")
	for i := range 50 {
		testMailbox(t, s, fmt.Sprint("user", i), "INBOX")
	}
	runtime.GC()
	open := 0
	s.mu.Lock()
	for _, p := range s.accounts {
		if p.Value() != nil {
			open++
		}
	}
	s.mu.Unlock()
	if open > 5 {
		t.Errorf("%d accounts are open, 3 idle ones and 2 that are held", open)
	}
	again, err := s.Account(t.Context(), "held")
	if err != nil || again != held {
		t.Errorf("an account that is held was opened again: %v", err)
	}
	if m := testMailbox(t, s, "by mailbox", "INBOX"); m != box {
		t.Error("a mailbox that is held was opened again")
	}
	runtime.KeepAlive(held)
	runtime.KeepAlive(box)
}

// TestClosedStoreIsLetGo: nothing keeps a store that was closed, though it has
// idle accounts, nor what is below it.
func TestClosedStoreIsLetGo(t *testing.T) {
	t.Parallel()
	var closed weak.Pointer[Store]
	var below weak.Pointer[memory.Engine]
	t.Run("used", func(t *testing.T) { // on a stack of its own
		s := testStore(t, Options{})
		m := testMailbox(t, s, "idle", "INBOX")
		testAppend(t, m, 1)
		testSnapshot(t, m)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		closed, below = weak.Make(s), weak.Make(s.engine.(*memory.Engine))
	})
	runtime.GC()
	if closed.Value() != nil || below.Value() != nil {
		t.Error("a store that was closed is still there")
	}
}

func TestParsedIsBounded(t *testing.T) {
	t.Parallel()
	p := parsed{limit: 100 << 10}
	m, err := message.Parse(strings.NewReader("Subject: "+strings.Repeat("x", 10<<10)+"\r\n\r\n"), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	ids := make([]mail.ID, 50)
	for i := range ids {
		ids[i] = mail.NewID(time.Now())
		p.put(ids[i], m)
		p.put(ids[i], m)
		if p.get(ids[0]) == nil {
			t.Fatal("what is used all the time was dropped")
		}
		if p.bytes > p.limit || p.order.Len() != len(p.all) {
			t.Fatalf("%d octets in %d messages", p.bytes, len(p.all))
		}
	}
	if p.get(ids[49]) != m || p.get(ids[1]) != nil {
		t.Error("not the longest unused went")
	}
	large := parsed{limit: 1 << 10}
	large.put(ids[0], m)
	if large.get(ids[0]) != nil {
		t.Error("one message took more than a quarter")
	}
}
