package queue

import (
	"bytes"
	"context"
	"math"
	"slices"
	"time"

	"plic/internal/journal"
	"plic/internal/mail"
)

// The schedule has at most Options.Known items in view, so that its memory does
// not grow with the queue. The others are found by a sweep: once through the
// custody, which takes into view what is due and has room. A destination may
// have as many in view as there are places left; so the first one that hoards
// gets half of all, the next a quarter, and there is always room for one that
// comes with little. The items of one destination come in turn, by their IDs. While everything is in view, as nearly always, there are no
// sweeps.

const (
	// horizon is how soon an item must be due to be in view when there is little
	// room, at least.
	horizon = 2 * time.Minute
	// leisure is the least time between sweeps for items that come to be due.
	leisure = horizon / 2
)

const never = math.MaxInt64

// unseen is what is known of items that are not in view.
type unseen struct {
	items, held int
	due         int64 // the earliest that has yet to come, as far as it is known
	full        bool  // due ones were passed over, since there was hardly any room
}

// count adds an item that stays out of view; passed says that it is due.
func (u *unseen) count(e *entry, passed bool) {
	u.items++
	if e.state == held {
		u.held++
	} else if !passed {
		u.due = min(u.due, e.at)
	}
}

// view is what the schedule knows of what it does not have.
type view struct {
	partial  bool                 // there may be items that are not in view
	last     unseen               // as the last sweep left them
	since    unseen               // that were put out of view since it began
	sweeping *unseen              // what the one at work has left so far
	left     map[mail.ID]struct{} // what was changed or left the view meanwhile
	stale    bool                 // too much did
	thirst   bool                 // a hop of which items were passed over has room again
	ended    int64                // when the last one did
	took     int64                // how long it took
	pace     int64                // how long the one before it took, by which both were planned
}

// ahead is how far ahead of its time an item is in view: where sweeps are slow, as
// far as to the end of the one after the next, while there is room for that.
func (s *schedule) ahead() int64 {
	if s.spare() <= s.o.Known/4 {
		return int64(horizon)
	}
	return max(int64(horizon), 14*s.view.pace)
}

// rest is how long there is no sweep for items that come to be due: they have a
// tenth of the time.
func (v *view) rest() int64 { return max(int64(leisure), 9*v.pace) }

// spare is how many places are left in view.
func (s *schedule) spare() int { return s.o.Known - len(s.items) }

// roomFor says whether an entry may come into view. What is not due soon may
// only while half of the places are left; the last tenth is for hops that answer,
// or may.
func (s *schedule) roomFor(e *entry, now time.Time) bool {
	spare := s.spare()
	if spare <= e.hop.busy()-1 || e.hop.failures > 0 && spare <= s.o.Known/10 { // e is one of the busy
		return false
	}
	return spare > s.o.Known/2 || e.state == ready || e.state == waiting && e.at <= now.UnixNano()+s.ahead()
}

// pass leaves an entry that is in no line out of view, if there is no room for it.
func (s *schedule) pass(e *entry, now time.Time) bool {
	isDue, u := e.state == ready, &s.view.since
	swept := s.view.sweeping != nil && !e.fresh
	behind := swept && isDue && (e.hop.skipped || bytes.Compare(e.id[:], e.hop.upto[:]) <= 0)
	if !behind && s.roomFor(e, now) {
		if swept && isDue {
			e.hop.upto = e.id
		}
		return false
	}
	if swept {
		u = s.view.sweeping
		e.hop.behind = e.hop.behind || behind
		e.hop.skipped = e.hop.skipped || isDue && !behind
	}
	u.count(e, isDue)
	s.view.partial = true
	if isDue {
		u.full = u.full || s.spare() <= s.o.Known/10
		e.hop.passed = max(e.hop.passed, e.hop.busy()-1, 1)
	}
	return true
}

// hide puts an entry out of view whose time is yet to come, if others need the
// room. The last of a hop in doubt stays as long as it can, so that the doubt is
// remembered.
func (s *schedule) hide(e *entry, now time.Time) bool {
	far := e.state == held || e.state == waiting && e.at > now.UnixNano()+s.ahead() && !e.untold
	if !far || s.spare() > s.o.Known/2 && e.hop.passed == 0 || e.hop.entries == 1 && e.hop.failures > 0 && s.spare() > s.o.Known/4 {
		return false
	}
	s.view.since.count(e, false)
	s.view.partial = true
	e.state = apart
	s.forget(e)
	return true
}

// rotate puts the items that wait for a hop that is down out of view, but for
// one, if there are others, whose senders may have to be told of the delay.
func (s *schedule) rotate(h *hop) {
	if h.passed == 0 || len(h.ready.all) < 2 {
		return
	}
	for _, e := range slices.Clone(h.ready.all[1:]) {
		s.view.since.count(e, true)
		s.forget(e)
	}
	s.view.partial, s.view.thirst = true, true
}

// roomy says that items of a hop would find room.
func (s *schedule) roomy(h *hop) bool { return s.spare() > max(2*h.busy(), s.o.Known/10) }

// drained notices that a hop of which items were passed over has room again.
func (s *schedule) drained(h *hop) {
	if h.passed > 0 && h.busy() <= h.passed/2 && s.roomy(h) {
		h.passed = 0
		s.view.thirst = true
	}
}

// wantsSweep says when the next sweep should begin, never for not at all.
func (s *schedule) wantsSweep() int64 {
	v := &s.view
	if !v.partial || v.sweeping != nil {
		return never
	}
	at := int64(never)
	if v.thirst || (v.last.full || v.since.full) && s.spare() > s.o.Known/4 {
		at = v.ended + max(v.took, int64(time.Second)) // half of the time, at worst
	}
	if due := min(v.last.due, v.since.due); due < never {
		at = min(at, max(due-max(int64(horizon/2), 2*v.took), v.ended+v.rest()))
	}
	return at
}

// beginSweep says whether a sweep is to be made now.
func (s *schedule) beginSweep(now time.Time) bool {
	if s.wantsSweep() > now.UnixNano() {
		return false
	}
	s.startSweep(now)
	return true
}

func (s *schedule) startSweep(now time.Time) {
	v := &s.view
	v.last.add(v.since)
	v.since = unseen{due: never}
	v.sweeping, v.left = &unseen{due: never}, map[mail.ID]struct{}{}
	v.thirst, v.ended, v.pace = false, now.UnixNano(), v.took
	for _, h := range s.hops {
		h.passed, h.skipped = 0, false
	}
}

func (u *unseen) add(o unseen) {
	u.items, u.held, u.due, u.full = u.items+o.items, u.held+o.held, min(u.due, o.due), u.full || o.full
}

// endSweep ends a sweep: whole says that it went to the end.
func (s *schedule) endSweep(whole bool, now time.Time) {
	v := &s.view
	v.took, v.ended = max(now.UnixNano()-v.ended, 0), now.UnixNano()
	v.last = *v.sweeping
	v.partial = !whole || v.stale || v.last.items > 0 || v.since.items > 0
	if v.stale {
		v.stale, v.since.due = false, min(v.since.due, now.UnixNano())
	}
	for _, h := range s.hops { // what was there before comes next
		if h.behind && !h.skipped && s.roomy(h) {
			h.upto, v.thirst = mail.ID{}, true
		}
		h.behind = false
		s.drained(h)
	}
	// A time that is too far away was written while the clock was wrong.
	if v.last.items > v.last.held {
		v.last.due = min(v.last.due, now.Add(s.o.MaxBackoff).UnixNano())
	}
	if v.since.items > 0 { // the sweep may have counted some of them as well
		v.since.due = min(v.since.due, now.Add(s.o.MinBackoff).UnixNano())
	}
	v.sweeping, v.left = nil, nil
}

// offer takes an item that a sweep has found into view, if there is room.
func (s *schedule) offer(item *mail.Item, now time.Time) {
	if _, left := s.view.left[item.ID]; !left && !s.view.stale {
		s.take(item, now, false)
	}
}

// gone notes that an item was changed or has left the view while a sweep is at
// work, which may still find it as it was. After very many nothing that the sweep
// finds is believed.
func (s *schedule) gone(id mail.ID) {
	v := &s.view
	if v.sweeping == nil || v.stale {
		return
	}
	if v.left[id] = struct{}{}; len(v.left) > s.o.Known {
		v.left, v.stale = nil, true
	}
}

// recount has the items out of view counted again.
func (s *schedule) recount(now time.Time) {
	if s.view.partial {
		s.view.since.due = min(s.view.since.due, now.UnixNano())
	}
}

// credit is how many tries of a hop were made on behalf of an item that has
// been due without being in view.
func (s *schedule) credit(e *entry, item *mail.Item, now time.Time) uint32 {
	n := uint32(0)
	for left := now.Sub(item.Due); n < uint32(e.hop.run); n++ {
		if left -= s.o.backoff(item.Attempts + int(n) + 1); left < 0 {
			break
		}
	}
	return n
}

// sweep goes through the custody once. The first one of a Run is how the queue
// is found; after trouble it is made again, since no item may wait for the next
// start.
func (q *Queue) sweep(ctx context.Context) {
	trouble := q.sweepOnce(ctx)
	q.mu.Lock()
	q.s.endSweep(trouble == nil && ctx.Err() == nil, q.o.Now())
	if trouble != nil {
		q.s.view.last.due = min(q.s.view.last.due, q.o.Now().Add(q.o.MinBackoff).UnixNano())
	}
	q.mu.Unlock()
	q.poke()
	if trouble != nil && ctx.Err() == nil {
		q.o.Log.Error("the queue could not be read in full; what was read is delivered", "error", trouble)
		q.o.Journal.Record(journal.Event{Kind: journal.Error, Service: "queue", Reason: "load: " + trouble.Error()})
	}
}

func (q *Queue) sweepOnce(ctx context.Context) error {
	var trouble error
	const batch = 256 // items under one lock
	items := make([]mail.Item, 0, batch)
	flush := func() {
		q.mu.Lock()
		now := q.o.Now()
		for i := range items {
			if !q.claimed[items[i].ID] { // who has it puts it back
				q.s.offer(&items[i], now)
			}
		}
		q.mu.Unlock()
		q.poke()
		items = items[:0]
	}
	for item, err := range q.o.Custody.Items(ctx) {
		if err != nil {
			trouble = err
			continue
		}
		if items = append(items, item); len(items) == batch {
			flush()
		}
	}
	flush()
	return trouble
}
