package embedded

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// cut is a disk as a crash left it, and before which operation.
type cut struct {
	disk *vfs.Memory
	op   string
}

// cuts gives what a crash before each write of something would leave.
func cuts(disk *vfs.Memory, percent int, rng *rand.Rand, do func(on vfs.FS) error) (all []cut, err error) {
	var mu sync.Mutex
	on := true
	err = do(errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		if on && op.Kind != errorfs.OpFileClose && op.Kind.ReadOrWrite() != errorfs.OpIsRead {
			all = append(all, cut{disk.CrashClone(vfs.CrashConfig{UnsyncedDataPercent: percent, RNG: rng}), fmt.Sprint(op.Kind, " ", op.Path)})
		}
		return nil
	})))
	mu.Lock()
	defer mu.Unlock()
	on = false
	return all, err
}

// clone is the same disk once more.
func clone(disk *vfs.Memory) *vfs.Memory {
	return disk.CrashClone(vfs.CrashConfig{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
}

// restart does something that is cut short at each of its writes, and some of the times
// after that once more, and so on; at last it is done, and look says what is there.
func restart(t *testing.T, disk *vfs.Memory, do func(on vfs.FS) error, look func(on *vfs.Memory)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 7))
	starts := 0
	var from func(disk *vfs.Memory, how ...string)
	from = func(disk *vfs.Memory, how ...string) {
		starts++
		all, err := cuts(disk, []int{0, 50, 100}[rng.IntN(3)], rng, do)
		if err == nil {
			look(disk)
		}
		if err != nil || t.Failed() {
			t.Fatalf("cut short before %q: %v", how, err)
		}
		some := []int{25, 2, 1, 0}[len(how)]
		for _, c := range all {
			if rng.IntN(len(all)) < some {
				from(c.disk, append(slices.Clone(how), c.op)...)
			}
		}
	}
	from(clone(disk))
	t.Logf("%d starts", starts)
}

// TestReplayCutShort: a start that is cut short as it applies the log and removes it, also
// twice and thrice, is gone through again by the next, with commits large and small.
func TestReplayCutShort(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	var sizes []int
	for n := range 40 {
		sizes = append(sizes, []int{10, 300, 9 << 10, 20}[n%4])
	}
	r.putNotes(sizes)
	disk := r.crash(0, 1)
	r.close()
	r.o.memTable = 8 << 10
	do := func(on vfs.FS) error {
		o := r.o
		o.FS = on
		e, err := Open(t.Context(), o)
		if err != nil {
			return err
		}
		for n := range sizes { // nothing is asked of the disk that is not there for good
			if v, err := e.Note(t.Context(), 0, 0, fmt.Sprint("n", n)); err != nil || len(v) != sizes[n] {
				return errors.Join(fmt.Errorf("note %d: %d octets", n, len(v)), err, e.Close())
			}
		}
		return e.Close()
	}
	restart(t, disk, do, func(on *vfs.Memory) {
		r.onDisk(clone(on))
		r.open()
		r.hasNotes(sizes)
		r.close()
	})
}

// TestOldLogsCutShort: nor does a start that takes over the logs of format 4.
func TestOldLogsCutShort(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.must(r.e.db.Flush())
	r.close()
	for _, name := range r.logs() {
		r.must(r.fs.Remove(name))
	}
	db, err := pebble.Open("/store/records", &pebble.Options{FS: r.fs, FormatMajorVersion: formatVersion, MemTableSize: 8 << 10})
	r.must(err)
	r.must(db.Set([]byte{kindFormat}, encodeNumber([]byte{kindFormat}, 4), pebble.NoSync))
	r.must(db.Delete(positionKey, pebble.NoSync))
	var sizes []int
	for n := range 30 {
		sizes = append(sizes, []int{10, 300, 5 << 10}[n%3])
		key := noteKey(0, 0, fmt.Sprint("n", n))
		r.must(db.Set(key, encodeNote(key, content(n, sizes[n])), pebble.Sync))
	}
	disk := r.crash(0, 1)
	r.must(db.Close())
	open := func(on vfs.FS) error {
		o := r.o
		o.FS = on
		e, err := Open(t.Context(), o)
		if err != nil {
			return err
		}
		return e.Close()
	}
	restart(t, disk, open, func(on *vfs.Memory) {
		r.onDisk(clone(on))
		r.open()
		r.hasNotes(sizes)
		r.close()
		if left, err := r.e.oldLogs(); err != nil || len(left) > 0 {
			t.Errorf("%v is still there, %v", left, err)
		}
	})
}

// TestRepairCutShort: what makes records anew, or a log, and is cut short, is done by the
// next, and loses nothing but what the damage has taken.
func TestRepairCutShort(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"log", "manifest"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			var sizes []int
			for n := range 40 {
				sizes = append(sizes, []int{10, 300, 9 << 10, 20}[n%4])
			}
			r.putNotes(sizes[:20])
			r.must(r.e.db.Flush())
			r.putNotes(sizes)
			disk := r.crash(0, 1)
			r.close()
			r.onDisk(disk)
			lost := -1
			switch what {
			case "log":
				name := r.logs()[0]
				octets := r.load(name)
				lost = 25
				octets[strings.Index(string(octets), string(content(lost, sizes[lost])))] ^= 1
				r.save(name, octets)
			case "manifest":
				for _, name := range r.list("/store/records", "") {
					if strings.Contains(name, "MANIFEST-") {
						r.must(r.fs.Remove(name))
					}
				}
			}
			r.must(vfs.SyncDir(r.fs, "/store/records"))
			do := func(on vfs.FS) error {
				o := r.o
				o.FS = on
				e, err := Open(t.Context(), o)
				if errors.Is(err, ErrRecords) {
					if _, err = Rebuild(t.Context(), o, "/aside"); err != nil {
						return fmt.Errorf("rebuild: %w", err)
					}
					e, err = Open(t.Context(), o)
				}
				if err != nil {
					return err
				}
				return e.Close()
			}
			restart(t, r.fs, do, func(on *vfs.Memory) {
				r.onDisk(clone(on))
				r.open()
				for n, size := range sizes {
					v, err := r.e.Note(t.Context(), 0, 0, fmt.Sprint("n", n))
					if gone := n == lost; gone != errors.Is(err, engine.ErrNotFound) || !gone && len(v) != size {
						t.Errorf("note %d: %d octets, %v", n, len(v), err)
					}
				}
				if n := len(r.problems()); (n == 0) != (lost < 0) {
					t.Errorf("%d problems: %v", n, slices.Collect(slices.Values(r.problems())))
				}
				r.close()
			})
		})
	}
}
