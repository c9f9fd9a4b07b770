package queue

// Stats are numbers of items, for metrics.
type Stats struct{ Items, Ready, Active, Held, Destinations, Down int }

// Stats counts the queue. Of items that are not in view it knows the numbers of
// the last time that it looked.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := q.s.view.last
	out.add(q.s.view.since)
	n := Stats{Items: len(q.s.items) + out.items, Active: q.s.active, Held: q.s.holds + out.held, Destinations: len(q.s.hops)}
	for _, h := range q.s.hops {
		n.Ready += len(h.ready.all)
		if h.failures > 0 {
			n.Down++
		}
	}
	return n
}
