package queue

import "time"

// Stats are numbers of items, for metrics.
type Stats struct{ Items, Ready, Active, Held, Destinations, Down, Backlog int }

// Stats counts the queue. Of items that are not in view it knows the numbers of
// the last time that it looked.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.s.view.last
	out.add(q.s.view.since)
	n := Stats{Items: len(q.s.items) + out.items, Active: q.s.active, Held: q.s.holds + out.held, Destinations: len(q.s.hops), Backlog: q.s.backlog}
	for _, h := range q.s.hops {
		n.Ready += len(h.ready.all)
		if h.failures > 0 {
			n.Down++
		}
	}
	return n
}

// A backlog of lull times Options.Active items is nothing unusual; one of torrent
// times as many slows those down most who bring more.
const (
	lull      = 10
	torrent   = 40
	longestIn = time.Second
)

// Pressure is how long a message for the queue should wait before it is taken:
// nothing, until much more has come than goes to hosts that answer.
func (q *Queue) Pressure() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	over := q.s.backlog - lull*q.o.Active
	if over <= 0 {
		return 0
	}
	return min(longestIn, longestIn*time.Duration(over)/time.Duration((torrent-lull)*q.o.Active))
}
