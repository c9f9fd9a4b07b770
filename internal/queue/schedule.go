package queue

import (
	"container/list"
	"hash/maphash"
	"math"
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
// millions.
type entry struct {
	id       mail.ID
	hop      *hop
	family   *family // nil for most
	at       int64   // in nanoseconds since 1970: waiting until then, its rank among those that are ready, or when an active one is slow
	received seconds
	expires  seconds
	kib      uint32 // its size, rounded up
	rcpts    uint32
	attempts int32
	seen     uint32 // hop.tries when it came
	pos      int32  // in the pile of its state
	sender   uint16 // of schedule.senders
	state    state
	class    class
	warned   bool
	untold   bool // it has fates that its sender is to be told
	probe    bool // it is tried while its hop is in doubt
	slow     bool // it has been tried for longer than prompt
	fresh    bool // it was told of, not found
}

// prompt is how long a try takes a place from the others. One that takes longer
// waits for its host and costs little; there may be slowness times Active of
// those, so that hundreds of hosts that never answer delay nobody else.
const (
	prompt   = 10 * time.Second
	slowness = 3
)

func (e *entry) instant() int64 { return e.at }
func (e *entry) place() *int32  { return &e.pos }

// tries is how often the item was tried, or its hop on its behalf.
func (e *entry) tries() int { return int(e.attempts) + int(e.hop.tries-e.seen) }

// seconds is an instant to the second since 1970, until 2106.
type seconds uint32

func secondsOf(t time.Time) seconds {
	return seconds(min(max(t.Unix(), 0), math.MaxUint32))
}

func (s seconds) time() time.Time { return time.Unix(int64(s), 0) }

// start is the action of the schedule: try this item now, or, when its hop is
// down, judge it by what the hop said last.
type start struct {
	id     mail.ID
	shared bool
	last   mail.Outcome // of the hop, if shared
	tries  int          // before this one

	kind   mail.HopKind
	family *family // nil for most
	party  *party  // that it may join; nil for none
	joins  bool    // the party waits for it
}

// schedule decides which item is tried when. Each hop has a line, ordered by
// the time that each item came and by its class, and a window of how many may
// be tried at once; hops with work take turns, so that none waits for another.
// A hop that does not answer is asked by one item at a time, at intervals, on
// behalf of all its items: it costs one place, however many wait for it. Hops
// in doubt have at most half of all places together.
//
// It has no clock: now is given with every event, and may jump.
type schedule struct {
	o        *Options
	items    map[mail.ID]*entry
	hops     map[mail.Hop]*hop
	families map[mail.ID]*family
	senders  *senders
	waiting  pile[*entry]
	lapsed   pile[*entry]
	pauses   pile[*hop]
	sound    [classes]*list.List // hops that may start an item now, by its class
	doubted  *list.List          // the same, but the last try found them down
	turns    int                 // taken by sound hops

	running pile[*entry] // active, and not slow yet
	view    view

	active   int
	slow     int // of them: slow
	probes   int // of them: while their hop was in doubt
	verdicts int // of them: shared
	holds    int
	backlog  int   // that wait for room at hops that answer
	last     int64 // when next was asked
}

func newSchedule(o *Options) *schedule {
	s := &schedule{
		o: o, items: map[mail.ID]*entry{}, hops: map[mail.Hop]*hop{}, families: map[mail.ID]*family{},
		senders: &senders{seed: maphash.MakeSeed()}, doubted: list.New(),
		view: view{last: unseen{due: never}, since: unseen{due: never}},
	}
	for i := range s.sound {
		s.sound[i] = list.New()
	}
	return s
}

// add takes an item in that is new; false if it is known already, or there is
// no room to know it.
func (s *schedule) add(item *mail.Item, now time.Time) bool { return s.take(item, now, true) }

func (s *schedule) take(item *mail.Item, now time.Time, fresh bool) bool {
	if s.items[item.ID] != nil {
		return false
	}
	e := &entry{id: item.ID, pos: absent, sender: s.senders.place(item), fresh: fresh}
	s.join(e, item.Hop)
	s.assess(e, item, now)
	if s.pass(e, now) {
		s.part(e)
		return false
	}
	s.items[item.ID] = e
	s.adopt(e, item)
	e.class = s.classOf(item, e.sender)
	s.senders.items[e.sender]++
	e.seen -= s.credit(e, item, now)
	s.settle(e)
	return true
}

// join puts an entry behind a hop.
func (s *schedule) join(e *entry, key mail.Hop) {
	h := s.hops[key]
	if h == nil {
		h = &hop{key: key, pos: absent, window: float64(s.o.StartWindow)}
		s.hops[key] = h
	}
	h.entries++
	e.hop, e.seen = h, h.tries
}

// part takes an entry from its hop, which goes with the last one.
func (s *schedule) part(e *entry) {
	e.hop.entries--
	s.drained(e.hop)
	if e.hop.entries == 0 {
		s.backlog -= e.hop.backlog
		s.pauses.remove(e.hop)
		delete(s.hops, e.hop.key)
		return
	}
	s.arrange(e.hop)
}

// update gives an entry that is in no line its values from the item, and its
// place, if it stays in view.
func (s *schedule) update(e *entry, item *mail.Item, now time.Time) {
	if item.Hop != e.hop.key {
		s.part(e)
		s.join(e, item.Hop)
	}
	s.assess(e, item, now)
	if !s.hide(e, now) {
		s.settle(e)
	}
}

// assess gives an entry its values from the item, and the state that follows.
func (s *schedule) assess(e *entry, item *mail.Item, now time.Time) {
	e.received, e.expires = secondsOf(firstDue(item)), secondsOf(s.o.expires(item))
	e.kib, e.rcpts, e.warned = uint32((item.Size+1023)>>10), uint32(len(item.To)), item.Warned
	e.untold = len(item.Fates) > 0
	e.attempts, e.seen = int32(item.Attempts), e.hop.tries
	// No item waits longer than the longest interval: a time further away was
	// written while the clock was wrong, if the sender has not asked for it.
	due, at := item.Due.UnixNano(), now.UnixNano()
	if item.Due.After(item.Envelope.Release) {
		due = min(due, now.Add(s.o.MaxBackoff+s.o.MaxBackoff/10).UnixNano())
	}
	e.at = due
	switch {
	case item.Hold:
		e.state = held
	case due <= at:
		e.state = ready
	default:
		e.state = waiting
	}
}

// settle puts an entry that is in no line where its state says.
func (s *schedule) settle(e *entry) {
	switch e.state {
	case held:
		e.hop.resting++
		s.holds++
	case ready:
		s.enqueue(e, e.at)
	default:
		e.hop.resting++
		s.waiting.push(e)
	}
}

// wake puts a waiting entry in line, and gives the instant at which it was due.
func (s *schedule) wake(e *entry) int64 {
	due := e.at
	s.waiting.remove(e)
	e.hop.resting--
	s.enqueue(e, due)
	return due
}

// enqueue puts an entry that has been due since an instant in line at its hop.
func (s *schedule) enqueue(e *entry, due int64) {
	e.state, e.at = ready, due+int64(e.class.handicap())
	e.hop.ready.push(e)
	s.arrange(e.hop)
}

// detach takes an entry out of the line it is in.
func (s *schedule) detach(e *entry) {
	switch e.state {
	case waiting:
		s.waiting.remove(e)
		e.hop.resting--
	case ready:
		e.hop.ready.remove(e)
		s.arrange(e.hop)
	case lapsed:
		s.lapsed.remove(e)
	case held:
		s.holds--
		e.hop.resting--
	}
	e.state = apart
}

// forget takes an entry out of the schedule.
func (s *schedule) forget(e *entry) {
	s.detach(e)
	delete(s.items, e.id)
	s.gone(e.id)
	s.senders.items[e.sender]--
	s.leave(e)
	s.part(e)
}

// next gives what is to be started now.
func (s *schedule) next(now time.Time) []start {
	at := now.UnixNano()
	s.turnBack(now)
	for e, ok := s.waiting.top(); ok && e.at <= at; e, ok = s.waiting.top() {
		s.gatherKin(e, s.wake(e))
	}
	for h, ok := s.pauses.top(); ok && h.until <= at; h, ok = s.pauses.top() {
		s.pauses.remove(h)
		s.arrange(h)
	}
	for e, ok := s.running.top(); ok && e.at <= at; e, ok = s.running.top() {
		s.running.remove(e)
		e.slow = true
		s.slow++
	}
	var starts []start
	for s.load() < s.o.Active {
		e := s.pick()
		if e == nil {
			break
		}
		one := start{id: e.id, shared: e.state == lapsed, tries: e.tries(), kind: e.hop.key.Kind, family: e.family}
		if one.shared {
			one.last = e.hop.last
		}
		s.detach(e)
		s.begin(e, one.shared, at)
		starts = append(starts, one)
	}
	return starts
}

// pick chooses the next entry to start, nil if none may. Verdicts have at most
// a quarter of all places and hops in doubt at most half; a tenth is theirs
// before all others, so that they come back even when there is no end of work.
func (s *schedule) pick() *entry {
	if e, ok := s.lapsed.top(); ok && s.verdicts < max(1, s.o.Active/4) {
		return e
	}
	if s.probes < max(1, s.o.Active/10) {
		if e := turn(s.doubted); e != nil {
			return e
		}
	}
	if e := s.turnOfSound(); e != nil {
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
	e, _ := front.Value.(*hop).ready.top()
	return e
}

// load is how many places are taken.
func (s *schedule) load() int { return s.active - min(s.slow, slowness*s.o.Active) }

func (s *schedule) begin(e *entry, shared bool, at int64) {
	e.state, e.at = active, at+int64(prompt)
	s.running.push(e)
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
	s.running.remove(e)
	if e.slow {
		e.slow = false
		s.slow--
	}
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
	s.arrange(e.hop)
	if item == nil {
		s.forget(e)
		return
	}
	s.update(e, item, now)
}

// wait is how long next need not be called if nothing happens. It is never
// longer than a minute, so that a change of the clock is seen.
func (s *schedule) wait(now time.Time) time.Duration {
	wait := time.Minute
	if at := s.wantsSweep(); at < never {
		wait = min(wait, time.Duration(at-now.UnixNano()))
	}
	if e, ok := s.running.top(); ok && s.load() >= s.o.Active*9/10 {
		wait = min(wait, time.Duration(e.at-now.UnixNano()))
	}
	if s.load() >= s.o.Active {
		return max(wait, 0)
	}
	if e, ok := s.waiting.top(); ok {
		wait = min(wait, time.Duration(e.at-now.UnixNano()))
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
			e.at -= jumped // the order stays
		}
		for _, at := range []*int64{&s.view.last.due, &s.view.since.due, &s.view.ended} {
			if *at < never {
				*at -= jumped
			}
		}
		for _, e := range s.running.all {
			e.at -= jumped
		}
		for _, h := range s.pauses.all {
			h.until -= jumped
		}
		for _, h := range s.hops {
			h.counted = min(h.counted, at)
			for _, e := range h.ready.all {
				e.at -= jumped
			}
		}
	}
	s.last = at
}
