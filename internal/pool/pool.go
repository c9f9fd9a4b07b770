// Package pool keeps connections to servers that answer one question after the
// other, such as policy servers, directories and tables of other programs, so
// that they serve again.
package pool

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// Options say how a Pool deals with its connections.
type Options[C io.Closer] struct {
	Dial func(context.Context) (C, error)
	Lost func(error) bool // after this error of a question the connection is of no use; nil: after each
	Fit  func(C) bool     // the connection can serve once more; nil: each can

	Most    int              // of them in use at a time, others wait; 0 is without limit
	Keep    int              // of them while they are idle; 0 is without limit
	IdleFor time.Duration    // and for how long; 0 is without limit
	Age     time.Duration    // after which none serves again; 0 is without limit
	Now     func() time.Time // time.Now if nil
}

// Pool is the connections to one server.
type Pool[C io.Closer] struct {
	o      Options[C]
	places chan struct{} // one for each that may be in use; nil without limit

	mu     sync.Mutex
	idle   []link[C]
	closed bool
}

// link is a connection.
type link[C io.Closer] struct {
	c          C
	made, used time.Time // used: zero before it has served
}

// New makes a Pool; nothing is connected yet.
func New[C io.Closer](o Options[C]) *Pool[C] {
	if o.Lost == nil {
		o.Lost = func(error) bool { return true }
	}
	if o.Fit == nil {
		o.Fit = func(C) bool { return true }
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	p := &Pool[C]{o: o}
	if o.Most > 0 {
		p.places = make(chan struct{}, o.Most)
	}
	return p
}

// ErrBusy says that no connection was free in time.
var ErrBusy = errors.New("all connections are busy")

// Do has a function ask its question over a connection. One that has served
// before may have ended while it was idle, as when the server has started anew:
// then the question is asked over another. So it must do no harm twice.
func (p *Pool[C]) Do(ctx context.Context, ask func(C) error) error {
	if p.places != nil {
		select {
		case p.places <- struct{}{}:
		case <-ctx.Done():
			return errors.Join(ErrBusy, ctx.Err())
		}
		defer func() { <-p.places }()
	}
	for {
		l, err := p.take(ctx)
		if err != nil {
			return err
		}
		err = ask(l.c)
		if err == nil || !p.o.Lost(err) {
			p.give(l)
			return err
		}
		l.c.Close()
		if l.used.IsZero() || ctx.Err() != nil {
			return err
		}
	}
}

// take gives an idle connection, or a new one.
func (p *Pool[C]) take(ctx context.Context) (link[C], error) {
	for {
		l, ok := p.last()
		if !ok {
			break
		}
		if p.fit(l) {
			return l, nil
		}
		l.c.Close()
	}
	c, err := p.o.Dial(ctx)
	return link[C]{c: c, made: p.o.Now()}, err
}

func (p *Pool[C]) last() (l link[C], ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 {
		return l, false
	}
	l = p.idle[n-1]
	p.idle[n-1] = link[C]{}
	p.idle = p.idle[:n-1]
	return l, true
}

func (p *Pool[C]) fit(l link[C]) bool {
	now := p.o.Now()
	return (p.o.IdleFor == 0 || now.Sub(l.used) < p.o.IdleFor) && (p.o.Age == 0 || now.Sub(l.made) < p.o.Age) && p.o.Fit(l.c)
}

func (p *Pool[C]) give(l link[C]) {
	l.used = p.o.Now()
	if p.fit(l) && p.keep(l) {
		return
	}
	l.c.Close()
}

func (p *Pool[C]) keep(l link[C]) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.o.Keep > 0 && len(p.idle) >= p.o.Keep {
		return false
	}
	p.idle = append(p.idle, l)
	return true
}

// Close ends the connections; those in use end with their question.
func (p *Pool[C]) Close() error {
	p.mu.Lock()
	idle := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	var errs []error
	for _, l := range idle {
		errs = append(errs, l.c.Close())
	}
	return errors.Join(errs...)
}
