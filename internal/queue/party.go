package queue

import (
	"context"
	"sync"
	"time"

	"plic/internal/mail"
)

// Joiner is a Transport that can take items of one message together, so that
// those for the same host are one transaction there.
type Joiner interface {
	Transport
	// DeliverAll delivers as Deliver does, and calls done once for each item with
	// its outcomes, from any goroutine.
	DeliverAll(ctx context.Context, items []*mail.Item, bodies []mail.Body, done func(i int, outcomes []mail.Outcome))
}

// together is how far apart the items of a message may be due to be tried at
// once.
const together = time.Second

// party is items of one message that are started at the same time. Each comes
// to join, or stays away; with the last of them it leaves.
type party struct {
	mu     sync.Mutex
	coming int
	items  []*mail.Item
	bodies []mail.Body
	out    []chan []mail.Outcome
}

// parties puts those starts together that are of one message and go the same
// kind of way.
func (q *Queue) parties(starts []start) {
	type way struct {
		family *family
		kind   mail.HopKind
	}
	first := map[way]*start{}
	for i := range starts {
		one := &starts[i]
		if one.family == nil || one.shared {
			continue
		}
		if _, ok := q.o.Transports[one.kind].(Joiner); !ok {
			continue
		}
		w := way{one.family, one.kind}
		other := first[w]
		if other == nil {
			first[w] = one
			continue
		}
		if other.party == nil {
			other.party = &party{coming: 1}
		}
		one.party = other.party
		one.party.coming++
	}
}

// join adds an item and gives its outcomes.
func (p *party) join(ctx context.Context, t Joiner, item *mail.Item, body mail.Body) []mail.Outcome {
	out := make(chan []mail.Outcome, 1)
	p.mu.Lock()
	p.items, p.bodies, p.out = append(p.items, item), append(p.bodies, body), append(p.out, out)
	p.mu.Unlock()
	p.arrive(ctx, t)
	return <-out
}

// arrive counts one that has joined, or stays away.
func (p *party) arrive(ctx context.Context, t Joiner) {
	p.mu.Lock()
	p.coming--
	leaves := p.coming == 0 && len(p.items) > 0
	p.mu.Unlock()
	if leaves {
		go p.leave(ctx, t)
	}
}

// leave delivers. Whoever has no outcomes in the end, because of a fault, gets
// none.
func (p *party) leave(ctx context.Context, t Joiner) {
	told := make([]sync.Once, len(p.items))
	tell := func(i int, outcomes []mail.Outcome) { told[i].Do(func() { p.out[i] <- outcomes }) }
	defer func() {
		recover() // of which there is a word in the outcome
		for i := range p.items {
			tell(i, nil)
		}
	}()
	t.DeliverAll(ctx, p.items, p.bodies, tell)
}
