package embedded

import (
	"context"
	"testing"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"

	"plic/internal/store/engine"
	"plic/internal/store/engine/enginetest"
	"plic/internal/vfs"
)

// suite opens engines with small segments, so that many fill up, of which the
// larger small bodies are written once.
func suite() enginetest.Suite { return suiteOf(func(*Options) {}) }

// suiteOf changes something of suite.
func suiteOf(change func(*Options)) enginetest.Suite {
	return enginetest.Suite{
		Open: func(ctx context.Context, c enginetest.Config) (engine.Engine, error) {
			o := Options{
				FS: c.FS, Dir: "/store", Now: c.Now, Cache: 1 << 20, Ballast: -1, Reserve: -1,
				manual: true, fold: 3, segment: 64 << 10, memTable: 128 << 10, once: 3 << 10,
			}
			change(&o)
			return Open(ctx, o)
		},
		Tend: func(ctx context.Context, e engine.Engine) error {
			if err := e.(*Engine).Settle(); err != nil {
				return err
			}
			if err := e.(*Engine).Fold(ctx); err != nil {
				return err
			}
			if e.(*Engine).flushed.Swap(false) {
				e.(*Engine).release()
			}
			return e.(*Engine).Reclaim(ctx)
		},
		Backup: func(ctx context.Context, e engine.Engine, from, to vfs.FS) error {
			return e.(*Engine).Snapshot(ctx, func(records string) error {
				_, err := pebblevfs.Clone(from, to, records, "/store/records")
				if err == nil {
					_, err = pebblevfs.Clone(from, to, "/store/bodies", "/store/bodies")
				}
				return err
			})
		},
		Check: func(ctx context.Context, e engine.Engine) []string {
			var all []string
			for p := range e.(*Engine).Check(ctx) {
				all = append(all, p.String())
			}
			return all
		},
	}
}

func TestEngine(t *testing.T) {
	t.Parallel()
	enginetest.Run(t, suite())
}

// TestLargeCommits: commits that have no place in Pebble's tables in memory, among
// others that have one.
func TestLargeCommits(t *testing.T) {
	t.Parallel()
	s := suiteOf(func(o *Options) { o.memTable = 8 << 10 })
	s.Large = 15
	if err := enginetest.History(t.Context(), s, 1, 150); err != nil {
		t.Error(err)
	}
	for seed := range uint64(2) {
		r := enginetest.CrashRun{Seed: seed, Unsynced: 50 * int(seed), Steps: 20}
		if err := enginetest.Crash(t.Context(), s, r); err != nil {
			t.Error(err)
		}
	}
}
