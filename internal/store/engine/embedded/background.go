package embedded

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	tidyEvery    = time.Second      // indexes and ballast are looked at as often
	settleBytes  = 16 << 20         // segments are synced when so much is not: what a start may have to write anew
	settleEvery  = 10 * time.Minute // or after so long, so that little mail keeps no log for ever
	pushBytes    = 1 << 20          // is on its way to the disk before
	reclaimEvery = time.Minute
)

// background syncs segments, reclaims bodies and merges tables until the engine
// closes.
func (e *Engine) background() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-e.quit:
		case <-e.failed:
		}
		cancel()
	}()
	tidy := time.NewTicker(tidyEvery)
	defer tidy.Stop()
	settle := time.NewTicker(settleEvery)
	defer settle.Stop()
	reclaim := time.NewTicker(reclaimEvery)
	defer reclaim.Stop()
	var quiet lull
	var merging, reclaiming aside
	for {
		due := false
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		case <-tidy.C:
			if quiet.tick(e.commits.Load()) {
				merging.do(ctx, e, "merging the tables of records failed", e.merge)
			}
		case <-settle.C:
			due = true
		case <-reclaim.C:
			reclaiming.do(ctx, e, "reclaiming bodies failed", e.reclaimUnlessHeld)
		}
		if e.flushed.Swap(false) {
			e.release()
		}
		if due || e.segments.unsynced() > settleBytes {
			if err := e.Settle(); err != nil && ctx.Err() == nil {
				e.o.Log.Error("syncing bodies failed", "error", err)
			}
		}
		if err := e.Fold(ctx); err != nil && ctx.Err() == nil {
			e.o.Log.Error("writing indexes anew failed", "error", err)
		}
		e.space.restore()
	}
}

// aside is work that may take longer than what else is to be done can wait.
type aside struct{ busy atomic.Bool }

// do begins it, unless it goes on still.
func (a *aside) do(ctx context.Context, e *Engine, failed string, work func(context.Context) error) {
	if !a.busy.CompareAndSwap(false, true) {
		return
	}
	e.done.Go(func() {
		defer a.busy.Store(false)
		if err := work(ctx); err != nil && ctx.Err() == nil {
			e.o.Log.Warn(failed, "error", err)
		}
	})
}

// poke has the background work at once.
func (e *Engine) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// pushing sends what segments get on its way to the disk as it comes, so that
// nobody waits behind much of it when they are synced.
func (e *Engine) pushing() {
	for {
		select {
		case <-e.quit:
			return
		case <-e.failed:
			return
		case <-e.push:
		}
		if err := e.pushSegment(); err != nil {
			e.fail(err) // no later sync may tell of it again
		}
	}
}

func (e *Engine) pushSegment() error {
	e.settling.Lock()
	defer e.settling.Unlock()
	file, upTo := e.segments.pushable()
	if file == nil || e.failedErr() != nil {
		return nil
	}
	if _, err := file.syncer.SyncTo(upTo); err != nil {
		return fmt.Errorf("write segment %d: %w", file.number, err)
	}
	return nil
}
