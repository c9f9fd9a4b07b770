package queue

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"plic/internal/mail"
)

var epoch = time.Unix(1_800_000_000, 0)

func testOptions(edit func(*Options)) *Options {
	o := Options{Known: 1 << 20} // nobody sweeps
	if edit != nil {
		edit(&o)
	}
	o.defaults()
	return &o
}

func hopTo(host string) mail.Hop { return mail.Hop{Kind: mail.HopRemote, Host: host} }

func newItem(host string, at time.Time) *mail.Item {
	return &mail.Item{
		ID: mail.NewID(at), Hop: hopTo(host), Due: at, Expires: at.Add(5 * 24 * time.Hour), Size: 1000,
		Envelope: mail.Envelope{ID: mail.NewID(at), From: mail.MustAddress("from@a.test"), Received: at},
		To:       []mail.ItemRcpt{{Recipient: mail.Recipient{Address: mail.MustAddress("to@" + host)}}},
	}
}

var timedOut = mail.Outcome{Status: mail.Reply(451, "4.4.1", "no answer")}

// check finds what must never be, whatever happened.
func (s *schedule) check(t testing.TB) {
	t.Helper()
	activeBy, readyBy, entriesBy, restingBy := map[*hop]int{}, map[*hop]int{}, map[*hop]int{}, map[*hop]int{}
	n, slow, wait, late, holds := 0, 0, 0, 0, 0
	for id, e := range s.items {
		if e.id != id || s.hops[e.hop.key] != e.hop {
			t.Fatalf("entry %v is not where it belongs", id)
		}
		entriesBy[e.hop]++
		if e.state == waiting || e.state == held {
			restingBy[e.hop]++
		}
		switch e.state {
		case waiting:
			wait++
			if s.waiting.all[e.pos] != e {
				t.Fatal("a waiting entry is not in the pile")
			}
		case ready:
			readyBy[e.hop]++
			if e.hop.ready.all[e.pos] != e {
				t.Fatal("a ready entry is not in line")
			}
		case lapsed:
			late++
			if s.lapsed.all[e.pos] != e {
				t.Fatal("a lapsed entry is not in the pile")
			}
		case active:
			n++
			if e.slow {
				slow++
			}
			if e.slow != (e.pos == absent) || !e.slow && s.running.all[e.pos] != e {
				t.Fatal("an active entry is not where it belongs")
			}
		case held:
			holds++
		}
		if (e.state == held || e.state == apart) && e.pos != absent {
			t.Fatal("an entry that does not wait is in a pile")
		}
	}
	if slow != s.slow || n-slow != len(s.running.all) || n > (1+slowness)*s.o.Active {
		t.Fatalf("%d active, slow %d of %d, the others %d", n, slow, s.slow, len(s.running.all))
	}
	if n != s.active || wait != len(s.waiting.all) || late != len(s.lapsed.all) || holds != s.holds {
		t.Fatalf("active %d of %d counted, waiting %d of %d, lapsed %d of %d, held %d of %d", n, s.active, wait, len(s.waiting.all), late, len(s.lapsed.all), holds, s.holds)
	}
	if s.probes > max(1, s.o.Active/2) || s.verdicts > max(1, s.o.Active/4) {
		t.Fatalf("%d probes and %d verdicts at once", s.probes, s.verdicts)
	}
	if len(s.items) > s.o.Known {
		t.Fatalf("%d items in view, of %d at most", len(s.items), s.o.Known)
	}
	backlog := 0
	for _, h := range s.hops {
		if h.failures == 0 {
			backlog += len(h.ready.all)
		}
	}
	if backlog != s.backlog {
		t.Fatalf("a backlog of %d, counted %d", backlog, s.backlog)
	}
	for _, h := range s.hops {
		activeBy[h] = h.active
		if h.entries != entriesBy[h] || h.resting != restingBy[h] || len(h.ready.all) != readyBy[h] || h.entries == 0 {
			t.Fatalf("hop %v: %d entries counted %d, %d ready counted %d", h.key, entriesBy[h], h.entries, readyBy[h], len(h.ready.all))
		}
		if h.window < 1 || h.window > float64(s.o.MaxWindow) || h.active > s.o.MaxWindow || h.active < 0 {
			t.Fatalf("hop %v: window %v, %d active", h.key, h.window, h.active)
		}
		runnable := len(h.ready.all) > 0 && h.active < int(h.window) && h.pos == absent
		if runnable != (h.line != nil) {
			t.Fatalf("hop %v: may start is %v", h.key, runnable)
		}
	}
}

// Any history keeps the invariants and loses nothing.
func TestScheduleRandomHistories(t *testing.T) {
	t.Parallel()
	for seed := range uint64(25) {
		rng := rand.New(rand.NewPCG(seed, 1))
		s := newSchedule(testOptions(func(o *Options) { o.Active = 1 + rng.IntN(20) }))
		now := epoch
		items := map[mail.ID]*mail.Item{}
		running := map[mail.ID]start{}
		for step := range 2000 {
			switch op := rng.IntN(10); {
			case op < 3:
				item := newItem(fmt.Sprintf("h%d.test", rng.IntN(8)), now)
				item.Hold = rng.IntN(10) == 0
				if !s.add(item, now) || s.add(item, now) {
					t.Fatal("add does not tell new from known")
				}
				items[item.ID] = item
			case op < 5:
				for _, one := range s.next(now) {
					if _, twice := running[one.id]; twice || items[one.id] == nil || items[one.id].Hold {
						t.Fatalf("seed %d step %d: item started that may not be", seed, step)
					}
					running[one.id] = one
				}
			case op < 8:
				for id, one := range running {
					item := items[id]
					said := health(rng.IntN(4))
					if rng.IntN(2) == 0 {
						delete(items, id)
						s.done(one, nil, said, timedOut, now)
					} else {
						item.Attempts = one.tries + 1
						item.Due = now.Add(s.o.retryAfter(id, item.Attempts))
						item.Hold = rng.IntN(20) == 0
						s.done(one, item, said, timedOut, now)
					}
					delete(running, id)
					break
				}
			case op < 9:
				for id, item := range items {
					if e := s.items[id]; e.state != active {
						s.detach(e)
						if rng.IntN(2) == 0 {
							item.Hold, item.Due = !item.Hold, now
							s.update(e, item, now)
							s.unpause(e.hop)
						} else {
							s.forget(e)
							delete(items, id)
						}
					}
					break
				}
			default:
				now = now.Add(time.Duration(rng.Int64N(int64(2 * time.Hour))))
				if rng.IntN(50) == 0 {
					now = now.Add(time.Duration(rng.IntN(3)-1) * 300 * 24 * time.Hour)
				}
			}
			s.check(t)
			if len(items) != len(s.items) {
				t.Fatalf("seed %d step %d: %d items, %d in the schedule", seed, step, len(items), len(s.items))
			}
		}
		// In the end everything that is not held is tried.
		for range 100000 {
			for _, one := range s.next(now) {
				running[one.id] = one
			}
			for id, one := range running {
				s.done(one, nil, up, mail.Outcome{}, now)
				delete(running, id)
				delete(items, id)
			}
			if len(s.items) == s.holds {
				break
			}
			now = now.Add(s.wait(now))
		}
		if len(s.items) != s.holds {
			t.Fatalf("seed %d: %d items were never tried", seed, len(s.items)-s.holds)
		}
	}
}

// simulation runs a schedule in time of its own.
type simulation struct {
	t      testing.TB
	s      *schedule
	now    time.Time
	events simEvents
	starts int
	try    func(host string, now time.Time) (took time.Duration, said health)
	ended  func(id mail.ID, host string, now time.Time)
	items  map[mail.ID]*mail.Item
}

type simEvent struct {
	at  time.Time
	one start
}
type simEvents []simEvent

func (h simEvents) Len() int           { return len(h) }
func (h simEvents) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h simEvents) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *simEvents) Push(x any)        { *h = append(*h, x.(simEvent)) }
func (h *simEvents) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

func (m *simulation) run(until time.Time) {
	for m.now.Before(until) && len(m.s.items) > 0 {
		for _, one := range m.s.next(m.now) {
			m.starts++
			if one.shared {
				heap.Push(&m.events, simEvent{m.now, one})
				continue
			}
			took, _ := m.try(m.items[one.id].Hop.Host, m.now)
			heap.Push(&m.events, simEvent{m.now.Add(took), one})
		}
		if m.s.probes > max(1, m.s.o.Active/2) {
			m.t.Fatalf("%d of %d places for hosts in doubt", m.s.probes, m.s.o.Active)
		}
		next := m.now.Add(m.s.wait(m.now))
		if len(m.events) > 0 && !m.events[0].at.After(next) {
			e := heap.Pop(&m.events).(simEvent)
			m.now = e.at
			item := m.items[e.one.id]
			_, said := m.try(item.Hop.Host, m.now)
			if said == up {
				m.s.done(e.one, nil, said, mail.Outcome{}, m.now)
				m.ended(item.ID, item.Hop.Host, m.now)
				continue
			}
			v := m.s.o.judge(item, []mail.Outcome{timedOut}, e.one.tries+1, m.now, m.now)
			m.items[item.ID] = v.item
			m.s.done(e.one, v.item, said, timedOut, m.now)
			if v.item == nil {
				m.ended(item.ID, item.Hop.Host, m.now)
			}
			continue
		}
		m.now = next
	}
}

// 50,000 items for a host that never answers, each try taking five minutes to
// find out: 100 for a good one behind them are delivered within 5 s, and those
// that come an hour later as well.
func TestFairness(t *testing.T) {
	t.Parallel()
	s := newSchedule(testOptions(nil))
	worst := time.Duration(0)
	good := 0
	came := map[mail.ID]time.Time{}
	m := &simulation{t: t, s: s, now: epoch, items: map[mail.ID]*mail.Item{}}
	m.try = func(host string, _ time.Time) (time.Duration, health) {
		if host == "good.test" {
			return 200 * time.Millisecond, up
		}
		return 5 * time.Minute, down
	}
	m.ended = func(id mail.ID, host string, now time.Time) {
		if host == "good.test" {
			good++
			worst = max(worst, now.Sub(came[id]))
		}
	}
	add := func(host string, n int) {
		for range n {
			item := newItem(host, m.now)
			m.items[item.ID], came[item.ID] = item, m.now
			s.add(item, m.now)
		}
	}
	add("hole.test", 50000)
	add("good.test", 100)
	m.run(epoch.Add(time.Hour))
	add("good.test", 100)
	m.run(epoch.Add(2 * time.Hour))
	if good != 200 || worst > 5*time.Second {
		t.Errorf("%d of 200 delivered, the slowest after %v", good, worst)
	}
	if m.starts > 200+100 {
		t.Errorf("%d tries in two hours, so the dead host was not left alone", m.starts)
	}
	s.check(t)
}

// Hundreds of hosts that nobody knows to be dead yet, whose tries take all
// places for five minutes, do not delay a good one for longer than it takes to
// see that they are slow.
func TestFairnessSlow(t *testing.T) {
	t.Parallel()
	s := newSchedule(testOptions(func(o *Options) { o.Active = 500 }))
	m := &simulation{t: t, s: s, now: epoch, items: map[mail.ID]*mail.Item{}}
	m.try = func(host string, _ time.Time) (time.Duration, health) {
		if host == "good.test" {
			return 200 * time.Millisecond, up
		}
		return 5 * time.Minute, down
	}
	var last time.Time
	good := 0
	m.ended = func(_ mail.ID, host string, now time.Time) {
		if host == "good.test" {
			good++
			last = now
		}
	}
	for i := range 1500 {
		item := newItem(fmt.Sprintf("dead%d.test", i%250), m.now)
		m.items[item.ID] = item
		s.add(item, m.now)
	}
	m.run(epoch.Add(time.Second))
	for range 100 {
		item := newItem("good.test", m.now)
		m.items[item.ID] = item
		s.add(item, m.now)
	}
	m.run(epoch.Add(4 * time.Minute))
	if took := last.Sub(epoch); good != 100 || took > 4*prompt {
		t.Errorf("%d of 100 delivered, the last after %v", good, took)
	}
	s.check(t)
}

// Many dead hosts, each with much mail, do not take all places either.
func TestFairnessManyDead(t *testing.T) {
	t.Parallel()
	s := newSchedule(testOptions(func(o *Options) { o.Active = 100 }))
	worst, good := time.Duration(0), 0
	came := map[mail.ID]time.Time{}
	m := &simulation{t: t, s: s, now: epoch, items: map[mail.ID]*mail.Item{}}
	m.try = func(host string, _ time.Time) (time.Duration, health) {
		if host == "good.test" {
			return 200 * time.Millisecond, up
		}
		return time.Minute, down
	}
	m.ended = func(id mail.ID, host string, now time.Time) {
		if host == "good.test" {
			good++
			worst = max(worst, now.Sub(came[id]))
		}
	}
	for i := range 1000 {
		for range 10 {
			item := newItem(fmt.Sprintf("dead%d.test", i), m.now)
			m.items[item.ID] = item
			s.add(item, m.now)
		}
	}
	// At first nobody knows who is dead; half an hour later it is known.
	m.run(epoch.Add(30 * time.Minute))
	for range 100 {
		item := newItem("good.test", m.now)
		m.items[item.ID], came[item.ID] = item, m.now
		s.add(item, m.now)
	}
	m.run(epoch.Add(time.Hour))
	if good != 100 || worst > time.Minute+5*time.Second {
		t.Errorf("%d of 100 delivered, the slowest after %v", good, worst)
	}
	s.check(t)
}

// The items of a dead host are all told of and given up in time, though one in
// many was tried itself.
func TestSharedFate(t *testing.T) {
	t.Parallel()
	s := newSchedule(testOptions(nil))
	m := &simulation{t: t, s: s, now: epoch, items: map[mail.ID]*mail.Item{}}
	m.try = func(string, time.Time) (time.Duration, health) { return time.Minute, down }
	ended := 0
	m.ended = func(mail.ID, string, time.Time) { ended++ }
	for range 2000 {
		item := newItem("dead.test", m.now)
		m.items[item.ID] = item
		s.add(item, m.now)
	}
	m.run(epoch.Add(4*time.Hour - time.Minute))
	for id, item := range m.items {
		if item.Warned {
			t.Fatalf("item %v warned too early", id)
		}
	}
	m.run(epoch.Add(6 * time.Hour))
	for id, item := range m.items {
		if !item.Warned {
			t.Fatalf("item %v was not warned of", id)
		}
	}
	m.run(epoch.Add(5*24*time.Hour - time.Minute))
	if ended != 0 {
		t.Fatalf("%d given up early", ended)
	}
	m.run(epoch.Add(5*24*time.Hour + 2*time.Hour))
	if ended != 2000 {
		t.Fatalf("%d of 2000 given up in time", ended)
	}
}

func TestWindow(t *testing.T) {
	t.Parallel()
	s := newSchedule(testOptions(nil))
	for range 100 {
		s.add(newItem("a.test", epoch), epoch)
	}
	starts := s.next(epoch)
	if len(starts) != 5 || len(s.next(epoch)) != 0 {
		t.Fatalf("%d at once to a new hop, want 5", len(starts))
	}
	for range 40 {
		s.done(starts[0], nil, up, mail.Outcome{}, epoch)
		starts = append(starts[1:], s.next(epoch)...)
	}
	grown := len(starts)
	if grown <= 5 || grown > 20 {
		t.Errorf("%d at once after 40 successes", grown)
	}
	s.done(starts[0], nil, down, timedOut, epoch)
	if h := s.hops[hopTo("a.test")]; int(h.window) > grown/2 || h.line != nil {
		t.Errorf("window %v after a failure", h.window)
	}
	for _, one := range starts[1:] {
		s.done(one, nil, down, timedOut, epoch)
	}
	if got := s.next(epoch); len(got) != 0 {
		t.Errorf("%d started at a hop that rests", len(got))
	}
	if got := s.next(epoch.Add(5 * time.Minute)); len(got) != 1 {
		t.Errorf("%d tried after the rest, want one", len(got))
	} else if s.done(got[0], nil, up, mail.Outcome{}, epoch.Add(5*time.Minute)); len(s.next(epoch.Add(5*time.Minute))) != 2 {
		t.Error("an answer does not open the window again")
	}
}

// Hops take turns, whatever their number of items.
func TestTurns(t *testing.T) {
	t.Parallel()
	s := newSchedule(testOptions(func(o *Options) { o.Active = 3 }))
	for _, host := range []string{"a.test", "a.test", "a.test", "a.test", "b.test", "c.test"} {
		s.add(newItem(host, epoch), epoch)
	}
	got := map[string]int{}
	for _, one := range s.next(epoch) {
		got[s.items[one.id].hop.key.Host]++
	}
	if len(got) != 3 {
		t.Errorf("the first three are for %v", got)
	}
}

func TestClockJumps(t *testing.T) {
	t.Parallel()
	t.Run("back", func(t *testing.T) {
		s := newSchedule(testOptions(nil))
		item := newItem("a.test", epoch)
		s.add(item, epoch)
		one := s.next(epoch)[0]
		item.Due = epoch.Add(10 * time.Minute)
		s.done(one, item, unknown, mail.Outcome{}, epoch)
		year := epoch.Add(-365 * 24 * time.Hour)
		if got := s.next(year); len(got) != 0 {
			t.Fatal("tried at once")
		}
		if got := s.next(year.Add(10 * time.Minute)); len(got) != 1 {
			t.Error("an item waits for a time that is a year away")
		}
	})
	t.Run("loaded from a wrong clock", func(t *testing.T) {
		s := newSchedule(testOptions(nil))
		item := newItem("a.test", epoch.Add(365*24*time.Hour))
		s.add(item, epoch)
		if got := s.next(epoch.Add(67 * time.Minute)); len(got) != 1 {
			t.Error("an item waits for a time that is a year away")
		}
	})
	t.Run("ahead", func(t *testing.T) {
		o := testOptions(nil)
		item := newItem("a.test", epoch)
		item.Attempts = 2
		now := epoch.Add(6 * 24 * time.Hour)
		began, tries := now, 2
		for item != nil {
			tries++
			v := o.judge(item, []mail.Outcome{timedOut}, tries, now, now)
			if item = v.item; item != nil {
				now = item.Due
			}
		}
		if took := now.Sub(began); took < 6*time.Hour || took > 24*time.Hour {
			t.Errorf("given up %v and %d tries after a jump of 6 days", took, tries)
		}
	})
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	o := testOptions(nil)
	for tries, want := range map[int]time.Duration{0: 5 * time.Minute, 1: 5 * time.Minute, 2: 10 * time.Minute, 4: 40 * time.Minute, 5: time.Hour, 1 << 30: time.Hour} {
		if got := o.backoff(tries); got != want {
			t.Errorf("backoff(%d) = %v, want %v", tries, got, want)
		}
	}
	seen := map[time.Duration]bool{}
	for range 1000 {
		id := mail.NewID(epoch)
		d := o.retryAfter(id, 5)
		if d != o.retryAfter(id, 5) || d < 54*time.Minute || d > 66*time.Minute {
			t.Fatalf("retry after %v", d)
		}
		seen[d.Round(time.Minute)] = true
	}
	if len(seen) < 10 {
		t.Errorf("1000 items are spread over %d minutes only", len(seen))
	}
	if n := o.enough(5 * 24 * time.Hour); n < 10 || n > 20 {
		t.Errorf("5 days want %d tries", n)
	}
	if n := o.enough(time.Minute); n != 1 {
		t.Errorf("a minute wants %d tries", n)
	}
}

func TestPile(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	var p pile[*entry]
	in := map[*entry]bool{}
	for range 20000 {
		switch rng.IntN(3) {
		case 0, 1:
			e := &entry{at: rng.Int64N(500), pos: absent}
			p.push(e)
			in[e] = true
		default:
			for e := range in {
				if rng.IntN(2) == 0 {
					e, _ = p.top()
				}
				p.remove(e)
				p.remove(e)
				delete(in, e)
				break
			}
		}
		if top, ok := p.top(); ok {
			if rng.IntN(100) == 0 {
				for e := range in {
					if e.at < top.at {
						t.Fatal("the top is not the earliest")
					}
				}
			}
		} else if len(in) != 0 {
			t.Fatal("empty too early")
		}
	}
	last := int64(-1)
	for e, ok := p.top(); ok; e, ok = p.top() {
		if e.at < last {
			t.Fatal("out of order")
		}
		last = e.at
		p.remove(e)
		delete(in, e)
	}
	if len(in) != 0 {
		t.Fatal("some are lost")
	}
}
