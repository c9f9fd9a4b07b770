package embedded

import (
	"context"
	"errors"
	"fmt"

	"plic/internal/store/engine"
)

// redo writes anew every body whose place in its segment was never known to be
// synced. What a read of that place shows is not asked: after a sync that
// failed, the page cache may hold what the disk does not.
func (e *Engine) redo(ctx context.Context) error {
	b := e.db.NewBatch()
	count := 0
	err := e.eachRecord(kindRedo, func(key, value []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		count++
		was, ok := redoPlace(key)
		f, stored, err := openFrame(value)
		if !ok || err != nil {
			// The place may still hold the body: OpenBody will tell.
			e.damaged.Add(1)
			e.o.Log.Error("a damaged redo record was set aside", "segment", was.segment, "offset", was.offset, "error", err)
			return b.Set(append([]byte{kindDamaged}, key...), value, nil)
		}
		l, err := e.locate(f.id)
		switch {
		case errors.Is(err, engine.ErrDamaged):
			if l, err = f.location(stored); err != nil { // it is known again
				return err
			}
		case errors.Is(err, engine.ErrNotFound) || err == nil && (l.own() || l.place != was):
			return nil // reclaimed or moved since
		case err != nil:
			return err
		}
		if l.place, err = e.segments.append(append([]byte(nil), value...)); err != nil {
			return err
		}
		location := idKey(kindLocation, f.id)
		b.Set(location, encodeLocation(location, &l), nil)
		if e.segments.known(was.segment) { // its name may be lost
			e.segments.bury(b, was.segment, int64(len(value)))
		}
		return nil
	})
	if err != nil {
		b.Close()
		return fmt.Errorf("bodies not yet in their segments: %w", err)
	}
	if count == 0 {
		return b.Close()
	}
	u, _ := e.segments.take()
	if err := e.syncSegments(&u); err != nil {
		return e.fail(err)
	}
	if err := b.DeleteRange([]byte{kindRedo}, []byte{kindRedo + 1}, nil); err != nil {
		return err
	}
	e.segments.recordSealed(b, u.sealed)
	return e.commitWait(b)
}
