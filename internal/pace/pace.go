// Package pace lets work that takes long make way for what is quickly done, where
// there are few processors. A command of some microseconds takes as long as that
// only while a processor is free for it: else something must be woken, moved or
// waited for, which takes many times as long. So while quick commands follow each
// other and there is not a processor for each, who searches pauses, but always
// keeps a share of the time.
package pace

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// recent is how long ago two quick commands have ended at most where the next
	// one is expected at once. Who lets more time pass between them has to be woken
	// anyhow, and wins nothing by a pause.
	recent = 500 * time.Microsecond
	// nap is how long a pause is at least: each end of one wakes a processor.
	nap = 3 * time.Millisecond
	// pause is how long one may pause in all before it has worked for so long as
	// stint in one piece: a tenth of the time is its own.
	pause = 45 * time.Millisecond
	stint = 5 * time.Millisecond
)

// Pace is what a server knows of the work in it. Its methods may be called at the
// same time.
type Pace struct {
	processors int
	epoch      time.Time

	ended  atomic.Uint64 // quick commands so far
	last   atomic.Int64  // when the last of them ended, since epoch
	before atomic.Int64  // and the one before it
	quick  atomic.Int32  // at work now
	long   atomic.Int32  // lanes at work now
	paused atomic.Int64  // how long, in all
}

// New makes the pace of work that shares some processors.
func New(processors int) *Pace {
	p := &Pace{processors: processors, epoch: time.Now()}
	p.last.Store(-int64(recent) - 1) // none has ended
	p.before.Store(p.last.Load())
	return p
}

// Processors is how many there are.
func (p *Pace) Processors() int { return p.processors }

// Paused is how long work has paused so far, all lanes together.
func (p *Pace) Paused() time.Duration { return time.Duration(p.paused.Load()) }

// Quick is what a session says of its commands. It is for one goroutine, but that
// another may call Leave and Resume while there is no command. The zero value, and
// nil, tell nobody.
type Quick struct {
	pace   *Pace
	atWork bool
	ended  uint64 // the number of the last
}

// Quick gives one.
func (p *Pace) Quick() Quick { return Quick{pace: p} }

// Begin says that a command begins that is probably quick.
func (q *Quick) Begin() {
	if q.pace == nil || q.atWork {
		return
	}
	q.atWork = true
	q.pace.quick.Add(1)
}

// End says that the command is over.
func (q *Quick) End() {
	if q.Leave() {
		q.pace.before.Store(q.pace.last.Swap(int64(time.Since(q.pace.epoch))))
		q.ended = q.pace.ended.Add(1)
	}
}

// Leave says that the command takes long, or waits for its client, and returns
// whether one was at work.
func (q *Quick) Leave() bool {
	if q == nil || !q.atWork {
		return false
	}
	q.atWork = false
	q.pace.quick.Add(-1)
	return true
}

// Resume says that a command goes on which was, if it was at work before.
func (q *Quick) Resume(was bool) {
	if was && !q.atWork {
		q.atWork = true
		q.pace.quick.Add(1)
	}
}

// pressed says whether quick commands are coming for which there are not enough
// processors beside those of the lanes at work.
func (p *Pace) pressed() bool {
	if time.Since(p.epoch)-time.Duration(p.before.Load()) > recent {
		return false
	}
	return max(1, p.quick.Load()) >= int32(p.processors)-max(1, p.long.Load())
}

// Lane is the right to keep a processor at work for long. It goes from one
// command to the next, with what it has paused.
type Lane struct {
	pace *Pace
	seen atomic.Uint64 // of ended

	mu    sync.Mutex // two may step at a time
	taken bool
	since time.Time     // when the last pause ended
	left  time.Duration // to pause yet
}

// Lane gives one.
func (p *Pace) Lane() *Lane { return &Lane{pace: p, left: pause} }

// Take says that a lane is at work from here on for a session, whose own last
// commands it does not pause for; nil for none. Free says that it is not. One that is
// never taken may be used too: its work does not count.
func (l *Lane) Take(by *Quick) {
	if by != nil && by.ended != 0 {
		l.seen.Store(by.ended)
	}
	l.take(true)
}

// Free says that the lane is not at work any more.
func (l *Lane) Free() { l.take(false) }

func (l *Lane) take(taken bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken == taken {
		return
	}
	l.taken = taken
	if taken {
		l.pace.long.Add(1)
	} else {
		l.pace.long.Add(-1)
	}
}

// Step is to be called about ten times a millisecond by who is at work. It lets
// others run, pauses if that is due, and gives the error of a context that is done.
func (l *Lane) Step(ctx context.Context) error {
	runtime.Gosched()
	if err := ctx.Err(); err != nil {
		return err
	}
	if l.pace.ended.Load() == l.seen.Load() {
		return nil // nobody has come since
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seen.Store(l.pace.ended.Load())
	for l.pace.pressed() {
		if time.Since(l.since) >= stint {
			l.left = pause
		}
		if l.left < nap {
			return nil
		}
		if err := l.nap(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (l *Lane) nap(ctx context.Context) error {
	if l.taken {
		l.pace.long.Add(-1)
		defer l.pace.long.Add(1)
	}
	began := time.Now()
	defer func() { l.pace.paused.Add(int64(time.Since(began))) }()
	t := time.NewTimer(nap)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	l.since = time.Now()
	l.left -= l.since.Sub(began)
	return nil
}

// stepKey is what a context says of who is at work.
type stepKey struct{}

// With has Step call a function under a context: that of a Lane.
func With(ctx context.Context, step func(context.Context) error) context.Context {
	return context.WithValue(ctx, stepKey{}, step)
}

// Step is called, as Lane.Step, by what is part of long work or of quick. Of
// quick work it gives the error of the context alone.
func Step(ctx context.Context) error {
	if step, ok := ctx.Value(stepKey{}).(func(context.Context) error); ok {
		return step(ctx)
	}
	return ctx.Err()
}
