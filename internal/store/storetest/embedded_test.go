package storetest_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"plic/internal/store/engine"
	"plic/internal/store/engine/embedded"
	"plic/internal/store/storetest"
	"plic/internal/vfs"
)

func embeddedPlace(t testing.TB) storetest.Place {
	fs := vfs.NewMemory()
	return func() engine.Engine { return openEmbedded(t, fs) }
}

func openEmbedded(t testing.TB, fs vfs.FS) engine.Engine {
	t.Helper()
	e, err := embedded.Open(t.Context(), embedded.Options{FS: fs, Dir: "store", Ballast: -1, Reserve: -1, Cache: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEmbedded(t *testing.T) { storetest.Run(t, embeddedPlace) }

// losing is a file system in memory that loses what was not synced.
type losing struct {
	t  *testing.T
	fs *vfs.Memory
}

func (l *losing) Open() engine.Engine { return openEmbedded(l.t, l.fs) }

func (l *losing) Crash(random *rand.Rand) {
	l.fs = l.fs.CrashClone(vfs.CrashConfig{UnsyncedDataPercent: random.IntN(4) * 33, RNG: random})
}

func TestCrashes(t *testing.T) {
	seeds, cycles := 4, 8
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			storetest.RunCrash(t, uint64(seed), cycles, &losing{t: t, fs: vfs.NewMemory()})
		})
	}
}

// failing is losing, and a write of it may fail.
type failing struct {
	losing
	left atomic.Int64 // writes until one fails; 0 and below: none
	err  error
}

func (f *failing) Open() engine.Engine {
	return openEmbedded(f.t, errorfs.Wrap(f.fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && f.left.Add(-1) == 0 {
			return &os.PathError{Op: "write", Path: op.Path, Err: f.err}
		}
		return nil
	})))
}

func (f *failing) FailAt(n int, err error) {
	f.err = err
	f.left.Store(int64(n))
}

func (f *failing) Failed() bool { return f.left.Load() <= 0 }

func TestFaults(t *testing.T) {
	step := 3
	if testing.Short() {
		step = 20
	}
	for _, err := range []error{syscall.EIO, syscall.ENOSPC} {
		t.Run(err.Error(), func(t *testing.T) {
			t.Parallel()
			for n := 1; n < 1000; n += step {
				place := &failing{losing: losing{t: t, fs: vfs.NewMemory()}}
				if !storetest.RunFault(t, uint64(n), n, err, place) {
					t.Logf("%d writes failed in turn", n)
					return
				}
			}
		})
	}
}

// BenchmarkEmbedded is on the real disk, in TMPDIR.
func BenchmarkEmbedded(b *testing.B) {
	storetest.Bench(b, func(b testing.TB) storetest.Place {
		dir := b.TempDir()
		return func() engine.Engine {
			e, err := embedded.Open(b.Context(), embedded.Options{Dir: dir, Ballast: -1})
			if err != nil {
				b.Fatal(err)
			}
			return e
		}
	})
}

func openEmbeddedIn(t testing.TB, dir string) engine.Engine {
	t.Helper()
	e, err := embedded.Open(t.Context(), embedded.Options{Dir: dir, Ballast: -1, Reserve: -1, Cache: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	return e
}
