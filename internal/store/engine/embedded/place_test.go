package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// TestWrittenOnce: many small bodies of one batch are in their segment alone, and
// there over a crash; if the segment cannot be synced, there is no batch.
func TestWrittenOnce(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMemory()
	var broken atomic.Bool
	o := Options{
		FS: errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if op.Kind == errorfs.OpFileSync && broken.Load() && bytes.HasSuffix([]byte(op.Path), []byte(segmentSuffix)) {
				return syscall.EIO
			}
			return nil
		})),
		Dir: "/store", Cache: 1 << 20, Ballast: -1, Reserve: -1, manual: true, once: 10_000,
	}
	e, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { e.Close() }()
	apply := func(bodies int) ([]mail.ID, error) {
		b := &engine.Batch{}
		var ids []mail.ID
		for i := range bodies {
			w, err := e.NewBody(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(w, "body %d%0990d", i, i)
			b.Bodies, ids = append(b.Bodies, w), append(ids, w.ID())
			b.PutItems = append(b.PutItems, mail.Item{ID: w.ID(), Body: w.ID()})
		}
		ticket, err := e.Apply(b)
		if err == nil {
			err = ticket.Wait()
		}
		return ids, err
	}
	redo := func() (n int) {
		e.eachRecord(kindRedo, func(_, _ []byte) error { n++; return nil })
		return n
	}
	e.o.Uncompressed, e.packer.enc = true, nil
	few, err := apply(3)
	if n := redo(); err != nil || n != 3 {
		t.Fatalf("%d redo records of few bodies, %v; want 3", n, err)
	}
	many, err := apply(20)
	if n := redo(); err != nil || n != 0 {
		t.Fatalf("%d redo records after many bodies, %v; want 0", n, err)
	}
	after := o
	after.FS = disk.CrashClone(vfs.CrashConfig{})
	crashed, err := Open(t.Context(), after)
	if err != nil {
		t.Fatal(err)
	}
	defer crashed.Close()
	for _, id := range append(few, many...) {
		b, err := crashed.OpenBody(t.Context(), id)
		if err != nil || b.Size() < 900 {
			t.Errorf("body %s after a crash: %v", id, err)
		}
	}
	broken.Store(true)
	lost, err := apply(20)
	if !errors.Is(err, engine.ErrFailed) || !errors.Is(err, syscall.EIO) {
		t.Errorf("segment not synced: %v, want ErrFailed for EIO", err)
	}
	after.FS = disk.CrashClone(vfs.CrashConfig{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	again, err := Open(t.Context(), after)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if _, err := again.OpenBody(t.Context(), lost[0]); !errors.Is(err, engine.ErrNotFound) {
		t.Errorf("a body of the batch that failed: %v, want ErrNotFound", err)
	}
}

// TestRefsRise sorts references: by key, those of one key as they came.
func TestRefsRise(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	run := func(n int) (out []ref) {
		for range n {
			out = append(out, ref{key: refKey{byte(r.IntN(40))}, gone: r.IntN(2) == 0})
		}
		slices.SortStableFunc(out, compareRefs)
		return out
	}
	for n := range 200 {
		var list []ref
		for range 1 + n%4 { // as many runs
			list = append(list, run(r.IntN(30))...)
		}
		want := slices.Clone(list)
		slices.SortStableFunc(want, compareRefs)
		if got := rising(list); !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}
