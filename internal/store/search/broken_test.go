package search

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/store/memory"
)

// indexed is a mailbox with an index of a few segments.
func indexed(t testing.TB) (*house, *Index) {
	t.Helper()
	h := newHouse(t)
	x := New(Options{Wait: -1, Least: 1})
	r := rand.New(rand.NewPCG(5, 5))
	for _, n := range []int{40, 10, 2} {
		texts := make([]string, n)
		for i := range texts {
			texts[i] = mailText(r)
		}
		h.put(texts...)
		if err := x.updater(h.box, true).refresh(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	return h, x
}

// Whatever is broken in an index, answers stay right, and it is made anew.
func TestBrokenIndexIsMadeAnew(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	breaks := map[string]func(key string, value []byte) []byte{
		"lost":    func(string, []byte) []byte { return nil },
		"cut":     func(_ string, v []byte) []byte { return v[:len(v)/2] },
		"empty":   func(string, []byte) []byte { return []byte{} },
		"garbage": func(_ string, v []byte) []byte { return bytes.Repeat([]byte{0xff}, len(v)) },
		"longer":  func(_ string, v []byte) []byte { return append(slices.Clone(v), 1, 2, 3) },
		"manifest": func(string, []byte) []byte {
			return []byte(`{"version":4,"segments":[{"id":"x","low":9,"high":3,"docs":-1}]}`)
		},
	}
	for name, change := range breaks {
		for _, part := range []string{"/d1", "/l1", "/f1", "/head", "index"} {
			if name == "manifest" && part != "index" {
				continue
			}
			t.Run(name+" "+part, func(t *testing.T) {
				t.Parallel()
				h, _ := indexed(t)
				keys, err := h.box.Notes().All(ctx, notes)
				if err != nil {
					t.Fatal(err)
				}
				for _, n := range keys {
					if strings.Contains(n.Key, part) {
						if err := h.box.Notes().Put(ctx, n.Key, change(n.Key, n.Value)); err != nil {
							t.Fatal(err)
						}
						break
					}
				}
				x := New(Options{Wait: -1, Least: 1})
				seek := func() (known int) {
					for _, w := range vocabulary[:30] {
						known += h.check(x, w, Header|Body)
						h.check(x, w, Subject)
					}
					return known
				}
				seek()
				x.Changed(h.box) // as who searches says when little is known
				runUntil(t, x, func() bool { return seek() > 0 })
				for range 3 { // what was left is taken away with later changes
					h.put("Subject: more\r\n\r\n")
					if err := x.updater(h.box, false).refresh(ctx); err != nil {
						t.Fatal(err)
					}
				}
				if st, err := x.Status(ctx, h.box); err != nil || st.Indexed != 55 {
					t.Errorf("in the end %+v, %v", st, err)
				}
			})
		}
	}
}

// runUntil runs the background until something is so.
func runUntil(t *testing.T, x *Index, so func() bool) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); x.Run(ctx) }()
	until := time.Now().Add(time.Minute)
	ok := so()
	for !ok && time.Now().Before(until) {
		ok = so()
	}
	stop()
	if <-done; !ok {
		t.Fatal("the index was not made anew")
	}
}

// A build that ends half way leaves nothing behind, and the next makes up for it, or
// goes on with what was gathered.
func TestInterruptedBuild(t *testing.T) {
	t.Parallel()
	for stopAt := range 24 {
		h := newHouse(t)
		r := rand.New(rand.NewPCG(6, 6))
		texts := make([]string, 150)
		for i := range texts {
			texts[i] = mailText(r)
		}
		h.put(texts...)
		x := New(Options{Wait: -1, Least: 1})
		u, next := x.updater(h.box, true), x.updater(h.box, true)
		if stopAt%2 > 0 {
			next = u
		}
		ctx := &fading{Context: context.Background(), left: 5 * stopAt * stopAt}
		if err := u.refresh(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if err := next.refresh(context.Background()); err != nil {
			t.Fatal(err)
		}
		if n := h.check(x, "42", Header|Body); n != 150 {
			t.Errorf("stopped at %d: the index knows %d of 150 messages", stopAt, n)
		}
		m, err := x.read(context.Background(), h.box)
		if err != nil {
			t.Fatal(err)
		}
		want := 1 // the manifest
		for i := range m.Segments {
			want += len(m.Segments[i].keys())
		}
		if keys, err := h.box.Notes().Keys(context.Background(), notes); err != nil || len(keys) != want {
			t.Errorf("stopped at %d: %d notes, want %d, %v", stopAt, len(keys), want, err)
		}
	}
}

// fading is a context that ends after it was looked at some times.
type fading struct {
	context.Context
	left int
}

func (f *fading) Err() error {
	if f.left--; f.left < 0 {
		return context.Canceled
	}
	return nil
}

// cramped is an engine that has room for nothing that mail can do without.
type cramped struct {
	*memory.Engine
	full atomic.Bool
}

func (c *cramped) Room(octets int64) error {
	if c.full.Load() {
		return engine.ErrFull
	}
	return c.Engine.Room(octets)
}

// What is left of a full disk is for mail, not for indexes.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	e := &cramped{Engine: memory.New(time.Now)}
	h := newHouse(t)
	h.store = store.New(store.Options{Engine: e})
	t.Cleanup(func() { h.store.Close() })
	a, err := h.store.Account(ctx, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if h.box, err = a.Mailbox("INBOX"); err != nil {
		t.Fatal(err)
	}
	h.put("Subject: x\r\n\r\n", "Subject: y\r\n\r\n")
	x := New(Options{Wait: -1, Least: 1})
	e.full.Store(true)
	if err := x.updater(h.box, true).refresh(ctx); !errors.Is(err, engine.ErrFull) {
		t.Errorf("without room: %v", err)
	}
	if keys, err := h.box.Notes().Keys(ctx, notes); err != nil || len(keys) > 0 {
		t.Errorf("%q was written, %v", keys, err)
	}
	e.full.Store(false)
	if err := x.updater(h.box, true).refresh(ctx); err != nil || h.check(x, "x", Subject) != 2 {
		t.Errorf("with room again: %v", err)
	}
}

// An index goes with its mailbox.
func TestIndexGoesWithMailbox(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	h := newHouse(t)
	a := h.box.Account()
	if err := a.Create(ctx, "Work", ""); err != nil {
		t.Fatal(err)
	}
	mb, err := a.Mailbox("Work")
	if err != nil {
		t.Fatal(err)
	}
	h.box = mb
	h.put("Subject: x\r\n\r\n")
	x := New(Options{Wait: -1, Least: 1})
	if err := x.updater(mb, false).refresh(ctx); err != nil {
		t.Fatal(err)
	}
	if err := a.Delete(ctx, "Work"); err != nil {
		t.Fatal(err)
	}
	if err := x.updater(mb, true).refresh(ctx); err != nil {
		t.Errorf("update of a mailbox that is gone: %v", err)
	}
	if _, err := x.Open(ctx, mb); !errors.Is(err, store.ErrGone) {
		t.Errorf("the index of a mailbox that is gone: %v", err)
	}
}

// Lists of every density are read as they were written, and what follows them is
// left alone.
func TestPostings(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(8, 8))
	for range 3000 {
		docs := 1 + r.IntN(3000)
		var list, got []posting
		every := 1 + r.IntN(1+r.IntN(docs))
		for doc := range docs {
			if r.IntN(every) == 0 || doc == 0 && r.IntN(2) == 0 {
				list = append(list, posting{uint32(doc), []Class{Body, Body, Header, Header | From}[r.IntN(4)]})
			}
		}
		if len(list) == 0 {
			continue
		}
		b := appendPostings(nil, list, docs)
		for _, pass := range []Class{0, Body} {
			got = got[:0]
			err := eachGroup(b, docs, func(c Class) func(uint32) {
				if c == pass {
					return nil
				}
				return func(doc uint32) { got = append(got, posting{doc, c}) }
			})
			slices.SortFunc(got, func(a, b posting) int { return int(a.doc) - int(b.doc) })
			want := slices.DeleteFunc(slices.Clone(list), func(p posting) bool { return p.class == pass })
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("%d of %d messages: %v, %v, want %v", len(list), docs, got, err, want)
			}
		}
	}
}

// FuzzSegment reads whatever comes as the parts of a segment.
func FuzzSegment(f *testing.F) {
	w := segmentWriter{block: dictBlock, docs: 50}
	kept := map[string][]byte{}
	w.put = func(key string, value []byte) (int, error) { kept[key] = bytes.Clone(value); return len(value), nil }
	for i := range 50 {
		list := []posting{{0, Body}, {uint32(1 + i%3), Body}, {uint32(5 + i/2), Body | Header}}[i%2:]
		if err := w.add(fmt.Appendf(nil, "WORD%03d", i), Body|Header, list); err != nil {
			f.Fatal(err)
		}
	}
	seg, err := w.end(make([]store.UID, 0, 50))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(kept[seg.dictKey(1, 0)], kept[seg.listKey(1, 0)], kept[seg.headKey()], 50, []byte("ORD"))
	f.Add([]byte{1, 0, 0, 0, 'X', '\n'}, []byte{3, 2, 0}, []byte{1, 2, 3}, 9, []byte("X"))
	f.Add([]byte{1, 0, 1, '\n', 'X', '\n'}, []byte{0x81, 2, 0}, []byte{1, 2, 3}, 9, []byte("X"))
	f.Add([]byte{}, []byte{0x80, 1, 0xff}, []byte{}, 8, []byte("\n"))
	f.Fuzz(func(t *testing.T, text, lists, head []byte, docs int, sought []byte) {
		docs = 1 + (docs&0x7fffffff)%5000
		s := segment{Segment: Segment{Docs: docs, Parts: [parts]volume{{Words: 1, Dicts: 1, Lists: int64(len(lists))}}}}
		if err := s.readHead(head); err != nil && !errors.Is(err, errBroken) {
			t.Fatal(err)
		}
		d, err := readDict(text, docs)
		if err != nil {
			return
		}
		s.uids, s.heads[0] = make([]store.UID, docs), [][]byte{{}}
		s.dict = func(context.Context, int, int) (*dict, error) { return d, nil }
		s.lists = func(_ context.Context, _, n int) ([]byte, error) { return lists[min(n*listBlock, len(lists)):], nil }
		for _, how := range []match{anywhere, atHead, atTail, whole} {
			parts, _ := pieces(sought)
			for _, p := range parts {
				docs, err := s.with(context.Background(), piece{how, p.text}, From|Body)
				if err != nil && !errors.Is(err, errBroken) {
					t.Fatal(err)
				}
				if err == nil && docs.count() > len(s.uids) {
					t.Fatalf("%d of %d messages found", docs.count(), len(s.uids))
				}
			}
		}
		next := s.all(context.Background(), 0)
		for range 100 {
			if word, _, err := next(); word == nil || err != nil {
				break
			}
		}
	})
}

// keys are those of all its notes.
func (s *Segment) keys() []string {
	keys := []string{s.headKey()}
	for p := range s.Parts {
		for n := range s.Parts[p].Dicts {
			keys = append(keys, s.dictKey(p, n))
		}
		for n := range s.Parts[p].listBlocks() {
			keys = append(keys, s.listKey(p, n))
		}
		for n := range s.Parts[p].Filters {
			keys = append(keys, s.filterKey(p, n))
		}
	}
	return keys
}
