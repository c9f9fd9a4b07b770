package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// compactSegments copies the live bodies out of segments that are half dead,
// or of which there are many small ones, and removes them.
func (e *Engine) compactSegments(ctx context.Context) error {
	if err := e.countCrashed(ctx); err != nil {
		return err
	}
	for _, number := range e.segments.worn(e.reclaimer.kept) {
		if err := ctx.Err(); err != nil {
			return err
		}
		err := e.compact(ctx, number)
		if vfs.NotExist(err) {
			e.o.Log.Error("a segment is missing; the bodies in it are damaged", "segment", number)
			e.reclaimer.keep(number)
			continue
		}
		if err != nil {
			return fmt.Errorf("segment %d: %w", number, err)
		}
	}
	return nil
}

// worn lists the segments to compact, in order.
func (s *segments) worn(kept map[uint64]bool) []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var worn, small []uint64
	for n, info := range s.info {
		switch {
		case info.size == 0 || kept[n] || s.writing(n):
		case info.dead*2 >= info.size:
			worn = append(worn, n)
		case info.size < s.e.o.segment/4:
			small = append(small, n)
		}
	}
	if len(small) >= smallMany {
		worn = append(worn, small...)
	}
	slices.Sort(worn)
	return worn
}

// writing says whether a segment is still being written or synced.
func (s *segments) writing(number uint64) bool {
	if s.current != nil && s.current.number == number {
		return true
	}
	return slices.ContainsFunc(s.pending, func(f *segmentFile) bool { return f.number == number })
}

// crashed lists the segments that were never sealed: their size is not known,
// and they may hold bodies that no batch took.
func (s *segments) crashed() []uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []uint64
	for n, info := range s.info {
		if info.size == 0 && !s.writing(n) {
			all = append(all, n)
		}
	}
	slices.Sort(all)
	return all
}

// countCrashed finds size and dead octets of segments that were never sealed.
func (e *Engine) countCrashed(ctx context.Context) error {
	for _, number := range e.segments.crashed() {
		size, err := e.segmentLength(number)
		if vfs.NotExist(err) { // a power cut has left a record of it, not its name
			if err := e.forgetSegment(e.db.NewBatch(), number); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		live, err := e.liveIn(ctx, number)
		if err != nil {
			return err
		}
		info := segmentInfo{size: max(size, 1)}
		for _, l := range live {
			info.dead -= frameHead + l.stored
		}
		info.dead = max(0, info.dead+info.size)
		b := e.db.NewBatch()
		e.segments.set(b, number, info)
		if err := e.commitWait(b); err != nil {
			return err
		}
	}
	return nil
}

func (s *segments) set(b *pebble.Batch, number uint64, info segmentInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info[number] = info
	key := numberKey(kindSegment, number)
	b.Set(key, encodeSegment(key, &info), nil)
}

func (e *Engine) segmentLength(number uint64) (int64, error) {
	i, err := e.fs.Stat(e.fs.PathJoin(e.bodies, segmentName(number)))
	if err != nil {
		return 0, err
	}
	return i.Size(), nil
}

// living is a body that has its place in a segment.
type living struct {
	location
	id mail.ID
}

// liveIn finds the bodies that live in a segment by reading the heads of its
// frames; where one is damaged, by looking through all locations.
func (e *Engine) liveIn(ctx context.Context, number uint64) ([]living, error) {
	size, err := e.segmentLength(number)
	if err != nil {
		return nil, err
	}
	var all []living
	head := make([]byte, frameHead)
	for at := int64(0); at < size; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		err := e.segments.handles.read(number, head, at)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
		f, derr := decodeFrame(head)
		if err != nil || derr != nil {
			return e.livingAt(ctx, number)
		}
		l, err := e.locate(f.id)
		if err == nil && l.place == (place{number, at}) && !l.own() {
			all = append(all, living{l, f.id})
		} else if err != nil && !errors.Is(err, engine.ErrNotFound) && !errors.Is(err, engine.ErrDamaged) {
			return nil, err
		}
		at += frameHead + f.stored
	}
	return all, nil
}

func (e *Engine) livingAt(ctx context.Context, number uint64) ([]living, error) {
	var all []living
	err := e.eachRecord(kindLocation, func(key, value []byte) error {
		l, err := decodeLocation(key, value)
		if err == nil && !l.own() && l.segment == number && len(key) == 17 {
			all = append(all, living{l, mail.ID(key[1:])})
		}
		return ctx.Err()
	})
	return all, err
}

// compact moves what lives in a segment to the current one.
func (e *Engine) compact(ctx context.Context, number uint64) error {
	live, err := e.liveIn(ctx, number)
	if err != nil {
		return err
	}
	if len(live) > 0 {
		var octets int64
		for _, l := range live {
			octets += frameHead + l.stored
		}
		if e.space.room(octets) != nil {
			return nil // copying needs room first
		}
	}
	whole := true
	b := e.db.NewBatch()
	for _, l := range live {
		stored, err := e.readStored(nil, l.id, &l.location)
		if errors.Is(err, engine.ErrDamaged) {
			e.o.Log.Error("a damaged body; its segment is kept", "body", l.id, "segment", number, "error", err)
			whole = false
			continue
		}
		if err != nil {
			return err
		}
		to := l.location
		if to.place, err = e.segments.append(appendFrame(nil, l.id, stored, l.packed)); err != nil {
			return noSpace(err)
		}
		key := idKey(kindLocation, l.id)
		b.Set(key, encodeLocation(key, &to), nil)
		if !whole {
			e.segments.bury(b, number, frameHead+l.stored)
		}
	}
	// The new places are on the disk before a location names them.
	if err := e.settle(); err != nil {
		return err
	}
	if !whole {
		e.reclaimer.keep(number)
		return e.commitWait(b)
	}
	if err := e.forgetSegment(b, number); err != nil {
		return err
	}
	return e.remove(segmentName(number))
}

// forgetSegment commits that a segment is not there, with what else is in the batch.
func (e *Engine) forgetSegment(b *pebble.Batch, number uint64) error {
	b.Delete(numberKey(kindSegment, number), nil)
	if err := e.commitWait(b); err != nil {
		return err
	}
	e.segments.drop(number)
	return nil
}

func (s *segments) drop(number uint64) {
	s.mu.Lock()
	delete(s.info, number)
	s.mu.Unlock()
	s.handles.drop(number)
}
