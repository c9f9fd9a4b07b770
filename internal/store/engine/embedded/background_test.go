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

// TestBackgroundGoesOn: while a backup is made, or bodies are checked, which may take
// hours, segments are synced, indexes folded and logs let go of as ever.
func TestBackgroundGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e, err := Open(t.Context(), Options{
			FS: vfs.NewMemory(), Dir: "/store", Cache: 1 << 20, Ballast: -1, Reserve: -1, Uncompressed: true, memTable: 256 << 10, fold: 10,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		apply(t, e, &engine.Batch{Accounts: []engine.Account{{ID: 1, Name: "user", NextMailbox: 2}}})
		err = e.Snapshot(t.Context(), func(string) error {
			time.Sleep(2 * reclaimEvery) // there is something to reclaim, too
			for n := range engine.UID(settleBytes/bodyInMemory + 10) {
				w, err := e.NewBody(t.Context())
				if err != nil {
					return err
				}
				w.Write(make([]byte, bodyInMemory))
				apply(t, e, &engine.Batch{
					Mailboxes: []engine.MailboxChange{{
						Account: 1, Record: engine.Mailbox{ID: 1, Name: "INBOX", UIDNext: n + 2},
						Add: []engine.Message{{Entry: engine.Entry{UID: n + 1, ModSeq: engine.ModSeq(n + 1), Body: w.ID()}}},
					}},
					Bodies: []engine.BodyWriter{w},
				})
				time.Sleep(tidyEvery)
			}
			if n := e.segments.unsynced(); n > settleBytes {
				t.Errorf("%d octets of bodies are not synced", n)
			}
			if n := e.log.Size(); n > 4<<20 {
				t.Errorf("%d octets of logs are kept", n)
			}
			if all := e.folds.take(); len(all) > 0 {
				t.Errorf("%v are to be folded", all)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
