package search

import "context"

// turn is the right to write indexes, which one has at a time. Who makes way has it
// only until another wants it.
type turn struct {
	next chan struct{} // full while somebody waits at the head of all
	held chan struct{} // full while somebody writes
	stop func()        // ends what makes way; nil for what does not. Of who waits at the head
}

func newTurn() turn {
	return turn{next: make(chan struct{}, 1), held: make(chan struct{}, 1)}
}

// take waits for the turn, after those who wait already. stop, if it is not nil, is
// called when another waits. Leave is to be called in the end.
func (t *turn) take(ctx context.Context, stop func()) error {
	if err := fill(ctx, t.next); err != nil {
		return err
	}
	defer func() { <-t.next }()
	if t.stop != nil {
		t.stop()
	}
	if err := fill(ctx, t.held); err != nil {
		return err
	}
	t.stop = stop
	return nil
}

func (t *turn) leave() { <-t.held }

func fill(ctx context.Context, c chan<- struct{}) error {
	select {
	case c <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
