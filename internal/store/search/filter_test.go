package search

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"plic/internal/casemap"
	"plic/internal/store"
)

// noise is like the signature of a message.
func noise(r *rand.Rand, n int) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	b := make([]byte, n)
	for i := range b {
		b[i] = digits[r.IntN(len(digits))]
	}
	return string(b)
}

// noisy is a mailbox whose headers are full of what is in no other message.
func noisy(t *testing.T) (*house, *Index, *rand.Rand) {
	t.Helper()
	h := newHouse(t)
	r := rand.New(rand.NewPCG(3, 4))
	texts := make([]string, 200)
	for i := range texts {
		texts[i] = fmt.Sprintf("Subject: letter\r\nDKIM-Signature: b=%s\r\n\r\nText xylophon%s %s\r\n", noise(r, 2000), strings.Repeat("e", i%2), noise(r, 200))
	}
	h.put(texts...)
	x := New(Options{Wait: -1, Least: 1, dictBlock: 4 << 10})
	if err := x.updater(h.box, true).refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	return h, New(Options{Wait: -1, Least: 1}), r
}

// dicts is how many blocks of dictionaries are in memory, of how many there are.
func dicts(t *testing.T, x *Index, mb *store.Mailbox) (read, all int) {
	t.Helper()
	m, err := x.read(context.Background(), mb)
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.Segments {
		s := &m.Segments[i]
		for part, v := range s.Parts {
			all += v.Dicts
			for n := range v.Dicts {
				if x.cache.get(s.dictKey(part, n)) != nil {
					read++
				}
			}
		}
	}
	return read, all
}

// A word costs few of the blocks of a dictionary, whatever else is in it, and is
// found wherever it is.
func TestFilterLeavesBlocksAlone(t *testing.T) {
	t.Parallel()
	h, x, r := noisy(t)
	if n := h.check(x, "xylophone", Header|Body); n != 200 {
		t.Errorf("the index knows %d of 200 messages", n)
	}
	read, all := dicts(t, x, h.box)
	if all < 100 || read > all/20+3 { // the dictionary of the names and subjects, and of bodies, may be small
		t.Errorf("%d of %d blocks were read", read, all)
	}
	for range 60 {
		e := h.snapshot().At(r.IntN(200))
		msg, err := h.box.Open(context.Background(), e)
		if err != nil {
			t.Fatal(err)
		}
		text := make([]byte, msg.Size())
		msg.ReadAt(text, 0)
		msg.Close()
		from := r.IntN(len(text) - 20)
		h.check(x, strings.Map(func(c rune) rune {
			if c < ' ' {
				return ' '
			}
			return c
		}, string(text[from:from+1+r.IntN(19)])), Header|Body)
	}
}

// Groups of blocks have filters of their own, and the last may be small.
func TestFilterOfManyBlocks(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	for _, blocks := range []int{filterLeast - 1, filterLeast, 9, filterGroup - 1, filterGroup, filterGroup + 1, 2*filterGroup + 77} {
		notes := map[string][]byte{}
		w := segmentWriter{block: 40, docs: blocks, put: func(key string, value []byte) (int, error) {
			notes[key] = append([]byte{}, value...)
			return len(value), nil
		}}
		word := func(n int) []byte {
			head := fmt.Sprintf("%06d", n)
			return casemap.Fold(head + strings.NewReplacer("+", "", "/", "").Replace(noise(rand.New(rand.NewPCG(6, uint64(n))), 60)))
		}
		for n := range blocks {
			if err := w.add(word(n), Header, []posting{{uint32(n), Header}}); err != nil {
				t.Fatal(err)
			}
		}
		seg, err := w.end(make([]store.UID, blocks))
		if err != nil {
			t.Fatal(err)
		}
		v := seg.Parts[2]
		if v.Dicts != blocks || v.Filters != filterNotes(blocks) || blocks < filterLeast != (v.Filters == 0) {
			t.Fatalf("%d blocks: %+v", blocks, v)
		}
		s := &segment{Segment: seg, filters: func(_ context.Context, part, n int) ([]byte, error) {
			return notes[seg.filterKey(part, n)], nil
		}}
		for _, n := range []int{0, 1, blocks / 2, blocks - 1} {
			got, err := s.blocks(ctx, 2, 0, blocks, word(n)[6:16])
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, b := range got {
				found = found || b == n
			}
			if !found || v.Filters > 0 && len(got) > blocks/2+8 {
				t.Errorf("%d blocks: %q is sought in %d of them, its own among them: %v", blocks, word(n)[6:16], len(got), found)
			}
		}
	}
}

// An index of the version before is not asked, and made anew.
func TestIndexOfVersionBefore(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	h, x := indexed(t)
	now := fmt.Appendf(nil, `{"version":%d,`, version)
	b, err := h.box.Notes().Get(ctx, manifestKey)
	if err != nil || !bytes.HasPrefix(b, now) {
		t.Fatalf("%.20s, %v", b, err)
	}
	b = append(fmt.Appendf(nil, `{"version":%d,`, version-1), b[len(now):]...)
	if err := h.box.Notes().Put(ctx, manifestKey, b); err != nil {
		t.Fatal(err)
	}
	if n := h.check(x, "42", Header|Body); n != 0 {
		t.Errorf("the index knows %d messages", n)
	}
	if err := x.updater(h.box, true).refresh(ctx); err != nil {
		t.Fatal(err)
	}
	if n := h.check(x, "42", Header|Body); n != h.snapshot().Len() {
		t.Errorf("the index knows %d messages when it was made anew", n)
	}
}
