package imapd

import (
	"context"
	"sync/atomic"
	"time"

	"plic/internal/pace"
)

// perAccount is how many searches through messages an account runs at a time,
// so that one user's cannot slow the others down; and as many commands that are long
// for another reason, which do not wait for its searches.
const perAccount = 2

// bench has places for as many long commands as may be at work at a time, of all
// accounts. They take turns, so that none waits for another to end.
type bench struct {
	places  chan *pace.Lane
	waiting atomic.Int32
}

// slice is how long a command stays on the bench while others wait.
const slice = 50 * time.Millisecond

// newBench leaves a processor to those who want little, if there are several.
func newBench(p *pace.Pace) *bench {
	b := &bench{places: make(chan *pace.Lane, max(1, p.Processors()-1))}
	for range cap(b.places) {
		b.places <- p.Lane()
	}
	return b
}

// sit waits for a place for a session; rise gives it back.
func (b *bench) sit(ctx context.Context, by *pace.Quick) (*pace.Lane, error) {
	b.waiting.Add(1)
	defer b.waiting.Add(-1)
	select {
	case lane := <-b.places:
		lane.Take(by)
		return lane, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (b *bench) rise(lane *pace.Lane) {
	lane.Free()
	b.places <- lane
}
