package memory

import (
	"context"
	"sync"
	"testing"

	"plic/internal/store/engine"
	"plic/internal/store/engine/enginetest"
	"plic/internal/vfs"
)

// TestEngine runs the suite of all engines, but for crashes: the records of a
// file system's engine are there again when it is opened again.
func TestEngine(t *testing.T) {
	var mu sync.Mutex
	engines := map[vfs.FS]*Engine{}
	enginetest.Run(t, enginetest.Suite{
		Volatile: true,
		Open: func(_ context.Context, c enginetest.Config) (engine.Engine, error) {
			mu.Lock()
			defer mu.Unlock()
			e := engines[c.FS]
			if e == nil {
				e = New(c.Now)
				e.trusting = true
				engines[c.FS] = e
				if err := vfs.MakeDir(c.FS, "/store"); err != nil { // nothing is left behind in it
					return nil, err
				}
			}
			e.Reopen()
			return e, nil
		},
		Tend:  func(context.Context, engine.Engine) error { return nil },
		Check: func(context.Context, engine.Engine) []string { return nil },
	})
}
