package queue

import (
	"container/list"
	"time"

	"plic/internal/mail"
)

// doubtful is how many tries in a row must find a hop down before its items
// wait for one of them.
const doubtful = 3

// breath is how long a hop rests when it says that it has too much to do; it
// doubles while it says so.
const breath = 30 * time.Second

// hop is what the schedule knows of a destination while it has items.
type hop struct {
	key      mail.Hop
	ready    pile[*entry]
	entries  int     // in all states
	resting  int     // of them: held, or waiting for their time
	backlog  int     // its part of schedule.backlog
	passed   int     // how many were busy when others stayed out of view; 0 for none
	active   int     // being tried now
	window   float64 // how many may be
	failures int     // tries in a row that found it down
	last     mail.Outcome
	upto     mail.ID       // the last item that a sweep has taken into view
	behind   bool          // there are due ones before it
	skipped  bool          // the sweep at work has passed over due ones after it
	until    int64         // no try before, while it is in schedule.pauses
	pos      int32         // there
	elem     *list.Element // in line
	line     *list.List    // one of schedule.sound, or doubted, nil for neither

	// tries counts, for the items that wait, how often the hop was found down,
	// at the intervals at which one item alone would have been tried.
	tries   uint32
	run     int // of them in a row
	counted int64
}

// busy is how many entries are due.
func (h *hop) busy() int { return h.entries - h.resting }

func (h *hop) instant() int64 { return h.until }
func (h *hop) place() *int32  { return &h.pos }

// arrange puts a hop into the line where it belongs.
func (s *schedule) arrange(h *hop) {
	s.drained(h)
	backlog := 0
	if h.failures == 0 {
		backlog = len(h.ready.all)
	}
	s.backlog += backlog - h.backlog
	h.backlog = backlog
	var line *list.List
	if first, ok := h.ready.top(); ok && h.active < int(h.window) && h.pos == absent {
		line = s.sound[first.class]
		if h.failures > 0 {
			line = s.doubted
		}
	}
	if line == h.line {
		return
	}
	if h.line != nil {
		h.line.Remove(h.elem)
	}
	if h.line = line; line != nil {
		h.elem = line.PushBack(h)
	}
}

// feedback moves the window of a hop by what a try has found: one more for
// each windowful of answers, half when there was none.
func (s *schedule) feedback(h *hop, said health, last mail.Outcome, now time.Time) {
	switch said {
	case up:
		h.failures, h.run = 0, 0
		h.window = min(h.window+1/h.window, float64(s.o.MaxWindow))
		s.pauses.remove(h)
	case busy, down:
		h.failures++
		h.last = last
		h.window = max(1, h.window/2)
		s.countTry(h, now)
		if h.failures >= doubtful {
			s.pause(h, s.o.MinBackoff, now)
		} else if said == busy {
			s.pause(h, min(breath<<(h.failures-1), s.o.MinBackoff), now)
		}
	}
}

// countTry counts a failed try of the hop as one of every waiting item if the
// interval since the one counted before is about what such an item would wait.
func (s *schedule) countTry(h *hop, now time.Time) {
	at := now.UnixNano()
	if h.run > 0 && at-h.counted < int64(s.o.backoff(h.run)*3/4) {
		return
	}
	h.tries++
	h.run++
	h.counted = at
}

// pause lets a hop rest. Of the items in its line, those that are too old, or
// whose sender should be told of the delay, get the verdict of the hop.
func (s *schedule) pause(h *hop, d time.Duration, now time.Time) {
	s.pauses.remove(h)
	h.until = now.Add(d).UnixNano()
	s.pauses.push(h)
	var late []*entry
	for _, e := range h.ready.all {
		if s.isLapsed(e, now) {
			late = append(late, e)
		}
	}
	for _, e := range late {
		h.ready.remove(e)
		e.state = lapsed
		s.lapsed.push(e)
	}
	if h.failures >= doubtful {
		s.rotate(h)
	}
	s.arrange(h)
}

func (s *schedule) isLapsed(e *entry, now time.Time) bool {
	received, expires := e.received.time(), e.expires.time()
	if !now.Before(expires) && e.tries()+1 >= s.o.enough(expires.Sub(received)) {
		return true
	}
	return !e.warned && s.o.late(received.Add(s.o.WarnAfter), s.o.WarnAfter, e.tries()+1, now)
}

// unpause lets a hop be tried again now.
func (s *schedule) unpause(h *hop) {
	s.pauses.remove(h)
	s.arrange(h)
}
