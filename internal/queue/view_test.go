package queue

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/mail"
)

// inView fails if the queue knows more than it may.
func (q *running) inView(t *testing.T) int {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.s.check(t)
	return len(q.s.items)
}

// A queue of many times the items that it may know delivers all, whether they
// were found at the start or told of, and knows the number of the others.
func TestBoundedView(t *testing.T) {
	t.Parallel()
	few := func(o *Options) { o.Known, o.Active = 100, 20 }
	bubble(t, "found", func(t *testing.T) {
		m := newMemory()
		for i := range 2000 {
			m.put(itemTo(fmt.Sprintf("h%d.test", i%7), "x"))
		}
		q := run(t, m, func(_ context.Context, item *mail.Item, n int) []mail.Outcome {
			time.Sleep(10 * time.Millisecond)
			return outcomes(250)(nil, item, n)
		}, few)
		synctest.Wait()
		if n := q.inView(t); n < 50 {
			t.Errorf("only %d items are in view", n)
		}
		if s := q.Stats(); s.Items < 1900 || s.Items > 2000 {
			t.Errorf("stats %+v", s)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if m.left() != 0 || q.tr.count() != 2000 || q.Stats() != (Stats{}) {
			t.Errorf("%d left after %d tries, stats %+v", m.left(), q.tr.count(), q.Stats())
		}
		q.mu.Lock()
		defer q.mu.Unlock()
		if q.s.view.partial || len(q.s.hops) != 0 {
			t.Errorf("still looks for more: %+v", q.s.view)
		}
	})
	bubble(t, "told of", func(t *testing.T) {
		m := newMemory()
		q := run(t, m, func(_ context.Context, item *mail.Item, n int) []mail.Outcome {
			time.Sleep(10 * time.Millisecond)
			return outcomes(250)(nil, item, n)
		}, few)
		for i := range 2000 {
			item := itemTo(fmt.Sprintf("h%d.test", i%3), "x")
			m.put(item)
			q.Added(*item)
			if i%100 == 0 {
				q.inView(t)
			}
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if m.left() != 0 || q.tr.count() < 2000 {
			t.Errorf("%d left after %d tries", m.left(), q.tr.count())
		}
	})
	// Threat L2 of the way out: what fills the view does not keep others out.
	bubble(t, "dead hosts that hoard", func(t *testing.T) {
		m := newMemory()
		for i := range 450 {
			item := itemTo(fmt.Sprintf("dead%d.test", i%3), "x")
			item.Expires = time.Now().Add(day)
			m.put(item)
		}
		var good atomic.Int32
		q := run(t, m, func(_ context.Context, item *mail.Item, n int) []mail.Outcome {
			if item.Hop.Host == "good.test" {
				good.Add(1)
				return outcomes(250)(nil, item, n)
			}
			time.Sleep(time.Minute)
			return []mail.Outcome{timedOut}
		}, func(o *Options) { o.Known, o.Active = 60, 20 })
		time.Sleep(time.Hour)
		for range 300 {
			item := itemTo("good.test", "x")
			m.put(item)
			q.Added(*item)
		}
		time.Sleep(3 * time.Minute)
		if got := good.Load(); got != 300 {
			t.Errorf("%d of 300 for a living host were delivered in three minutes, of a view of 60", got)
		}
		q.inView(t)
		// Each sender is told of the delay, though few items are known at a time,
		// and in the end each item is given up.
		time.Sleep(7 * time.Hour)
		if n := len(m.told()); n != 450 {
			t.Errorf("%d of 450 senders were told of the delay in 8 hours", n)
		}
		time.Sleep(20 * time.Hour)
		if m.left() != 0 || len(m.told()) != 900 {
			t.Errorf("%d are left after a day, %d reports", m.left(), len(m.told()))
		}
		if n := q.tr.count() - 300; n > 1000 { // one every six minutes, and one last time
			t.Errorf("three dead hosts were asked %d times in a day", n)
		}
	})
	bubble(t, "dead hosts that live again", func(t *testing.T) {
		m := newMemory()
		for range 900 {
			m.put(itemTo("dead.test", "x"))
		}
		var alive atomic.Bool
		q := run(t, m, func(_ context.Context, item *mail.Item, n int) []mail.Outcome {
			if alive.Load() {
				return outcomes(250)(nil, item, n)
			}
			time.Sleep(time.Minute)
			return []mail.Outcome{timedOut}
		}, few)
		time.Sleep(2 * time.Hour)
		alive.Store(true)
		time.Sleep(90 * time.Minute)
		if m.left() != 0 {
			t.Errorf("%d of 900 are left", m.left())
		}
		q.inView(t)
	})
	bubble(t, "greylisted by turns", func(t *testing.T) {
		m := newMemory()
		for i := range 900 {
			m.put(itemTo(fmt.Sprintf("h%d.test", i%200), "x"))
		}
		seen := map[mail.ID]time.Time{}
		var late time.Duration
		tr := &transport{}
		q := run(t, m, func(_ context.Context, item *mail.Item, n int) []mail.Outcome {
			tr.mu.Lock()
			defer tr.mu.Unlock()
			first, again := seen[item.ID]
			if !again {
				seen[item.ID] = time.Now()
				return outcomes(450)(nil, item, n)
			}
			late = max(late, time.Since(first))
			return outcomes(250)(nil, item, n)
		}, few)
		time.Sleep(30 * time.Minute)
		if m.left() != 0 || late > 7*time.Minute {
			t.Errorf("%d of 900 are left, the last came %v after the first try", m.left(), late)
		}
		q.inView(t)
	})
}

// slowMemory is a custody of which a sweep takes as long as that of a million
// items does on a slow disk.
type slowMemory struct {
	*memory
	took   time.Duration
	sweeps *atomic.Int32
}

func (m slowMemory) Items(ctx context.Context) iter.Seq2[mail.Item, error] {
	return func(yield func(mail.Item, error) bool) {
		m.sweeps.Add(1)
		n := max(m.left(), 1)
		for item, err := range m.memory.Items(ctx) {
			time.Sleep(m.took / time.Duration(n))
			if !yield(item, err) {
				return
			}
		}
	}
}

// However slow sweeps are, what is not in view comes in time, and sweeps have no
// more than a part of the time.
func TestSlowSweeps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		const items = 1500
		for i := range items {
			item := itemTo(fmt.Sprintf("h%d.test", i%50), "x")
			item.Due = time.Now().Add(5*time.Minute + time.Duration(i*7919%items)*12*time.Hour/items)
			m.put(item)
		}
		var late time.Duration
		var mu sync.Mutex
		var sweeps atomic.Int32
		q := run(t, m, func(_ context.Context, item *mail.Item, n int) []mail.Outcome {
			mu.Lock()
			defer mu.Unlock()
			late = max(late, time.Since(item.Due))
			return outcomes(250)(nil, item, n)
		}, func(o *Options) {
			o.Known, o.Active, o.Custody = 300, 20, slowMemory{m, 25 * time.Second, &sweeps}
		})
		time.Sleep(13 * time.Hour)
		if m.left() != 0 || late > time.Second {
			t.Errorf("%d are left, one came %v late", m.left(), late)
		}
		if n := sweeps.Load(); n > 13*3600/250+2 {
			t.Errorf("%d sweeps of 25 s in 13 hours", n)
		}
		q.inView(t)
	})
}

// The postmaster's words reach items that are not in view.
func TestControlOutOfView(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		for i := range 1000 {
			item := itemTo(fmt.Sprintf("h%d.test", i%3), "x")
			item.Hold = i%2 == 0
			if i%10 == 5 { // it wants to go in a day
				item.Envelope.Release = time.Now().Add(day)
				item.Due, item.Expires = item.Envelope.Release, item.Envelope.Release.Add(5*day)
			}
			m.put(item)
		}
		q := run(t, m, outcomes(250), func(o *Options) { o.Known = 60 })
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if s := q.Stats(); m.left() != 600 || s.Items != 600 || s.Held != 500 {
			t.Fatalf("%d left, stats %+v", m.left(), s)
		}
		q.inView(t)
		must := func(r Result, err error) {
			t.Helper()
			if err != nil {
				t.Error(err)
			}
		}
		must(q.Retry(t.Context(), Filter{Host: "h0.test"}))
		time.Sleep(10 * time.Minute)
		released := 600 - m.left()
		if released < 30 || released > 40 {
			t.Errorf("%d of a third of 100 went after retry", released)
		}
		must(q.Release(t.Context(), Filter{Held: true, Host: "h1.test"}))
		must(q.Remove(t.Context(), Filter{Held: true, Host: "h2.test"}, false))
		must(q.Reroute(t.Context(), Filter{Held: true, Host: "h0.test"}, hopTo("other.test")))
		time.Sleep(20 * time.Minute)
		synctest.Wait()
		var held, others int
		for _, l := range collect(t, q.Queue, Filter{}) {
			if l.Hold {
				held++
			} else {
				others++
			}
		}
		if s := q.Stats(); held < 160 || held > 170 || others != 100-released || s.Items != held+others || s.Held != held {
			t.Errorf("%d held and %d others, stats %+v; %+v", held, others, s, q.s.view)
		}
		time.Sleep(day)
		if got := m.left(); got != held {
			t.Errorf("%d are left when all others have gone, %d held", got, held)
		}
		q.inView(t)
	})
}

// Any history of a small view over a larger custody ends with every item tried.
func TestViewRandomHistories(t *testing.T) {
	t.Parallel()
	for seed := range uint64(8) {
		bubble(t, fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			m := newMemory()
			var answers atomic.Bool
			var mu sync.Mutex
			pick := func(n int) int {
				mu.Lock()
				defer mu.Unlock()
				return rng.IntN(n)
			}
			q := run(t, m, func(_ context.Context, item *mail.Item, n int) []mail.Outcome {
				time.Sleep(time.Duration(pick(3000)) * time.Millisecond)
				if answers.Load() {
					return outcomes(250)(nil, item, n)
				}
				switch pick(4) {
				case 0:
					return outcomes(450)(nil, item, n)
				case 1:
					return []mail.Outcome{timedOut}
				}
				return outcomes(250)(nil, item, n)
			}, func(o *Options) { o.Known, o.Active = 20+int(seed)*10, 1+int(seed)*3 })
			for range 60 {
				for range pick(40) {
					item := itemTo(fmt.Sprintf("h%d.test", pick(12)), "x")
					item.Hold = pick(10) == 0
					m.put(item)
					if pick(8) > 0 { // others were committed, and nobody has told
						q.Added(*item)
					}
				}
				time.Sleep(time.Duration(pick(900)) * time.Second)
				host := fmt.Sprintf("h%d.test", pick(12))
				switch pick(5) {
				case 0:
					q.Hold(t.Context(), Filter{Host: host}, "x")
				case 1:
					q.Release(t.Context(), Filter{Host: host})
				case 2:
					q.Remove(t.Context(), Filter{Host: host}, false)
				case 3:
					q.Retry(t.Context(), Filter{Host: host})
				}
				q.inView(t)
			}
			answers.Store(true)
			q.Release(t.Context(), Filter{})
			q.stop()
			again := run(t, m, outcomes(250), func(o *Options) { o.Known = 30 })
			time.Sleep(3 * time.Hour)
			if m.left() != 0 || again.Stats().Items != 0 {
				t.Errorf("%d are left, stats %+v", m.left(), again.Stats())
			}
		})
	}
}

// More that comes than goes to hosts that answer is a pressure on those who bring
// it; a dead host's pile is none.
func TestPressure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		open := make(chan struct{})
		q := run(t, m, func(_ context.Context, item *mail.Item, n int) []mail.Outcome {
			if item.Hop.Host == "dead.test" {
				return []mail.Outcome{timedOut}
			}
			<-open
			return outcomes(250)(nil, item, n)
		}, func(o *Options) { o.Active = 10 })
		add := func(host string, n int) {
			for range n {
				item := itemTo(host, "x")
				m.put(item)
				q.Added(*item)
			}
			synctest.Wait()
		}
		pressure := func(least, most time.Duration) {
			t.Helper()
			if got := q.Pressure(); got < least || got > most {
				t.Errorf("a pressure of %v with a backlog of %d", got, q.Stats().Backlog)
			}
		}
		add("dead.test", 1000)
		pressure(0, 0)
		add("a.test", 100)
		pressure(0, 0)
		add("b.test", 160)
		pressure(400*time.Millisecond, 600*time.Millisecond)
		add("c.test", 2000)
		pressure(time.Second, time.Second)
		q.inView(t)
		close(open)
		time.Sleep(time.Second)
		synctest.Wait()
		pressure(0, 0)
		if left := m.left(); left != 1000 {
			t.Errorf("%d are left", left)
		}
	})
}
