package imapd

import (
	"context"
	"sync"
)

// gate lets only a few of each kind be at work at a time; the others wait. The
// zero value is ready.
type gate struct {
	mu    sync.Mutex
	doors map[string]*door
}

type door struct {
	places chan struct{}
	users  int // inside or waiting
}

// perAccount is how many searches through messages an account runs at a time,
// so that one user's cannot slow the others down.
const perAccount = 2

// enter waits for a place; leave gives it back.
func (g *gate) enter(ctx context.Context, name string) (leave func(), err error) {
	g.mu.Lock()
	d := g.doors[name]
	if d == nil {
		if g.doors == nil {
			g.doors = map[string]*door{}
		}
		d = &door{places: make(chan struct{}, perAccount)}
		g.doors[name] = d
	}
	d.users++
	g.mu.Unlock()
	forget := func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		if d.users--; d.users == 0 {
			delete(g.doors, name)
		}
	}
	select {
	case d.places <- struct{}{}:
		return func() { <-d.places; forget() }, nil
	case <-ctx.Done():
		forget()
		return nil, ctx.Err()
	}
}
