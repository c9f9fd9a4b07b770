package embedded

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

const (
	reclaimStep = 1000 // records changed in one commit of the background
	smallMany   = 8    // so many segments below a quarter of the size are merged
)

// reclaimer frees what has no owner any more. One run at a time.
type reclaimer struct {
	mu    sync.Mutex
	files []mail.ID       // files found at the start, perhaps of no body
	kept  map[uint64]bool // segments with damaged bodies: their octets are kept
}

// keep leaves a segment as it is until the next start.
func (r *reclaimer) keep(number uint64) {
	if r.kept == nil {
		r.kept = map[uint64]bool{}
	}
	r.kept[number] = true
}

// sweep notes a file found at the start.
func (r *reclaimer) sweep(name string) {
	if text, ok := strings.CutSuffix(name, bodySuffix); ok {
		if id, err := mail.ParseID(text); err == nil {
			r.files = append(r.files, id)
		}
	}
}

// Reclaim frees the bodies that have had no owner for the grace time, buries
// what removed mailboxes left, and copies the rest out of segments that are
// half dead. The engine does it by itself every minute.
func (e *Engine) Reclaim(ctx context.Context) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	e.reclaimer.mu.Lock()
	defer e.reclaimer.mu.Unlock()
	return e.reclaim(ctx)
}

// reclaimUnlessHeld is Reclaim, but not while a check or a backup goes on, which may
// take hours.
func (e *Engine) reclaimUnlessHeld(ctx context.Context) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	if !e.reclaimer.mu.TryLock() {
		return nil
	}
	defer e.reclaimer.mu.Unlock()
	return e.reclaim(ctx)
}

func (e *Engine) reclaim(ctx context.Context) error {
	if _, lost, err := e.lostSince(); lost || err != nil {
		return err // what nobody names may be what is lost
	}
	if err := e.sweepFiles(ctx); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	for _, g := range e.graves.list() {
		if err := e.bury(ctx, g); err != nil {
			return fmt.Errorf("bury: %w", err)
		}
	}
	if err := e.freeBodies(ctx); err != nil {
		return fmt.Errorf("free: %w", err)
	}
	if err := e.compactSegments(ctx); err != nil {
		return fmt.Errorf("compact segments: %w", err)
	}
	return nil
}

// sweepFiles removes files left by a crash before a batch took them.
func (e *Engine) sweepFiles(ctx context.Context) error {
	r := &e.reclaimer
	for len(r.files) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		id := r.files[len(r.files)-1]
		_, err := e.locate(id)
		if errors.Is(err, engine.ErrNotFound) {
			err = e.remove(bodyName(id))
		} else if errors.Is(err, engine.ErrDamaged) {
			err = nil
		}
		if err != nil {
			return err
		}
		r.files = r.files[:len(r.files)-1]
	}
	return nil
}

func (e *Engine) remove(name string) error {
	err := e.fs.Remove(e.fs.PathJoin(e.bodies, name))
	if vfs.NotExist(err) {
		return nil
	}
	return err
}

// graves are the removed mailboxes and accounts whose messages still have
// references to their bodies.
type graves struct {
	mu  sync.Mutex
	set map[grave]bool
}

func (g *graves) add(all []grave) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.set == nil {
		g.set = map[grave]bool{}
	}
	for _, one := range all {
		g.set[one] = true
	}
}

func (g *graves) has(one grave) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.set[one]
}

func (g *graves) remove(one grave) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.set, one)
}

func (g *graves) list() []grave {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := make([]grave, 0, len(g.set))
	for one := range g.set {
		all = append(all, one)
	}
	return all
}

func (e *Engine) loadGraves() error {
	return e.eachRecord(kindGrave, func(key, _ []byte) error {
		if g, ok := graveOf(key); ok {
			e.graves.add([]grave{g})
		}
		return nil
	})
}

// exhume buries at once what a number in new use left.
func (e *Engine) exhume(g grave) error {
	if !e.graves.has(g) {
		return nil
	}
	e.reclaimer.mu.Lock()
	defer e.reclaimer.mu.Unlock()
	return e.bury(context.Background(), g)
}

// bury removes the references of a removed mailbox or account, step by step,
// and then all its records at once. It waits for no sync: if some of it is lost, it is
// done again, and bodies are freed by a commit that comes after it.
func (e *Engine) bury(ctx context.Context, g grave) error {
	if !e.graves.has(g) {
		return nil
	}
	e.indexing.Lock()
	defer e.indexing.Unlock()
	boxes := []engine.MailboxID{g.mailbox}
	ranges := [][]byte{accountKey(g.account)}
	if g.all {
		var err error
		if boxes, err = e.boxesOf(g.account); err != nil {
			return err
		}
	} else {
		ranges = nil
		for _, part := range []byte{partPage, partRest, partLog, partDetail, partGone} {
			ranges = append(ranges, mailboxKey(g.account, part, g.mailbox))
		}
	}
	for _, m := range boxes {
		for next := engine.UID(1); next != 0; {
			if err := ctx.Err(); err != nil {
				return err
			}
			b := e.db.NewBatch()
			var err error
			if next, err = e.buryStep(ctx, b, g.account, m, next); err != nil {
				b.Close()
				return err
			}
			if err := e.commitLater(b); err != nil {
				return err
			}
		}
	}
	b := e.db.NewBatch()
	for _, r := range ranges {
		b.DeleteRange(r, after(r), nil)
	}
	b.Delete(g.key(), nil)
	if err := e.commitLater(b); err != nil {
		return err
	}
	for _, m := range boxes {
		e.folds.forget(mailboxRef{g.account, m})
	}
	e.graves.remove(g)
	return nil
}

// boxesOf finds the mailboxes of an account that have an index, by their keys.
func (e *Engine) boxesOf(a engine.AccountID) (boxes []engine.MailboxID, err error) {
	for _, part := range []byte{partPage, partLog} {
		all := partKey(a, part)
		it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: all, UpperBound: after(all)})
		if err != nil {
			return nil, err
		}
		for ok := it.First(); ok; {
			m := engine.MailboxID(binary.BigEndian.Uint32(it.Key()[10:]))
			boxes = append(boxes, m)
			ok = it.SeekGE(after(mailboxKey(a, part, m)))
		}
		if err := it.Close(); err != nil {
			return nil, err
		}
	}
	slices.Sort(boxes)
	return slices.Compact(boxes), nil
}

// buryStep takes the references of some messages; next is where to go on, 0 at
// the end.
func (e *Engine) buryStep(ctx context.Context, b *pebble.Batch, a engine.AccountID, m engine.MailboxID, from engine.UID) (next engine.UID, err error) {
	at := e.db.NewSnapshot()
	defer at.Close()
	var lost []mail.ID
	e.walk(ctx, at, mailboxRef{a, m}, from, false, func(entry engine.Entry, werr error) bool {
		if err = werr; err != nil {
			return false
		}
		if len(lost) == reclaimStep {
			next = entry.UID
			return false
		}
		b.Delete(messageRef(entry.Body, a, m, entry.UID), nil)
		lost = append(lost, entry.Body)
		return true
	})
	e.suspect(b, lost)
	return next, err
}

// freeBodies frees the suspects past grace that have no owner.
func (e *Engine) freeBodies(ctx context.Context) error {
	until := e.o.Now().Add(-e.o.Grace).UnixNano()
	for {
		b := e.db.NewBatch()
		files, steps, err := e.freeStep(ctx, b, until)
		if err != nil || steps == 0 {
			b.Close()
			return err
		}
		if err := e.commitWait(b); err != nil {
			return err
		}
		// Only now is it certain that nothing names them.
		for _, id := range files {
			if err := e.remove(bodyName(id)); err != nil {
				e.o.Log.Warn("removing a body failed", "body", id, "error", err)
			}
		}
	}
}

func (e *Engine) freeStep(ctx context.Context, b *pebble.Batch, until int64) (files []mail.ID, steps int, err error) {
	it, err := e.db.NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound: []byte{kindSuspect},
		UpperBound: numberKey(kindSuspect, uint64(until)+1),
	})
	if err != nil {
		return nil, 0, err
	}
	defer it.Close()
	freed := map[mail.ID]bool{}
	for ok := it.First(); ok && steps < reclaimStep; ok = it.Next() {
		steps++
		b.Delete(it.Key(), nil)
		bodies, _ := suspectsOf(it.Key(), it.Value())
		for _, id := range bodies {
			if freed[id] {
				continue
			}
			file, err := e.free(b, id, freed)
			if err != nil {
				return nil, 0, err
			}
			if file {
				files = append(files, id)
			}
		}
		steps += len(bodies)
	}
	return files, steps, it.Error()
}

// free frees a body that has no owner, and says whether it has a file.
func (e *Engine) free(b *pebble.Batch, id mail.ID, freed map[mail.ID]bool) (file bool, err error) {
	owned, err := e.owned(id)
	if err != nil || owned {
		return false, err
	}
	l, err := e.locate(id)
	if err != nil {
		return false, nil // freed before, or damaged: then its octets are kept
	}
	freed[id] = true
	b.Delete(idKey(kindLocation, id), nil)
	if l.own() {
		return true, nil
	}
	e.segments.bury(b, l.segment, frameHead+l.stored)
	return false, nil
}

// owned says whether anything names a body. It reads the newest state, not
// that of the suspects' iterator: an owner only ever comes from another one, or
// with the body itself, so that a body found without one stays without.
func (e *Engine) owned(id mail.ID) (bool, error) {
	prefix := idKey(kindRef, id)
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
	if err != nil {
		return false, err
	}
	defer it.Close()
	return it.First(), it.Error()
}
