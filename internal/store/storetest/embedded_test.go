package storetest_test

import (
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

func TestCrashes(t *testing.T) { crashes(t, openEmbedded, 4, 8) }

func TestFaults(t *testing.T) { faults(t, openEmbedded, 3, 20) }

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
