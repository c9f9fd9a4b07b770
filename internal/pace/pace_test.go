package pace

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// closely runs quick commands of a client that gives one after the other, until
// it is told to stop.
func closely(t *testing.T, p *Pace) (stop func()) {
	t.Helper()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for q := p.Quick(); ; {
			select {
			case <-done:
				return
			default:
			}
			q.Begin()
			time.Sleep(10 * time.Microsecond)
			q.End()
			time.Sleep(10 * time.Microsecond)
		}
	}()
	time.Sleep(time.Millisecond)
	return func() { close(done); <-ended }
}

// toil works in a lane for some time of work, and says how long it took.
func toil(t *testing.T, l *Lane, work time.Duration) time.Duration {
	t.Helper()
	began := time.Now()
	for did := time.Duration(0); did < work; did += 100 * time.Microsecond {
		time.Sleep(100 * time.Microsecond)
		if err := l.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return time.Since(began)
}

// I4: who works long pauses while quick commands follow each other on too few
// processors, keeps a share of the time though they never stop, and goes on
// undisturbed when they do.
func TestPause(t *testing.T) {
	for _, of := range []struct {
		name              string
		processors, lanes int
		pauses            bool
	}{
		{"one processor", 1, 1, true},
		{"two", 2, 1, true},
		{"two, and what takes no lane", 2, 0, true},
		{"four, one at work", 4, 1, false},
		{"four, all but one at work", 4, 3, true},
		{"many", 64, 62, false},
	} {
		t.Run(of.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := New(of.processors)
				l := p.Lane()
				for i := range of.lanes {
					if i == 0 {
						l.Take(nil)
					} else {
						p.Lane().Take(nil)
					}
				}
				const work = 20 * time.Millisecond
				if took := toil(t, l, work); took != work {
					t.Errorf("%v of work took %v while nobody came", work, took)
				}
				stop := closely(t, p)
				took := toil(t, l, work)
				least, most := work, work
				if of.pauses {
					least, most = 3*work, (stint+pause)/stint*work+pause
				}
				if took < least || took > most {
					t.Errorf("%v of work took %v while quick commands came, expected %v to %v", work, took, least, most)
				}
				if told := p.Paused(); told != took-work {
					t.Errorf("%v of pauses are told of, which took %v", told, took-work)
				}
				stop()
				toil(t, l, time.Millisecond) // the last of them are recent
				if took := toil(t, l, work); took != work {
					t.Errorf("%v of work took %v after they had stopped", work, took)
				}
				if long := p.long.Load(); long != int32(of.lanes) {
					t.Errorf("%d lanes are at work, expected %d", long, of.lanes)
				}
			})
		})
	}
}

// A pause begins at once, and ends soon after quick commands have stopped.
func TestPauseBeginsAndEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(2)
		l := p.Lane()
		l.Take(nil)
		toil(t, l, stint)
		stop := closely(t, p)
		began := time.Now()
		time.AfterFunc(10*time.Millisecond, stop)
		if err := l.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 10*time.Millisecond || took > 10*time.Millisecond+nap+recent {
			t.Errorf("a pause while others came for 10 ms took %v", took)
		}
	})
}

// A client that does something now and then has to be woken anyhow: nobody pauses
// for it. Nor for commands that take long, or wait for their clients.
func TestNoPause(t *testing.T) {
	for name, command := range map[string]func(*Quick){
		"now and then": func(q *Quick) { q.Begin(); q.End(); time.Sleep(time.Millisecond) },
		"long":         func(q *Quick) { q.Begin(); q.Leave(); q.End(); time.Sleep(20 * time.Microsecond) },
		"client is slow": func(q *Quick) {
			q.Begin()
			for range 1000 {
				was := q.Leave()
				time.Sleep(20 * time.Microsecond)
				q.Resume(was)
			}
			q.End()
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := New(2)
				l := p.Lane()
				l.Take(nil)
				done, ended := make(chan struct{}), make(chan struct{})
				go func() {
					defer close(ended)
					for q := p.Quick(); ; command(&q) {
						select {
						case <-done:
							return
						default:
						}
					}
				}()
				const work = 10 * time.Millisecond
				if took := toil(t, l, work); took != work {
					t.Errorf("%v of work took %v", work, took)
				}
				close(done)
				<-ended
				if n := p.quick.Load(); n != 0 {
					t.Errorf("%d quick commands are still at work", n)
				}
			})
		})
	}
}

// A pause ends when what pauses is not wanted any more.
func TestPauseCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(2)
		l := p.Lane()
		l.Take(nil)
		toil(t, l, stint)
		stop := closely(t, p)
		defer stop()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		began := time.Now()
		if err := Step(With(ctx, l.Step)); !errors.Is(err, context.Canceled) {
			t.Errorf("the step ended with %v", err)
		}
		if took := time.Since(began); took != time.Millisecond {
			t.Errorf("the step took %v", took)
		}
		l.Free()
		if long := p.long.Load(); long != 0 {
			t.Errorf("%d lanes are at work", long)
		}
		if err := Step(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("a step of quick work ended with %v", err)
		}
	})
}
