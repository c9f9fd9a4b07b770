package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// growth makes snapshots one after the other beside a plain list.
type growth struct {
	rec     engine.Mailbox
	snap    *Snapshot
	entries []Entry
}

func newGrowth() *growth {
	g := &growth{rec: engine.Mailbox{UIDNext: 1, UIDValidity: 1, HighestModSeq: 1}}
	var b builder
	g.snap = b.snapshot(&g.rec)
	return g
}

func (g *growth) change(add int, update, expunge []UID, f engine.Flags) {
	g.rec.HighestModSeq++
	c := engine.MailboxChange{Expunge: expunge}
	for i := range g.entries {
		e := &g.entries[i]
		if slices.Contains(update, e.UID) && !slices.Contains(expunge, e.UID) {
			e.Flags, e.ModSeq = f, g.rec.HighestModSeq
			c.Update = append(c.Update, *e)
		}
	}
	g.entries = slices.DeleteFunc(slices.Clone(g.entries), func(e Entry) bool { return slices.Contains(expunge, e.UID) })
	for range add {
		e := Entry{UID: g.rec.UIDNext, ModSeq: g.rec.HighestModSeq, Flags: f, Size: int64(g.rec.UIDNext) * 3,
			Internal: 5, Saved: 6, Body: mail.ID{1, byte(g.rec.UIDNext)}}
		g.rec.UIDNext += UID(1 + add%3)
		c.Add = append(c.Add, engine.Message{Entry: e})
		g.entries = append(g.entries, e)
	}
	g.snap = g.snap.with(&g.rec, &c)
}

// random makes one change of a random kind.
func (g *growth) random(r *rand.Rand) {
	pick := func(n int) (out []UID) {
		if len(g.entries) == 0 {
			return nil
		}
		from := r.IntN(len(g.entries))
		for _, e := range g.entries[from:min(from+n, len(g.entries))] {
			if r.IntN(3) > 0 {
				out = append(out, e.UID)
			}
		}
		return out
	}
	f := engine.Flags(r.Uint64()) & (Seen | Deleted | Flagged)
	switch r.IntN(6) {
	case 0:
		g.change(1+r.IntN(1500), nil, nil, f)
	case 1:
		g.change(1, nil, nil, f)
	case 2:
		g.change(0, pick(20), nil, f)
	case 3:
		g.change(0, nil, pick(1+r.IntN(900)), f)
	case 4:
		g.change(0, nil, pick(3), f)
	default:
		g.change(r.IntN(4), pick(700), pick(40), f)
	}
}

func (g *growth) check(t *testing.T) {
	t.Helper()
	checkSnapshot(t, g.snap, g.entries)
}

func checkSnapshot(t *testing.T, s *Snapshot, want []Entry) {
	t.Helper()
	if s.Len() != len(want) {
		t.Fatalf("%d messages, want %d", s.Len(), len(want))
	}
	unseen, deleted, first := 0, 0, -1
	for i, e := range s.All() {
		if e != want[i] || s.At(i) != e {
			t.Fatalf("message %d: %+v, want %+v", i, e, want[i])
		}
		if at, ok := s.Find(e.UID); !ok || at != i {
			t.Fatalf("Find(%d) is %d, %v; want %d", e.UID, at, ok, i)
		}
		if at := s.Search(e.UID + 1); at != i+1 {
			t.Fatalf("Search(%d) is %d, want %d", e.UID+1, at, i+1)
		}
		if e.Flags&Seen == 0 {
			unseen++
			if first < 0 {
				first = i
			}
		}
		if e.Flags&Deleted != 0 {
			deleted++
		}
	}
	at, ok := s.FirstUnseen()
	if s.Unseen() != unseen || s.Deleted() != deleted || ok != (first >= 0) || ok && at != first {
		t.Fatalf("%d unseen from %d, %d deleted; want %d from %d, %d", s.Unseen(), at, s.Deleted(), unseen, first, deleted)
	}
}

// TestSnapshots changes a snapshot over and over; the ones before stay as they
// were, and Diff leads from any to any later one.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 1))
		g := newGrowth()
		type past struct {
			snap    *Snapshot
			entries []Entry
		}
		var old []past
		for range 40 {
			g.random(r)
			g.check(t)
			old = append(old, past{g.snap, slices.Clone(g.entries)})
		}
		for _, p := range old {
			checkSnapshot(t, p.snap, p.entries)
		}
		for range 50 {
			i := r.IntN(len(old))
			j := i + r.IntN(len(old)-i)
			checkDiff(t, old[i].entries, old[j].entries, Diff(old[i].snap, old[j].snap))
		}
		// One that was loaded anew shares nothing, and differs in nothing.
		var b builder
		for i := range g.entries {
			b.add(&g.entries[i])
		}
		loaded := b.snapshot(&g.rec)
		checkSnapshot(t, loaded, g.entries)
		if c := Diff(g.snap, loaded); len(c.Expunged)+len(c.Flagged) > 0 || c.Added != len(g.entries) {
			t.Fatalf("differs when loaded anew: %+v", c)
		}
	}
}

func checkDiff(t *testing.T, old, new []Entry, c Changes) {
	t.Helper()
	var view []Entry
	for _, e := range old {
		if i, gone := slices.BinarySearch(c.Expunged, e.UID); gone {
			if i > 0 && c.Expunged[i-1] >= e.UID {
				t.Fatal("expunged UIDs do not rise")
			}
			continue
		}
		if i := slices.IndexFunc(c.Flagged, func(f Entry) bool { return f.UID == e.UID }); i >= 0 {
			e = c.Flagged[i]
		}
		view = append(view, e)
	}
	if len(view) != c.Added {
		t.Fatalf("additions begin at %d, %d messages are left", c.Added, len(view))
	}
	view = append(view, new[c.Added:]...)
	if !slices.Equal(view, new) {
		t.Fatal("the difference does not lead from the old snapshot to the new")
	}
}

// TestDiffSkips: what a change did not touch is shared, and not looked at.
func TestDiffSkips(t *testing.T) {
	t.Parallel()
	g := newGrowth()
	g.change(10*chunkSize, nil, nil, 0)
	before := g.snap
	g.change(0, []UID{g.entries[5*chunkSize].UID}, nil, Seen)
	shared := 0
	for i, c := range g.snap.chunks {
		if c == before.chunks[i] {
			shared++
		}
	}
	if shared != len(before.chunks)-1 {
		t.Errorf("%d of %d chunks are shared", shared, len(before.chunks))
	}
	if c := Diff(before, g.snap); len(c.Flagged) != 1 || c.Flagged[0].UID != g.entries[5*chunkSize].UID {
		t.Errorf("difference %+v", c)
	}
}

// TestChunksDoNotWither expunges almost all of a large mailbox.
func TestChunksDoNotWither(t *testing.T) {
	t.Parallel()
	g := newGrowth()
	g.change(20*chunkSize, nil, nil, 0)
	var gone []UID
	for i, e := range g.entries {
		if i%100 != 0 {
			gone = append(gone, e.UID)
		}
	}
	g.change(0, nil, gone, 0)
	g.check(t)
	if n := len(g.snap.chunks); n > 2 {
		t.Errorf("%d chunks for %d messages", n, g.snap.Len())
	}
}

func TestEmptySnapshot(t *testing.T) {
	t.Parallel()
	s := newGrowth().snap
	checkSnapshot(t, s, nil)
	if i, ok := s.Find(1); i != 0 || ok {
		t.Errorf("Find in nothing: %d, %v", i, ok)
	}
	for range s.Range(-3, 7) {
		t.Error("a message in an empty snapshot")
	}
	if c := Diff(&Snapshot{}, s); fmt.Sprint(c) != "{[] [] 0}" {
		t.Errorf("difference of nothing: %+v", c)
	}
}

// What came later is added to a snapshot, and what is known of others; no other
// snapshot is changed by it.
func TestBehind(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(7, 7))
	for range 50 {
		g := newGrowth()
		g.change(r.IntN(1200), nil, nil, Seen)
		for range r.IntN(4) {
			g.random(r)
		}
		old, had := g.snap, slices.Clone(g.entries)
		for range 1 + r.IntN(6) {
			g.random(r)
		}
		known, want := Diff(old, g.snap).Flagged, slices.Clone(had)
		for i := range want {
			for _, e := range known {
				if e.UID == want[i].UID {
					want[i] = e
				}
			}
		}
		checkSnapshot(t, old.Behind(known, nil), want)
		for _, e := range g.entries {
			if e.UID >= old.UIDNext() {
				want = append(want, e)
			}
		}
		x := old.Behind(known, g.snap)
		before, now := g.snap, slices.Clone(g.entries)
		g.change(3, nil, nil, Deleted)
		checkSnapshot(t, x, want)
		checkSnapshot(t, old, had)
		checkSnapshot(t, before, now)
		g.check(t)
		if x.HighestModSeq() != old.HighestModSeq() || x.UIDNext() != before.UIDNext() {
			t.Fatalf("mod-sequence %d of %d, next UID %d of %d", x.HighestModSeq(), old.HighestModSeq(), x.UIDNext(), before.UIDNext())
		}
		if d := Diff(x, before); d.Added != before.Len() || len(d.Flagged) > 0 {
			t.Fatalf("%d of %d messages are in both, %d are other than they were", d.Added, before.Len(), len(d.Flagged))
		}
	}
}
