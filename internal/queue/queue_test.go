package queue

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/mail"
)

const day = 24 * time.Hour

func bubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, f)
	})
}

func TestFates(t *testing.T) {
	t.Parallel()
	bubble(t, "delivered", func(t *testing.T) {
		m := newMemory()
		q := run(t, m, outcomes(250), nil)
		item := itemTo("a.test", "x", "y")
		m.put(item)
		q.Added(*item)
		synctest.Wait()
		settles, reads := m.numbers()
		if m.left() != 0 || q.tr.count() != 1 || len(m.told()) != 0 || settles != 1 || reads != 0 {
			t.Errorf("%d left, %d tries, told %v, %d settled, %d read", m.left(), q.tr.count(), m.told(), settles, reads)
		}
		if s := q.Stats(); s != (Stats{}) {
			t.Errorf("stats %+v", s)
		}
	})
	bubble(t, "found at the start", func(t *testing.T) {
		m := newMemory(itemTo("a.test", "x"), itemTo("b.test", "x"))
		q := run(t, m, outcomes(250), nil)
		synctest.Wait()
		if m.left() != 0 || q.tr.count() != 2 {
			t.Errorf("%d left, %d tries", m.left(), q.tr.count())
		}
	})
	bubble(t, "each recipient its own fate", func(t *testing.T) {
		m := newMemory(itemTo("a.test", "good", "bad", "later"))
		q := run(t, m, func(_ context.Context, item *mail.Item, n int) []mail.Outcome {
			if n == 1 {
				return outcomes(250, 550, 450)(nil, item, n)
			}
			return outcomes(250)(nil, item, n)
		}, nil)
		synctest.Wait()
		left := m.only(t)
		if len(left.To) != 1 || left.To[0].Address.Local != "later" || left.To[0].Last.Code != 450 || left.To[0].Host != "mx.test" || left.Attempts != 1 {
			t.Errorf("left is %+v", left)
		}
		settles, _ := m.numbers()
		if told := m.told(); !slices.Equal(told, []string{"failure bad 550"}) || settles != 1 {
			t.Errorf("told %v in %d commits", told, settles)
		}
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		if m.left() != 0 || len(m.told()) != 1 {
			t.Errorf("%d left, told %v", m.left(), m.told())
		}
		tries := q.tr.times()
		if gap := tries[1].Sub(tries[0]); gap < 4*time.Minute+30*time.Second || gap > 5*time.Minute+30*time.Second {
			t.Errorf("tried again after %v", gap)
		}
	})
	bubble(t, "success reported unless the next host does", func(t *testing.T) {
		m := newMemory(itemTo("a.test", "x", "y"))
		for id, item := range m.items {
			item.To[0].Notify, item.To[1].Notify = mail.NotifySuccess, mail.NotifySuccess
			m.items[id] = item
		}
		run(t, m, func(_ context.Context, item *mail.Item, n int) []mail.Outcome {
			list := outcomes(250)(nil, item, n)
			list[1].Reports = true
			return list
		}, nil)
		synctest.Wait()
		if told := m.told(); !slices.Equal(told, []string{"success x 250"}) {
			t.Errorf("told %v", told)
		}
	})
	bubble(t, "five days", func(t *testing.T) {
		m := newMemory(itemTo("a.test", "x"))
		q := run(t, m, outcomes(450), nil)
		time.Sleep(4 * time.Hour)
		synctest.Wait()
		if told := m.told(); len(told) != 0 {
			t.Errorf("told %v within 4 h", told)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if told := m.told(); !slices.Equal(told, []string{"delay x 450"}) || !m.only(t).Warned {
			t.Errorf("told %v after 6 h", told)
		}
		time.Sleep(5*day - 6*time.Hour - time.Minute)
		synctest.Wait()
		if m.left() != 1 {
			t.Error("given up early")
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if told := m.told(); m.left() != 0 || len(told) != 2 || told[1] != "failure x 450" {
			t.Errorf("%d left, told %v", m.left(), told)
		}
		if n := q.tr.count(); n < 110 || n > 140 {
			t.Errorf("%d tries in five days", n)
		}
		tries := q.tr.times()
		for i := 6; i < len(tries)-1; i++ {
			if gap := tries[i].Sub(tries[i-1]); gap > 67*time.Minute || gap < 53*time.Minute {
				t.Errorf("try %d after %v", i, gap)
			}
		}
	})
	bubble(t, "no transport", func(t *testing.T) {
		m := newMemory(itemTo("a.test", "x"))
		run(t, m, nil, func(o *Options) { o.Transports = nil })
		synctest.Wait()
		if to := m.only(t).To[0]; to.Last.Code != 451 || to.Reason == "" {
			t.Errorf("%+v", to)
		}
	})
	bubble(t, "gone meanwhile", func(t *testing.T) {
		m := newMemory()
		q := run(t, m, outcomes(250), nil)
		item := itemTo("a.test", "x")
		q.Added(*item)
		item2 := itemTo("a.test", slices.Repeat([]string{"x"}, maxKept)...)
		q.Added(*item2)
		synctest.Wait()
		if s := q.Stats(); s.Items != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestFaults(t *testing.T) {
	t.Parallel()
	bubble(t, "panic in the transport", func(t *testing.T) {
		m := newMemory(itemTo("a.test", "x"), itemTo("b.test", "x"))
		q := run(t, m, func(_ context.Context, item *mail.Item, n int) []mail.Outcome {
			if item.Hop.Host == "a.test" && n < 4 {
				panic("oops")
			}
			return outcomes(250)(nil, item, n)
		}, nil)
		synctest.Wait()
		if left := m.only(t); left.Hop.Host != "a.test" || left.Attempts != 1 || !strings.Contains(left.To[0].Reason, "oops") {
			t.Errorf("left %+v", left)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if m.left() != 0 {
			t.Errorf("not delivered after %d tries", q.tr.count())
		}
	})
	bubble(t, "too few outcomes, or senseless ones", func(t *testing.T) {
		m := newMemory(itemTo("a.test", "x", "y", "z"))
		run(t, m, func(context.Context, *mail.Item, int) []mail.Outcome {
			return []mail.Outcome{{Status: mail.Reply(250, "", "ok"), Host: "h"}, {Status: mail.Reply(354, "", "what")}}
		}, nil)
		synctest.Wait()
		if left := m.only(t); len(left.To) != 2 || left.To[0].Last.Code != 451 || left.To[1].Last.Code != 451 {
			t.Errorf("left %+v", left.To)
		}
	})
	bubble(t, "the result cannot be recorded for a while", func(t *testing.T) {
		m := newMemory(itemTo("a.test", "x"))
		m.refuse(5)
		q := run(t, m, outcomes(250), nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if settles, _ := m.numbers(); m.left() != 0 || q.tr.count() != 1 || settles != 6 {
			t.Errorf("%d left, %d tries, %d settlements", m.left(), q.tr.count(), settles)
		}
	})
	// Threat C3: at most one more copy for each crash between the remote's
	// 250 and the commit.
	bubble(t, "crash before the result is recorded", func(t *testing.T) {
		m := newMemory(itemTo("a.test", "x"))
		m.refuse(1 << 30)
		first := run(t, m, outcomes(250), nil)
		time.Sleep(time.Second)
		first.stop()
		if m.left() != 1 {
			t.Fatal("an item is lost")
		}
		m.refuse(0)
		second := run(t, m, outcomes(250), nil)
		synctest.Wait()
		if m.left() != 0 || first.tr.count() != 1 || second.tr.count() != 1 {
			t.Errorf("%d left, %d and %d copies", m.left(), first.tr.count(), second.tr.count())
		}
	})
	bubble(t, "unreadable item", func(t *testing.T) {
		m := newMemory(itemTo("a.test", "x"))
		broken := &brokenItems{memory: m, failures: 3}
		q := run(t, m, outcomes(250), func(o *Options) { o.Custody = broken })
		time.Sleep(time.Hour)
		synctest.Wait()
		if m.left() != 0 || q.tr.count() != 1 {
			t.Errorf("%d left, %d tries", m.left(), q.tr.count())
		}
	})
	bubble(t, "panicking reporter", func(t *testing.T) {
		m := newMemory(itemTo("a.test", "x"))
		q := run(t, m, outcomes(550), func(o *Options) { o.Reporter = nil })
		synctest.Wait()
		if m.left() != 0 || q.tr.count() != 1 {
			t.Errorf("%d left, %d tries", m.left(), q.tr.count())
		}
	})
}

type brokenItems struct {
	*memory
	failures int
}

func (b *brokenItems) Item(ctx context.Context, id mail.ID) (mail.Item, error) {
	if b.failures > 0 {
		b.failures--
		return mail.Item{}, errors.New("bad disk")
	}
	return b.memory.Item(ctx, id)
}

func TestStop(t *testing.T) {
	t.Parallel()
	slow := func(d time.Duration) func(context.Context, *mail.Item, int) []mail.Outcome {
		return func(ctx context.Context, item *mail.Item, n int) []mail.Outcome {
			select {
			case <-time.After(d):
				return outcomes(250)(ctx, item, n)
			case <-ctx.Done():
				return []mail.Outcome{{Status: mail.Reply(451, "4.4.2", "stopped"), Err: ctx.Err()}}
			}
		}
	}
	bubble(t, "deliveries may end", func(t *testing.T) {
		m := newMemory(itemTo("a.test", "x"))
		q := run(t, m, slow(20*time.Second), nil)
		time.Sleep(time.Second)
		began := time.Now()
		q.stop()
		if m.left() != 0 || time.Since(began) != 19*time.Second {
			t.Errorf("%d left after %v", m.left(), time.Since(began))
		}
	})
	bubble(t, "but not for ever", func(t *testing.T) {
		m := newMemory(itemTo("a.test", "x"))
		q := run(t, m, slow(time.Hour), nil)
		time.Sleep(time.Second)
		began := time.Now()
		q.Added(*itemTo("b.test", "y"))
		q.stop()
		if took := time.Since(began); took != 30*time.Second {
			t.Errorf("took %v", took)
		}
		if left := m.only(t); left.Attempts != 0 {
			t.Errorf("being stopped counts as a try: %+v", left)
		}
	})
}

// Threat L6: the wall clock jumps while the queue waits.
func TestWallClock(t *testing.T) {
	t.Parallel()
	bubble(t, "ahead", func(t *testing.T) {
		jump := time.Duration(0)
		m := newMemory(itemTo("a.test", "x"))
		q := run(t, m, outcomes(450), func(o *Options) { o.Now = func() time.Time { return time.Now().Add(jump) } })
		time.Sleep(time.Minute)
		q.mu.Lock()
		jump = 6 * day
		q.mu.Unlock()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if m.left() != 1 || q.tr.count() != 2 {
			t.Errorf("%d left after %d tries", m.left(), q.tr.count())
		}
		time.Sleep(5 * time.Hour)
		if m.left() != 1 {
			t.Error("given up after five hours")
		}
	})
	bubble(t, "back", func(t *testing.T) {
		jump := time.Duration(0)
		m := newMemory(itemTo("a.test", "x"))
		q := run(t, m, func(_ context.Context, item *mail.Item, n int) []mail.Outcome {
			return outcomes([]int{450, 250}[n-1])(nil, item, n)
		}, func(o *Options) { o.Now = func() time.Time { return time.Now().Add(jump) } })
		time.Sleep(time.Minute)
		q.mu.Lock()
		jump = -365 * day
		q.mu.Unlock()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if m.left() != 0 {
			t.Errorf("not tried again: %d tries", q.tr.count())
		}
	})
}

func TestDeadHostAndGoodHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		q := run(t, m, func(ctx context.Context, item *mail.Item, n int) []mail.Outcome {
			if item.Hop.Host == "good.test" {
				return outcomes(250)(ctx, item, n)
			}
			time.Sleep(time.Minute)
			return []mail.Outcome{timedOut}
		}, nil)
		for range 3000 {
			item := itemTo("hole.test", "x")
			m.put(item)
			q.Added(*item)
		}
		began := time.Now()
		for range 100 {
			item := itemTo("good.test", "x")
			m.put(item)
			q.Added(*item)
		}
		synctest.Wait()
		if left := m.left(); left != 3000 || time.Since(began) > time.Second {
			t.Errorf("%d left after %v", left, time.Since(began))
		}
		// Due after 4 h, told at the next try: an hour, a tenth and a time-out later.
		time.Sleep(5*time.Hour + 10*time.Minute)
		synctest.Wait()
		if told := len(m.told()); told != 3000 {
			t.Errorf("%d senders were told of the delay in time", told)
		}
		if s := q.Stats(); s.Items != 3000 || s.Destinations != 1 || s.Down != 1 {
			t.Errorf("stats %+v", s)
		}
		q.stop()
	})
}

// joiner is a transport that takes items of a message together.
type joiner struct {
	transport
	parties []int
	broken  bool
}

func (j *joiner) DeliverAll(ctx context.Context, items []*mail.Item, bodies []mail.Body, done func(int, []mail.Outcome)) {
	j.mu.Lock()
	j.parties = append(j.parties, len(items))
	j.mu.Unlock()
	for i, item := range items {
		if j.broken && i > 0 {
			panic("oops")
		}
		done(i, j.Deliver(ctx, item, bodies[i]))
	}
}

// The items of one message are handed to the transport together, at the first
// try and at later ones; those that cannot come keep nobody waiting.
func TestParties(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, m *memory, j *joiner) *running {
		return run(t, m, nil, func(o *Options) { o.Transports = map[mail.HopKind]Transport{mail.HopRemote: j} })
	}
	parties := func(j *joiner) []int {
		j.mu.Lock()
		defer j.mu.Unlock()
		return slices.Clone(j.parties)
	}
	bubble(t, "again and again", func(t *testing.T) {
		m, j := newMemory(), &joiner{}
		j.do = func(_ context.Context, item *mail.Item, n int) []mail.Outcome {
			if n <= 9 {
				return outcomes(450)(nil, item, n)
			}
			return outcomes(250)(nil, item, n)
		}
		q := start(t, m, j)
		items := siblings("a.test", "b.test", "c.test")
		lone := itemTo("d.test", "x")
		for i := range items {
			m.put(&items[i])
		}
		m.put(lone)
		q.Added(append(items, *lone)...)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if got := parties(j); !slices.Equal(got, []int{3, 3, 3, 3}[:len(got)]) || len(got) < 3 || m.left() != 0 {
			t.Errorf("parties of %v, %d left", got, m.left())
		}
	})
	bubble(t, "one has gone", func(t *testing.T) {
		m, j := newMemory(), &joiner{transport: transport{do: outcomes(250)}}
		items := siblings("a.test", "b.test", "c.test")
		m.put(&items[0])
		m.put(&items[2])
		q := start(t, m, j)
		synctest.Wait() // nothing is kept whole
		q.Added(items[1])
		synctest.Wait()
		if got := parties(j); !slices.Equal(got, []int{2}) || m.left() != 0 {
			t.Errorf("parties of %v, %d left", got, m.left())
		}
	})
	bubble(t, "held, and a party of a broken transport", func(t *testing.T) {
		m, j := newMemory(), &joiner{broken: true, transport: transport{do: outcomes(250)}}
		items := siblings("a.test", "b.test", "c.test")
		items[2].Hold = true
		for i := range items {
			m.put(&items[i])
		}
		start(t, m, j)
		synctest.Wait()
		if got := parties(j); !slices.Equal(got, []int{2}) || m.left() != 2 {
			t.Errorf("parties of %v, %d left", got, m.left())
		}
	})
}
