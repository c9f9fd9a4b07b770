package pace

import (
	"context"
	"sync"
)

// Gate lets only a few of each name be at work at a time; the others wait. Its
// methods may be called at the same time.
type Gate struct {
	places int // of each name

	mu    sync.Mutex
	doors map[string]*door
}

type door struct {
	places chan struct{}
	users  int // inside or waiting
}

// NewGate makes a gate with so many places for each name.
func NewGate(places int) *Gate { return &Gate{places: places, doors: map[string]*door{}} }

// Enter waits for a place; leave gives it back.
func (g *Gate) Enter(ctx context.Context, name string) (leave func(), err error) {
	g.mu.Lock()
	d := g.doors[name]
	if d == nil {
		d = &door{places: make(chan struct{}, g.places)}
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

// Len says of how many names there are any.
func (g *Gate) Len() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.doors)
}

// Waiting says how many of a name are inside or wait.
func (g *Gate) Waiting(name string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if d := g.doors[name]; d != nil {
		return d.users
	}
	return 0
}
