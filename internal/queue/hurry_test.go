package queue

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/mail"
)

// Behind 20,000 messages of one sender for the same host, a report, what is
// marked as urgent and what somebody else has written do not wait; yet the many
// go on.
func TestClasses(t *testing.T) {
	t.Parallel()
	s := newSchedule(testOptions(nil))
	now := epoch
	for range 20000 {
		s.add(newItem("a.test", now), now)
	}
	now = now.Add(time.Second)
	report, marked, other, low := newItem("a.test", now), newItem("a.test", now), newItem("a.test", now), newItem("a.test", now)
	report.Report, report.Envelope.From = true, mail.Address{}
	marked.Envelope.Priority, low.Envelope.Priority = 3, -1
	other.Envelope.From, low.Envelope.From = mail.MustAddress("other@a.test"), mail.MustAddress("low@a.test")
	for _, item := range []*mail.Item{low, other, marked, report} {
		s.add(item, now)
	}
	var order []mail.ID
	for len(order) < 3000 {
		for _, one := range s.next(now) {
			order = append(order, one.id)
			s.done(one, nil, up, mail.Outcome{}, now)
			now = now.Add(50 * time.Millisecond)
		}
	}
	at := func(item *mail.Item) int { return slices.Index(order, item.ID) }
	if at(report) < 0 || at(report) > 20 || at(marked) < 0 || at(marked) > 20 {
		t.Errorf("the report is number %d, the marked one number %d", at(report), at(marked))
	}
	// The first thousand of the sender were no flood yet.
	if at(other) < 0 || at(other) > flood+50 {
		t.Errorf("what another wrote is number %d", at(other))
	}
	if at(low) >= 0 {
		t.Errorf("what may wait is number %d", at(low))
	}
}

// What is of no hurry goes all the same while urgent mail never ends.
func TestBulkMovesOn(t *testing.T) {
	t.Parallel()
	for _, hosts := range []int{1, 50} {
		s := newSchedule(testOptions(func(o *Options) { o.Active = 10 }))
		now := epoch
		bulk := newItem("bulk.test", now)
		if hosts == 1 {
			bulk.Hop = hopTo("h0.test")
		}
		bulk.Envelope.Priority = -9
		s.add(bulk, now)
		for step := 0; s.items[bulk.ID] != nil; step++ {
			if now.Sub(epoch) > 20*time.Minute {
				t.Fatalf("%d hosts: a message has waited for %v", hosts, now.Sub(epoch))
			}
			for len(s.items) < 500 {
				item := newItem(fmt.Sprintf("h%d.test", step%hosts), now)
				item.Envelope.Priority = 9
				s.add(item, now)
				step++
			}
			for _, one := range s.next(now) {
				s.done(one, nil, up, mail.Outcome{}, now)
			}
			now = now.Add(time.Second)
		}
	}
}

// A host that says 421 rests at once, longer each time, and is then asked
// carefully.
func TestBusyHost(t *testing.T) {
	t.Parallel()
	s := newSchedule(testOptions(nil))
	for range 50 {
		s.add(newItem("a.test", epoch), epoch)
	}
	now := epoch
	last := mail.Outcome{Status: mail.Reply(421, "4.7.0", "too much"), Host: "mx.a.test"}
	for i, want := range []time.Duration{30 * time.Second, time.Minute, 5 * time.Minute, 5 * time.Minute} {
		starts := s.next(now)
		if len(starts) == 0 || i > 0 && len(starts) > 2 {
			t.Fatalf("%d tried in round %d", len(starts), i)
		}
		for n, one := range starts {
			if n == 0 {
				item := newItem("a.test", epoch)
				item.ID, item.Due = one.id, now.Add(time.Hour)
				s.done(one, item, busy, last, now)
			} else {
				s.done(one, nil, unknown, mail.Outcome{}, now)
			}
		}
		if got := s.next(now.Add(want - time.Second)); len(got) != 0 {
			t.Fatalf("round %d: %d tried within %v of 421", i, len(got), want)
		}
		now = now.Add(want)
	}
	one := s.next(now)[0]
	s.done(one, nil, up, mail.Outcome{}, now)
	if len(s.next(now)) == 0 {
		t.Error("an answer does not end the rest")
	}
	if healthOf([]mail.Outcome{last}) != busy || healthOf([]mail.Outcome{timedOut}) != down {
		t.Error("busy and down are not told apart")
	}
}

// Hosts that greylist are asked again soon, at the time that they say.
func TestGreylisting(t *testing.T) {
	t.Parallel()
	grey := func(after time.Duration, then ...int) func(context.Context, *mail.Item, int) []mail.Outcome {
		return func(_ context.Context, item *mail.Item, n int) []mail.Outcome {
			list := outcomes(451)(nil, item, n)
			if n > 3 {
				return outcomes(250)(nil, item, n)
			}
			for i := range list {
				list[i].Fault, list[i].After = mail.FaultGreylist, after
			}
			if len(then) > 0 {
				list[0].Fault = mail.FaultFull
			}
			return list
		}
	}
	for _, test := range []struct {
		name string
		do   func(context.Context, *mail.Item, int) []mail.Outcome
		want []time.Duration // until the next try
	}{
		{"says nothing", grey(0), []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute}},
		{"says when", grey(5 * time.Minute), []time.Duration{315 * time.Second, 315 * time.Second}},
		{"one of two is full", grey(0, 1), []time.Duration{5 * time.Minute, 10 * time.Minute}},
	} {
		bubble(t, test.name, func(t *testing.T) {
			m := newMemory(itemTo("a.test", "x", "y"))
			q := run(t, m, test.do, nil)
			time.Sleep(time.Hour)
			synctest.Wait()
			tries := q.tr.times()
			for i, want := range test.want {
				if got := tries[i+1].Sub(tries[i]); got < want*9/10 || got > want*11/10 {
					t.Errorf("try %d after %v, want %v", i+2, got, want)
				}
			}
		})
	}
}

// RFC 4865: what is held for a later time goes then, not before; its life and
// the warning count from there. RFC 2852: what must be there in time goes back
// after it, or its sender is told.
func TestTiming(t *testing.T) {
	t.Parallel()
	bubble(t, "held until", func(t *testing.T) {
		item := itemTo("a.test", "x")
		item.Envelope.Release = time.Now().Add(20 * day)
		item.Due, item.Expires = item.Envelope.Release, item.Envelope.Release.Add(5*day)
		m := newMemory(item)
		q := run(t, m, outcomes(450), nil)
		time.Sleep(20*day - time.Minute)
		synctest.Wait()
		if q.tr.count() != 0 {
			t.Fatal("tried before its time")
		}
		if l, err := q.Show(t.Context(), item.ID); err != nil || l.State != "waiting" || !l.Due.Equal(item.Due) {
			t.Errorf("shown %+v, %v", l, err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if q.tr.count() != 1 || len(m.told()) != 0 {
			t.Errorf("%d tries, told %v", q.tr.count(), m.told())
		}
		time.Sleep(4*day + 23*time.Hour)
		synctest.Wait()
		if m.left() != 1 {
			t.Error("its life began before it could go")
		}
	})
	bubble(t, "return", func(t *testing.T) {
		item := itemTo("a.test", "x")
		item.Envelope.By = mail.DeliverBy{At: time.Now().Add(20 * time.Minute), Return: true}
		m := newMemory(item)
		q := run(t, m, outcomes(450), nil)
		time.Sleep(21 * time.Minute)
		synctest.Wait()
		if m.left() != 0 || !slices.Equal(m.told(), []string{"failure x 554"}) || q.tr.count() != 3 {
			t.Errorf("%d left, told %v, %d tries", m.left(), m.told(), q.tr.count())
		}
	})
	bubble(t, "notify", func(t *testing.T) {
		item := itemTo("a.test", "x")
		item.Envelope.By = mail.DeliverBy{At: time.Now().Add(2 * time.Minute)}
		m := newMemory(item)
		run(t, m, outcomes(450), nil)
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		if m.left() != 1 || !slices.Equal(m.told(), []string{"delay x 450"}) {
			t.Errorf("%d left, told %v", m.left(), m.told())
		}
		time.Sleep(6 * time.Hour)
		synctest.Wait()
		if len(m.told()) != 1 {
			t.Errorf("told %v", m.told())
		}
	})
}

// An item remembers how it was tried, the first time and the last times.
func TestTriesAreRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(itemTo("a.test", "x", "y", "z"))
		run(t, m, func(_ context.Context, item *mail.Item, n int) []mail.Outcome {
			list := outcomes(451, 452, 452)(nil, item, n)
			list[0].Fault, list[0].TLS = mail.FaultGreylist, "TLS 1.3"
			return list
		}, nil)
		time.Sleep(4 * day)
		synctest.Wait()
		tries := m.only(t).Tries
		if len(tries) != 32 || tries[0].Number != 1 || tries[31].Number < 90 || tries[1].Number >= tries[31].Number {
			t.Fatalf("%d tries are kept, from %+v to %+v", len(tries), tries[0], tries[len(tries)-1])
		}
		last := tries[30]
		if last.To != 1 || last.Status.Code != 451 || last.Fault != mail.FaultGreylist || last.Host != "mx.test" || last.TLS == "" || last.Remote == "" {
			t.Errorf("remembered %+v", last)
		}
		if tries[31].To != 2 || tries[31].Status.Code != 452 {
			t.Errorf("remembered %+v", tries[31])
		}
	})
}

// siblings are items of one message at several hosts.
func siblings(hosts ...string) []mail.Item {
	id := mail.NewID(time.Now())
	var items []mail.Item
	for _, host := range hosts {
		item := itemTo(host, strings.TrimSuffix(host, ".test"))
		item.Envelope.ID, item.Parts = id, len(hosts)
		items = append(items, *item)
	}
	return items
}

// What becomes of one message at several hosts about the same time is told in
// one report; what takes longer is told then.
func TestOneReport(t *testing.T) {
	t.Parallel()
	type answer struct {
		after time.Duration
		code  int
	}
	for _, test := range []struct {
		name    string
		answers map[string]answer
		want    []string
		within  time.Duration
		left    int
	}{
		{"all fail at once", map[string]answer{"a": {0, 550}, "b": {0, 550}, "c": {0, 550}}, []string{"failure a,b,c 550"}, 0, 0},
		{"one after the other", map[string]answer{"a": {time.Second, 550}, "b": {3 * time.Second, 250}, "c": {20 * time.Second, 550}}, []string{"failure a,c 550"}, 20 * time.Second, 0},
		{"the last has no news", map[string]answer{"a": {0, 550}, "b": {0, 550}, "c": {10 * time.Second, 250}}, []string{"failure a,b 550"}, 10 * time.Second, 0},
		{"the last must wait", map[string]answer{"a": {0, 550}, "b": {0, 550}, "c": {10 * time.Second, 450}}, []string{"failure a,b 550"}, 10 * time.Second, 1},
		{"one is slow", map[string]answer{"a": {0, 550}, "b": {time.Second, 550}, "c": {5 * time.Minute, 550}}, []string{"failure a,b 550", "failure c 550"}, 6 * time.Minute, 0},
	} {
		bubble(t, test.name, func(t *testing.T) {
			m := newMemory()
			q := run(t, m, func(_ context.Context, item *mail.Item, n int) []mail.Outcome {
				a := test.answers[item.To[0].Address.Local]
				time.Sleep(a.after)
				return outcomes(a.code)(nil, item, n)
			}, nil)
			items := siblings("a.test", "b.test", "c.test")
			for i := range items {
				m.put(&items[i])
			}
			q.Added(items...)
			time.Sleep(test.within)
			synctest.Wait()
			if !slices.Equal(m.told(), test.want) || m.left() != test.left {
				t.Errorf("told %q, %d left, want %q", m.told(), m.left(), test.want)
			}
			q.mu.Lock()
			if test.left == 0 && (len(q.s.families) != 0 || len(q.s.hops) != 0) {
				t.Errorf("%d families and %d hops stay", len(q.s.families), len(q.s.hops))
			}
			q.s.check(t)
			q.mu.Unlock()
		})
	}
}

// What was to be told together is told after a crash, or alone if the others
// are never heard of.
func TestFatesSurvive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		do := func(ctx context.Context, item *mail.Item, n int) []mail.Outcome {
			if item.Hop.Host == "slow.test" {
				select {
				case <-time.After(time.Hour):
				case <-ctx.Done():
				}
				return []mail.Outcome{timedOut}
			}
			return outcomes(550)(nil, item, n)
		}
		first := run(t, m, do, nil)
		items := siblings("a.test", "slow.test")
		for i := range items {
			m.put(&items[i])
		}
		first.Added(items...)
		synctest.Wait()
		if len(m.told()) != 0 || m.left() != 2 {
			t.Fatalf("told %v, %d left", m.told(), m.left())
		}
		first.stop()
		run(t, m, do, nil)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if !slices.Equal(m.told(), []string{"failure a 550"}) || m.left() != 1 {
			t.Errorf("told %v, %d left", m.told(), m.left())
		}
	})
}

// A thousand hosts that all refuse at the same time: one report.
func TestOneReportOfMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		var hosts []string
		for i := range 1000 {
			hosts = append(hosts, fmt.Sprintf("h%d.test", i))
		}
		q := run(t, m, func(_ context.Context, item *mail.Item, n int) []mail.Outcome {
			time.Sleep(time.Duration(n%7) * time.Second)
			return outcomes(550)(nil, item, n)
		}, func(o *Options) { o.Active = 100 })
		items := siblings(hosts...)
		for i := range items {
			m.put(&items[i])
		}
		q.Added(items...)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if m.left() != 0 {
			t.Errorf("%d left", m.left())
		}
		n := 0
		for _, text := range m.told() {
			n += strings.Count(text, ",") + 1
		}
		if n != 1000 || len(m.told()) > 2 {
			t.Errorf("%d recipients in %d reports", n, len(m.told()))
		}
	})
}

func TestReroute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(itemTo("dead.test", "x"), itemTo("dead.test", "y"), itemTo("other.test", "z"))
		q := run(t, m, func(_ context.Context, item *mail.Item, n int) []mail.Outcome {
			if item.Hop.Host == "relay.test" {
				return outcomes(250)(nil, item, n)
			}
			if n == 1 {
				time.Sleep(time.Minute)
			}
			return []mail.Outcome{timedOut}
		}, nil)
		time.Sleep(time.Second)
		synctest.Wait()
		// One of them is being tried.
		n, err := q.Reroute(t.Context(), Filter{Host: "dead.test"}, mail.Hop{Kind: mail.HopRemote, Host: "relay.test", Port: 2525, Exact: true})
		if n != (Result{2, 2}) || err != nil {
			t.Errorf("%+v rerouted, %v", n, err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if left := m.only(t); left.Hop.Host != "other.test" {
			t.Errorf("left %+v", left)
		}
	})
}

func TestGoneAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(itemTo("a.test", "gone", "full"))
		var gone []string
		run(t, m, func(_ context.Context, item *mail.Item, n int) []mail.Outcome {
			list := outcomes(550)(nil, item, n)
			list[0].Fault, list[1].Fault = mail.FaultMailbox, mail.FaultFull
			return list
		}, func(o *Options) {
			o.Gone = func(_ *mail.Item, to mail.ItemRcpt) { gone = append(gone, to.Address.Local) }
		})
		synctest.Wait()
		if !slices.Equal(gone, []string{"gone"}) {
			t.Errorf("gone are %v", gone)
		}
	})
}
