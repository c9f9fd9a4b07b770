package embedded

import (
	"context"
	"errors"
	"syscall"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/store/engine"
	"plic/internal/store/engine/embedded/wal"
	"plic/internal/vfs"
)

// Pebble's own log is off: each of its commits would be handed to a goroutine that
// writes and syncs, and back. Each commit says its number in our log, so that the
// tables say what they hold, and a start applies what they lack.

var positionKey = []byte{kindPosition}

// durable is the number of the last commit that is in tables.
func (e *Engine) durable(db *pebble.DB) (n uint64, err error) {
	it, err := db.NewIter(&pebble.IterOptions{
		LowerBound: positionKey, UpperBound: after(positionKey), OnlyReadGuaranteedDurable: true,
	})
	if err != nil {
		return 0, err
	}
	defer it.Close()
	if !it.First() {
		return 0, it.Error()
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return 0, err
	}
	return decodeNumber(positionKey, value)
}

// replay brings the records to the state of the last durable commit and begins
// another log. Of the old ones nothing is left that is needed: what a crash has cut
// short there must not be met again behind the numbers that are given now.
func (e *Engine) replay(ctx context.Context) error {
	held, err := e.durable(e.db)
	lost := pebble.IsCorruptionError(err) || errors.Is(err, engine.ErrDamaged) || errors.Is(err, syscall.EIO)
	if lost {
		held, err = e.beforeLogs()
	}
	if err != nil {
		return err
	}
	found, err := wal.Read(e.fs, e.records, held, false)
	if err != nil {
		return err
	}
	if d := found.Damage(); d != nil {
		return d
	}
	err = e.again(ctx, found)
	last := found.Last()
	if err == nil && last > held {
		err = e.flush(ctx)
	}
	if err != nil {
		return err
	}
	for _, name := range found.Files() {
		if err := e.fs.Remove(e.fs.PathJoin(e.records, name)); err != nil {
			return err
		}
	}
	if err := vfs.SyncDir(e.fs, e.records); err != nil {
		return err
	}
	e.log = wal.New(wal.Options{
		FS: e.fs, Dir: e.records, Room: e.space.room,
		Size: int64(e.o.memTable), Ahead: min(wal.DefaultAhead, int64(e.o.memTable)/8),
	}, last)
	if lost { // above all that the tables can hold
		e.log.Leap(uint64(e.o.Now().UnixNano()))
	}
	return nil
}

// beforeLogs is the number before all that are in logs. Who does not know what the
// tables hold can apply all of them: whatever was there, in the end is what the last
// commit has left.
func (e *Engine) beforeLogs() (uint64, error) {
	first, ok, err := wal.Oldest(e.fs, e.records)
	if !ok {
		return 0, err
	}
	e.o.Log.Error("it cannot be read how much of the log is in tables: all of it is applied")
	return first - 1, err
}

// again applies the records of a log. Tables are written before so much is in memory
// that Pebble would have the next commit wait for them, on a full disk for ever.
func (e *Engine) again(ctx context.Context, found *wal.Found) error {
	unwritten := 0
	return found.Each(func(r wal.Record) error {
		if unwritten > 0 && uint64(unwritten+len(r.Text)) > e.o.memTable/2 {
			if err := e.flush(ctx); err != nil {
				return err
			}
			unwritten = 0
		}
		unwritten += len(r.Text)
		b := e.db.NewBatch()
		if err := b.SetRepr(r.Text); err != nil {
			return err
		}
		clear(r.Text[:8]) // the sequence number it had: Pebble takes a large batch that has one for its own log's
		return errors.Join(e.db.Apply(b, pebble.NoSync), ctx.Err())
	})
}

// flush has the tables hold all that was committed. On a full disk it may take for
// ever, unless the store is being opened or closed: then the first error ends it.
func (e *Engine) flush(ctx context.Context) error {
	var trouble chan error
	if hasty := e.hasty.Load(); hasty != nil {
		trouble = *hasty
	}
	begun, flushed := make(chan error, 1), (<-chan struct{})(nil)
	go func() {
		begun <- e.guard(func() (err error) { // it may wait for tables to be written itself
			flushed, err = e.db.AsyncFlush()
			return err
		})
	}()
	select {
	case err := <-begun:
		if err != nil {
			return err
		}
	case err := <-trouble:
		return e.fail(noSpace(err)) // the database cannot be closed any more
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-flushed:
		return nil
	case err := <-trouble:
		return err
	case <-e.failed:
		return e.failure
	case <-ctx.Done():
		return ctx.Err()
	}
}

// makeHaste has the first error of writing tables end a flush until it is told to
// have patience again.
func (e *Engine) makeHaste() (patience func()) {
	trouble := make(chan error, 1)
	e.hasty.Store(&trouble)
	return func() { e.hasty.Store(nil) }
}

// release lets go of logs of which all is in tables.
func (e *Engine) release() {
	n, err := e.durable(e.db)
	if err == nil {
		err = e.log.Release(n)
	}
	if err != nil {
		e.o.Log.Warn("records: removing logs failed", "error", err)
	}
}
