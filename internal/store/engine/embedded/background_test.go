package embedded

import (
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// TestSegmentsAreSyncedSeldom: a few small bodies cost no sync of their own for
// some time, many are on their way to the disk before they are synced.
func TestSegmentsAreSyncedSeldom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var syncs, pushes atomic.Int64
		fs := errorfs.Wrap(vfs.NewMemory(), errorfs.InjectorFunc(func(op errorfs.Op) error {
			if strings.HasSuffix(op.Path, segmentSuffix) {
				switch op.Kind {
				case errorfs.OpFileSync, errorfs.OpFileSyncData:
					syncs.Add(1)
				case errorfs.OpFileSyncTo:
					pushes.Add(1)
				}
			}
			return nil
		}))
		e, err := Open(t.Context(), Options{FS: fs, Dir: "/store", Cache: 1 << 20, Ballast: -1, Reserve: -1, Uncompressed: true})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		put := func(octets int) {
			t.Helper()
			w, err := e.NewBody(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			w.Write(make([]byte, octets))
			apply(t, e, &engine.Batch{Bodies: []engine.BodyWriter{w}})
		}
		want := func(when string, atLeast, atMost, push int64) {
			t.Helper()
			if n := syncs.Load(); n < atLeast || n > atMost {
				t.Errorf("%s: %d syncs, want %d to %d", when, n, atLeast, atMost)
			}
			if n := pushes.Load(); n < push {
				t.Errorf("%s: pushed %d times, want %d", when, n, push)
			}
		}
		for range 5 {
			put(1000)
			time.Sleep(time.Second)
		}
		want("a few bodies", 0, 0, 0)
		time.Sleep(settleEvery)
		want("later", 1, 1, 0)
		for range 60 {
			put(1000)
			time.Sleep(time.Minute)
		}
		want("one a minute for an hour", 6, 7, 0)
		syncs.Store(1)
		for range settleBytes/bodyInMemory + 2 {
			put(bodyInMemory)
			synctest.Wait()
		}
		want("many bodies", 2, 2, settleBytes/pushBytes-2)
	})
}
