package embedded

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"plic/internal/store/engine"
	"plic/internal/store/engine/embedded/wal"
	"plic/internal/vfs"
)

// TestFail breaks the sync of the log, or of a segment: who waited hears of it,
// the engine stops, and after that another one may open the directory.
func TestFail(t *testing.T) {
	t.Parallel()
	for _, what := range []string{wal.Suffix, segmentSuffix, "bodies"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			disk := vfs.NewMemory()
			var on atomic.Bool
			var syncs atomic.Int64
			failing := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
				sync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData
				if !on.Load() || !sync || len(op.Path) < len(what) || op.Path[len(op.Path)-len(what):] != what {
					return nil
				}
				syncs.Add(1)
				return syscall.EIO
			}))
			failed := make(chan error, 2)
			o := Options{
				FS: failing, Dir: "/store", Cache: 1 << 20, Ballast: -1, Reserve: -1, manual: true,
				OnFail: func(err error) { failed <- err },
			}
			e, err := Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Open(t.Context(), o); !errors.Is(err, ErrInUse) {
				t.Errorf("opened twice: %v, want ErrInUse", err)
			}
			w, err := e.NewBody(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			w.Write([]byte("body"))
			on.Store(true)
			ticket, err := e.Apply(&engine.Batch{Bodies: []engine.BodyWriter{w}})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(ticket.Wait(), e.Settle()); !errors.Is(err, engine.ErrFailed) || !errors.Is(err, syscall.EIO) {
				t.Errorf("failed sync: %v, want ErrFailed for EIO", err)
			}
			if err := <-failed; !errors.Is(err, engine.ErrFailed) {
				t.Errorf("OnFail: %v, want ErrFailed", err)
			}
			_, err = e.Apply(&engine.Batch{})
			for _, err := range []error{err, e.Room(0), e.Settle(), e.Reclaim(t.Context())} {
				if !errors.Is(err, engine.ErrFailed) {
					t.Errorf("after it: %v, want ErrFailed", err)
				}
			}
			if n := syncs.Load(); n != 1 {
				t.Errorf("%d syncs were tried, want 1", n)
			}
			if err := e.Close(); !errors.Is(err, engine.ErrFailed) {
				t.Errorf("Close: %v, want ErrFailed", err)
			}
			if len(failed) > 0 {
				t.Error("OnFail was called twice")
			}
			on.Store(false)
			if e, err = Open(t.Context(), o); err != nil {
				t.Fatal("open again:", err)
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}
