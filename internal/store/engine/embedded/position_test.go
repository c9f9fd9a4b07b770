package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// TestTablesHoldWhatTheySay: whenever power fails, the tables alone are what commits have
// left up to the one whose number they have, whole, and none after it: commits small and
// large, with ranges, flushes and merges among them.
func TestTablesHoldWhatTheySay(t *testing.T) {
	t.Parallel()
	for seed := range uint64(3) {
		r := newRig(t)
		r.close()
		r.o.memTable = 4 << 10 << (seed % 3)
		rng := rand.New(rand.NewPCG(seed, 1))
		left := map[uint64]string{} // by commits up to a number
		all, err := cuts(r.fs, int(seed)*50, rand.New(rand.NewPCG(seed, 2)), func(on vfs.FS) (err error) {
			r.o.FS = on
			r.open()
			notes := map[string]int{}
			left[r.e.log.Next()-1] = ""
			for range 60 {
				left[r.e.log.Next()] = r.change(rng, notes)
				switch rng.IntN(20) {
				case 0:
					err = r.e.flush(t.Context())
				case 1:
					err = r.e.mergeTables(t.Context(), r.e.commits.Load())
				case 2:
					err = r.e.Snapshot(t.Context(), func(string) error { return nil })
				}
				if err != nil {
					return err
				}
			}
			return r.e.Close()
		})
		r.must(err)
		numbers := map[uint64]bool{}
		for _, c := range all {
			n, got := r.tables(c.disk)
			numbers[n] = true
			if want := left[n]; got != want {
				t.Fatalf("seed %d, before %s, commit %d:\n%s\nwant\n%s", seed, c.op, n, got, want)
			}
		}
		if len(numbers) < 10 {
			t.Errorf("seed %d: %d numbers", seed, len(numbers))
		}
	}
}

// change commits something, and says what is left then.
func (r *rig) change(rng *rand.Rand, notes map[string]int) string {
	r.Helper()
	b := new(engine.Batch)
	if rng.IntN(10) == 0 {
		prefix := fmt.Sprint("n", rng.IntN(4))
		b.PutNotes = append(b.PutNotes, engine.Note{Key: prefix, All: true})
		maps.DeleteFunc(notes, func(key string, _ int) bool { return strings.HasPrefix(key, prefix) })
	}
	for range 1 + rng.IntN(4) {
		key, size := fmt.Sprintf("n%02d", rng.IntN(40)), []int{1, 100, 1000, 1900, 2100, 5000, 20_000}[rng.IntN(7)]+rng.IntN(50)
		b.PutNotes = append(b.PutNotes, engine.Note{Key: key, Value: content(size, size)})
		notes[key] = size
	}
	apply(r, r.e, b)
	var out strings.Builder
	for _, key := range slices.Sorted(maps.Keys(notes)) {
		fmt.Fprintf(&out, "%s %d\n", key, notes[key])
	}
	return out.String()
}

// tables says what the tables of a store hold, without its log.
func (r *rig) tables(disk *vfs.Memory) (n uint64, notes string) {
	r.Helper()
	db, err := pebble.Open("/store/records", &pebble.Options{FS: clone(disk), FormatMajorVersion: formatVersion, DisableWAL: true, Logger: logger{r.e}})
	if errors.Is(err, pebble.ErrDBDoesNotExist) {
		return 0, ""
	}
	r.must(err)
	defer db.Close()
	n, err = r.e.durable(db)
	r.must(err)
	from := noteKey(0, 0, "")
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: after(from)})
	r.must(err)
	defer it.Close()
	var out strings.Builder
	for ok := it.First(); ok; ok = it.Next() {
		note, err := decodeNote(it.Key(), it.Value())
		if size := len(note.Value); err != nil || !bytes.Equal(note.Value, content(size, size)) {
			r.Fatalf("%q: %d octets, %v", it.Key(), size, err)
		}
		fmt.Fprintf(&out, "%s %d\n", note.Key, len(note.Value))
	}
	r.must(it.Error())
	return n, out.String()
}
