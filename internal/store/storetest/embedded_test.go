package storetest_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

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
