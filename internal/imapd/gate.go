package imapd

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"plic/internal/pace"
)

// perAccount is how many searches through messages an account runs at a time,
// so that one user's cannot slow the others down; and as many commands that are long
// for another reason, which do not wait for its searches.
const perAccount = 2

// bench has places for as many long commands as may be at work at a time, of all
// accounts. They take turns, in the order in which they came, so that none waits for
// another to end.
type bench struct {
	places  int
	waiting atomic.Int32 // the length of queue

	mu    sync.Mutex
	free  []*pace.Lane
	queue []chan *pace.Lane
}

// slice is how long a command stays on the bench while others wait.
const slice = 50 * time.Millisecond

// newBench leaves a processor to those who want little, if there are several.
func newBench(p *pace.Pace) *bench {
	b := &bench{places: max(1, p.Processors()-1)}
	for range b.places {
		b.free = append(b.free, p.Lane())
	}
	return b
}

// sit waits for a place for a session; rise gives it back.
func (b *bench) sit(ctx context.Context, by *pace.Quick) (*pace.Lane, error) {
	place := b.place()
	select {
	case lane := <-place:
		lane.Take(by)
		return lane, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	i := slices.Index(b.queue, place)
	if i >= 0 {
		b.queue = slices.Delete(b.queue, i, i+1)
		b.waiting.Add(-1)
	}
	b.mu.Unlock()
	if i < 0 { // it was given one
		b.give(<-place)
	}
	return nil, ctx.Err()
}

// place is where a lane comes: at once, or when it is one's turn.
func (b *bench) place() chan *pace.Lane {
	b.mu.Lock()
	defer b.mu.Unlock()
	place := make(chan *pace.Lane, 1)
	if last := len(b.free) - 1; last >= 0 {
		place <- b.free[last]
		b.free = b.free[:last]
	} else {
		b.queue = append(b.queue, place)
		b.waiting.Add(1)
	}
	return place
}

func (b *bench) rise(lane *pace.Lane) {
	lane.Free()
	b.give(lane)
}

func (b *bench) give(lane *pace.Lane) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.queue) == 0 {
		b.free = append(b.free, lane)
		return
	}
	b.queue[0] <- lane
	b.queue = slices.Delete(b.queue, 0, 1)
	b.waiting.Add(-1)
}
