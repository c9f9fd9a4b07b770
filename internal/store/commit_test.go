package store

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"plic/internal/store/engine"
	"plic/internal/store/memory"
)

// TestPublishOnlyForward: commits come back in any order, but what is visible
// goes on, and an index that is there stays.
func TestPublishOnlyForward(t *testing.T) {
	t.Parallel()
	m := testMailbox(t, testStore(t, Options{}), "ann", "INBOX")
	snap := &Snapshot{}
	at := func(seq uint64, snap *Snapshot) *state { return &state{seq: seq, snap: snap} }
	for _, step := range []struct {
		next *state
		seq  uint64
		snap *Snapshot
	}{
		{at(12, nil), 12, nil},
		{at(11, nil), 12, nil},
		{at(11, snap), 12, nil},
		{at(12, snap), 12, snap},
		{at(12, nil), 12, snap},
		{at(10, nil), 12, snap},
		{at(13, nil), 13, nil},
	} {
		m.publish(step.next)
		if got := m.visible.Load(); got.seq != step.seq || got.snap != step.snap {
			t.Fatalf("after %+v: %+v", step.next, got)
		}
	}
	a := m.account
	newer, older := &tree{seq: 12}, &tree{seq: 11}
	a.publish(newer)
	a.publish(older)
	if a.visible.Load() != newer {
		t.Error("an older tree became visible")
	}
}

// TestLockOrder: accounts are locked by rising ID, each once, however they are
// given.
func TestLockOrder(t *testing.T) {
	t.Parallel()
	s := testStore(t, Options{})
	var all []*Account
	for _, name := range []string{"x", "a", "longer", "b"} {
		all = append(all, testMailbox(t, s, name, "INBOX").account)
	}
	for range 2 {
		c, err := s.lock(append(slices.Clone(all), all...)...)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.accounts) != len(all) || !slices.IsSortedFunc(c.accounts, func(a, b *Account) int { return int(int64(a.id) - int64(b.id)) }) {
			t.Errorf("locked in the order %v", c.accounts)
		}
		c.unlock()
		c.unlock()
		slices.Reverse(all)
	}
}

// TestForget: a note that an account was collected comes late, when it is open
// again.
func TestForget(t *testing.T) {
	t.Parallel()
	s := testStore(t, Options{})
	m := testMailbox(t, s, "ann", "INBOX")
	s.forget("ann")
	if testMailbox(t, s, "ann", "INBOX") != m {
		t.Error("an account that is open was opened again")
	}
}

// TestDraftIsParsedOnce: also over several commits.
func TestDraftIsParsedOnce(t *testing.T) {
	t.Parallel()
	s := testStore(t, Options{})
	inbox, archive := testMailbox(t, s, "ann", "INBOX"), testMailbox(t, s, "bob", "Archive")
	d, err := s.NewDraft(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Write([]byte("Subject: x\r\n\r\nx\r\n")); err != nil {
		t.Fatal(err)
	}
	first, err := d.Message()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second commit shares the body that the first has taken
		for _, m := range []*Mailbox{inbox, archive} {
			if _, err := m.Append(t.Context(), Incoming{Draft: d}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if again, err := d.Message(); again != first || err != nil {
		t.Errorf("analysed again: %v", err)
	}
	if e := testSnapshot(t, archive).At(1); e.Body != d.ID() || e.Size != d.Size() {
		t.Errorf("entry %+v", e)
	}
}

// TestAccountIDsRise: also when the clock goes back, and in another process.
func TestAccountIDsRise(t *testing.T) {
	t.Parallel()
	e := memory.New(time.Now)
	now := time.Now()
	clock := func() time.Time { now = now.Add(-time.Hour); return now }
	var last engine.AccountID
	for process := range 3 {
		s := New(Options{Engine: e, Now: clock})
		for i := range 3 {
			id := testMailbox(t, s, fmt.Sprint(process, i), "INBOX").account.id
			if id <= last {
				t.Fatalf("account ID %d after %d", id, last)
			}
			last = id
		}
	}
}
