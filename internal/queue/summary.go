package queue

import (
	"cmp"
	"context"
	"slices"
	"time"

	"plic/internal/mail"
)

// Destination is what waits for one hop.
type Destination struct {
	Hop        mail.Hop
	Items      int
	Recipients int
	Bytes      int64 // of the messages, counted for each item
	Active     int   // being tried now
	Held       int
	Oldest     time.Time   // when the oldest item came
	Next       time.Time   // when the next is due, zero if all are held
	Down       bool        // the last try found no service there
	Last       mail.Status // of that try
}

// Summary counts the queue by destination, the fullest first. Before Run it
// reads every item, later it knows.
func (q *Queue) Summary(ctx context.Context) ([]Destination, error) {
	q.mu.Lock()
	if q.loaded {
		defer q.mu.Unlock()
		return q.s.summary(), nil
	}
	q.mu.Unlock()
	s := newSchedule(&q.o)
	for item, err := range q.o.Custody.Items(ctx) {
		if err != nil {
			return nil, err
		}
		s.add(&item, q.o.Now())
	}
	return s.summary(), nil
}

func (s *schedule) summary() []Destination {
	by := make(map[*hop]*Destination, len(s.hops))
	for _, e := range s.items {
		d := by[e.hop]
		if d == nil {
			d = &Destination{Hop: e.hop.key, Active: e.hop.active, Down: e.hop.failures > 0, Last: e.hop.last.Status}
			if !d.Down {
				d.Last = mail.Status{}
			}
			by[e.hop] = d
		}
		d.Items++
		d.Recipients += int(e.rcpts)
		d.Bytes += int64(e.kib) << 10
		if came := e.received.time(); d.Oldest.IsZero() || came.Before(d.Oldest) {
			d.Oldest = came
		}
		if e.state == held {
			d.Held++
		} else if due := e.due(); d.Next.IsZero() || due.Before(d.Next) {
			d.Next = due
		}
	}
	all := make([]Destination, 0, len(by))
	for _, d := range by {
		all = append(all, *d)
	}
	slices.SortFunc(all, func(a, b Destination) int {
		return cmp.Or(b.Items-a.Items, cmp.Compare(a.Hop.Host, b.Hop.Host), cmp.Compare(a.Hop.Kind, b.Hop.Kind), int(a.Hop.Port)-int(b.Hop.Port))
	})
	return all
}

// Stats are numbers of items, for metrics.
type Stats struct{ Items, Ready, Active, Held, Destinations, Down int }

// Stats counts what the queue knows of now.
func (q *Queue) Stats() Stats {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := Stats{Items: len(q.s.items), Active: q.s.active, Held: q.s.holds, Destinations: len(q.s.hops)}
	for _, h := range q.s.hops {
		n.Ready += len(h.ready.all)
		if h.failures > 0 {
			n.Down++
		}
	}
	return n
}
