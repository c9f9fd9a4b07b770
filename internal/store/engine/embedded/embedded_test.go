package embedded

import (
	"context"
	"testing"

	"plic/internal/store/engine"
	"plic/internal/store/engine/enginetest"
)

// suite opens engines with small segments, so that many fill up, of which the
// larger small bodies are written once.
func suite() enginetest.Suite { return suiteOf(3 << 10) }

// suiteOf writes small bodies once from so many octets in a batch.
func suiteOf(once int64) enginetest.Suite {
	return enginetest.Suite{
		Open: func(ctx context.Context, c enginetest.Config) (engine.Engine, error) {
			return Open(ctx, Options{
				FS: c.FS, Dir: "/store", Now: c.Now, Cache: 1 << 20, Ballast: -1, Reserve: -1,
				manual: true, fold: 3, segment: 64 << 10, memTable: 128 << 10, once: once,
			})
		},
		Tend: func(ctx context.Context, e engine.Engine) error {
			if err := e.(*Engine).Settle(); err != nil {
				return err
			}
			if err := e.(*Engine).Fold(ctx); err != nil {
				return err
			}
			return e.(*Engine).Reclaim(ctx)
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
