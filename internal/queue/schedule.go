package queue

import (
	"container/list"
	"time"

	"plic/internal/mail"
)

// state is where an item is in the schedule.
type state uint8

const (
	waiting state = iota // for its time
	ready                // for room at its hop
	lapsed               // for a verdict without a try of its own
	active               // it is being tried
	held                 // by the postmaster
	apart                // it is being changed
)

// entry is what the schedule knows of an item: small, since there may be
// millions. Instants are in nanoseconds since 1970.
type entry struct {
	id       mail.ID
	hop      *hop
	elem     *list.Element // in hop.ready or schedule.lapsed
	due      int64
	received int64
	expires  int64
	size     int64
	rcpts    int32
	attempts int32
	seen     uint32 // hop.tries when it came
	pos      int32  // in schedule.waiting
	state    state
	warned   bool
	probe    bool // it is tried while its hop is in doubt
}

func (e *entry) instant() int64 { return e.due }
func (e *entry) place() *int32  { return &e.pos }

// tries is how often the item was tried, or its hop on its behalf.
func (e *entry) tries() int { return int(e.attempts) + int(e.hop.tries-e.seen) }

// start is the action of the schedule: try this item now, or, when its hop is
// down, judge it by what the hop said last.
type start struct {
	id     mail.ID
	shared bool
	last   mail.Outcome // of the hop, if shared
	tries  int          // before this one
}

// schedule decides which item is tried when. Each hop has a first-in-first-out
// line and a window of how many may be tried at once; hops with work take
// turns, so that none waits for another. A hop that does not answer is asked
// by one item at a time, at intervals, on behalf of all its items: it costs
// one place, however many wait for it. Hops in doubt have at most half of all
// places together.
//
// It has no clock: now is given with every event, and may jump.
type schedule struct {
	o       *Options
	items   map[mail.ID]*entry
	hops    map[mail.Hop]*hop
	waiting pile[*entry]
	pauses  pile[*hop]
	sound   *list.List // hops that may start an item now
	doubted *list.List // the same, but the last try found them down
	lapsed  *list.List // entries

	active   int
	probes   int // of them: while their hop was in doubt
	verdicts int // of them: shared
	holds    int
	last     int64 // when next was asked
}

func newSchedule(o *Options) *schedule {
	return &schedule{o: o, items: map[mail.ID]*entry{}, hops: map[mail.Hop]*hop{}, sound: list.New(), doubted: list.New(), lapsed: list.New()}
}

// add takes an item in; false if it is known already.
func (s *schedule) add(item *mail.Item, now time.Time) bool {
	if s.items[item.ID] != nil {
		return false
	}
	h := s.hops[item.Hop]
	if h == nil {
		h = &hop{key: item.Hop, pos: absent, ready: list.New(), window: float64(s.o.StartWindow)}
		s.hops[item.Hop] = h
	}
	h.entries++
	e := &entry{id: item.ID, hop: h, seen: h.tries, pos: absent}
	s.items[item.ID] = e
	s.update(e, item, now)
	return true
}

// update gives an entry that is in no line its values from the item, and its
// place.
func (s *schedule) update(e *entry, item *mail.Item, now time.Time) {
	e.due, e.received, e.expires = item.Due.UnixNano(), received(item).UnixNano(), s.o.expires(item).UnixNano()
	e.size, e.rcpts, e.warned = item.Size, int32(len(item.To)), item.Warned
	e.attempts, e.seen = int32(item.Attempts), e.hop.tries
	// No item waits longer than the longest interval: a time further away was
	// written while the clock was wrong.
	e.due = min(e.due, now.Add(s.o.MaxBackoff+s.o.MaxBackoff/10).UnixNano())
	switch {
	case item.Hold:
		e.state = held
		s.holds++
	case e.due <= now.UnixNano():
		s.enqueue(e)
	default:
		e.state = waiting
		s.waiting.push(e)
	}
}

func (s *schedule) enqueue(e *entry) {
	e.state = ready
	e.elem = e.hop.ready.PushBack(e)
	s.arrange(e.hop)
}

// detach takes an entry out of the line it is in.
func (s *schedule) detach(e *entry) {
	switch e.state {
	case waiting:
		s.waiting.remove(e)
	case ready:
		e.hop.ready.Remove(e.elem)
		s.arrange(e.hop)
	case lapsed:
		s.lapsed.Remove(e.elem)
	case held:
		s.holds--
	}
	e.elem = nil
	e.state = apart
}

// forget takes an entry out of the schedule, and its hop with the last one.
func (s *schedule) forget(e *entry) {
	s.detach(e)
	delete(s.items, e.id)
	if e.hop.entries--; e.hop.entries == 0 {
		s.pauses.remove(e.hop)
		delete(s.hops, e.hop.key)
	}
}

// next gives what is to be started now.
func (s *schedule) next(now time.Time) []start {
	at := now.UnixNano()
	s.turnBack(now)
	for e, ok := s.waiting.top(); ok && e.due <= at; e, ok = s.waiting.top() {
		s.waiting.remove(e)
		s.enqueue(e)
	}
	for h, ok := s.pauses.top(); ok && h.until <= at; h, ok = s.pauses.top() {
		s.pauses.remove(h)
		s.arrange(h)
	}
	var starts []start
	for s.active < s.o.Active {
		e := s.pick()
		if e == nil {
			break
		}
		one := start{id: e.id, shared: e.state == lapsed, tries: e.tries()}
		if one.shared {
			one.last = e.hop.last
		}
		s.detach(e)
		s.begin(e, one.shared)
		starts = append(starts, one)
	}
	return starts
}

// pick chooses the next entry to start, nil if none may. Verdicts have at most
// a quarter of all places and hops in doubt at most half; a tenth is theirs
// before all others, so that they come back even when there is no end of work.
func (s *schedule) pick() *entry {
	if front := s.lapsed.Front(); front != nil && s.verdicts < max(1, s.o.Active/4) {
		return front.Value.(*entry)
	}
	if s.probes < max(1, s.o.Active/10) {
		if e := turn(s.doubted); e != nil {
			return e
		}
	}
	if e := turn(s.sound); e != nil {
		return e
	}
	if s.probes < max(1, s.o.Active/2) {
		return turn(s.doubted)
	}
	return nil
}

// turn gives the first entry of the first hop of a line, which goes to its end.
func turn(line *list.List) *entry {
	front := line.Front()
	if front == nil {
		return nil
	}
	line.MoveToBack(front)
	return front.Value.(*hop).ready.Front().Value.(*entry)
}

func (s *schedule) begin(e *entry, shared bool) {
	e.state = active
	s.active++
	if shared {
		s.verdicts++
		return
	}
	e.hop.active++
	if e.probe = e.hop.failures > 0; e.probe {
		s.probes++
	}
	s.arrange(e.hop)
}

// done ends a start. The item is what goes on, nil if it has gone.
func (s *schedule) done(one start, item *mail.Item, said health, last mail.Outcome, now time.Time) {
	e := s.items[one.id]
	if e == nil || e.state != active {
		return
	}
	s.active--
	if one.shared {
		s.verdicts--
	} else {
		e.hop.active--
		if e.probe {
			e.probe = false
			s.probes--
		}
		s.feedback(e.hop, said, last, now)
	}
	e.state = apart
	if item == nil {
		h := e.hop
		s.forget(e)
		if h.entries > 0 {
			s.arrange(h)
		}
		return
	}
	s.update(e, item, now)
	s.arrange(e.hop)
}

// wait is how long next need not be called if nothing happens. It is never
// longer than a minute, so that a change of the clock is seen.
func (s *schedule) wait(now time.Time) time.Duration {
	wait := time.Minute
	if s.active >= s.o.Active {
		return wait
	}
	if e, ok := s.waiting.top(); ok {
		wait = min(wait, time.Duration(e.due-now.UnixNano()))
	}
	if h, ok := s.pauses.top(); ok {
		wait = min(wait, time.Duration(h.until-now.UnixNano()))
	}
	return max(wait, 0)
}

// turnBack notices that the clock was set back, and brings nearer what was to
// happen at times that are now far away.
func (s *schedule) turnBack(now time.Time) {
	at := now.UnixNano()
	if jumped := s.last - at; jumped > int64(time.Minute) {
		for _, e := range s.waiting.all {
			e.due -= jumped // the order stays
		}
		for _, h := range s.pauses.all {
			h.until -= jumped
		}
		for _, h := range s.hops {
			h.counted = min(h.counted, at)
		}
	}
	s.last = at
}
