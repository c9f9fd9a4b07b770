package embedded

import (
	"context"
	"fmt"
)

// checkpointDir holds the records of a Snapshot, in the engine's directory.
const checkpointDir = "checkpoint"

// Snapshot gives the records of this moment as a directory, which is there as
// long as use runs. No body is reclaimed meanwhile, so that who copies the
// bodies' files after the records has all that these name.
func (e *Engine) Snapshot(ctx context.Context, use func(records string) error) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	e.reclaimer.mu.Lock()
	defer e.reclaimer.mu.Unlock()
	dir := e.fs.PathJoin(e.o.Dir, checkpointDir)
	if err := e.fs.RemoveAll(dir); err != nil { // of one that was cut short
		return fmt.Errorf("records: %w", err)
	}
	if err := e.flush(ctx); err != nil {
		return fmt.Errorf("records: %w", err)
	}
	err := e.guard(func() error { return e.db.Checkpoint(dir) })
	if err != nil {
		return fmt.Errorf("records: %w", err)
	}
	defer func() {
		if err := e.fs.RemoveAll(dir); err != nil {
			e.o.Log.Warn("removing the copy of the records failed", "error", err)
		}
	}()
	return use(dir)
}
