package store

import (
	"math/rand/v2"
	"testing"

	"plic/internal/store/engine"
)

// TestCursor finds what Get finds, in whatever order it is asked for.
func TestCursor(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, chunkSize, 3*chunkSize + 7} {
		var b builder
		uid := UID(0)
		for range n {
			uid += 1 + UID(random.IntN(3))
			b.add(&Entry{UID: uid, Size: int64(uid)})
		}
		s := b.snapshot(&engine.Mailbox{UIDNext: uid + 1})
		at := s.Cursor()
		check := func(uid UID) {
			t.Helper()
			want, there := s.Get(uid)
			if got, ok := at.Get(uid); got != want || ok != there {
				t.Fatalf("of %d messages, UID %d: %+v, %v, want %+v, %v", n, uid, got, ok, want, there)
			}
		}
		for i := range uid + 3 {
			check(i)
		}
		for range 1000 {
			check(UID(random.IntN(int(uid) + 5)))
		}
	}
}
