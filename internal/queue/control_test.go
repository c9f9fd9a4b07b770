package queue

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/mail"
)

func collect(t *testing.T, q *Queue, f Filter) []Listed {
	t.Helper()
	var all []Listed
	for l, err := range q.List(t.Context(), f) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l)
	}
	return all
}

func TestFilter(t *testing.T) {
	t.Parallel()
	item := itemTo("Host.test", "User")
	null := itemTo("h.test", "u")
	null.Envelope.From, null.Hold = mail.Address{}, true
	for _, test := range []struct {
		f          Filter
		item, null bool
	}{
		{Filter{}, true, true},
		{Filter{IDs: []mail.ID{item.ID}}, true, false}, {Filter{IDs: []mail.ID{item.Envelope.ID}}, true, false}, {Filter{IDs: []mail.ID{{}}}, false, false},
		{Filter{From: "FROM@a.test"}, true, false}, {Filter{From: "<from@a.test>"}, true, false}, {Filter{From: "a.test"}, true, false}, {Filter{From: "@a.test"}, true, false},
		{Filter{From: "<>"}, false, true}, {Filter{From: "from"}, false, false},
		{Filter{To: "user@host.test"}, true, false}, {Filter{To: "h.test"}, false, true}, {Filter{Host: "HOST.test"}, true, false},
		{Filter{Held: true}, false, true}, {Filter{To: "h.test", From: "a.test"}, false, false},
	} {
		if got := test.f.Match(item, time.Now()); got != test.item {
			t.Errorf("%+v chooses the item: %v", test.f, got)
		}
		if got := test.f.Match(null, time.Now()); got != test.null {
			t.Errorf("%+v chooses the held item without sender: %v", test.f, got)
		}
	}
}

// The postmaster's commands work whether the queue runs or not.
func TestControl(t *testing.T) {
	t.Parallel()
	for _, live := range []bool{true, false} {
		name := map[bool]string{true: "running", false: "not running"}[live]
		bubble(t, name, func(t *testing.T) {
			m := newMemory(itemTo("a.test", "x"), itemTo("b.test", "y"))
			code := 450
			var q *Queue
			var r *running
			do := func(_ context.Context, item *mail.Item, n int) []mail.Outcome { return outcomes(code)(nil, item, n) }
			if live {
				r = run(t, m, do, nil)
				q = r.Queue
			} else {
				q = New(Options{Custody: m, Reporter: reporter{}})
			}
			tries := func() int {
				synctest.Wait()
				if r == nil {
					return 0
				}
				return r.tr.count()
			}
			when := func(n int) int {
				if live {
					return n
				}
				return 0
			}
			ctx := t.Context()
			expect := func(what string, r Result, err error, want, tried int) {
				t.Helper()
				if n := r.Changed; err != nil || n != want || tries() != when(tried) {
					t.Fatalf("%s: %d changed, want %d; %d tries, want %d; %v", what, r.Changed, want, tries(), when(tried), err)
				}
			}
			tries()
			n, err := q.Retry(ctx, Filter{To: "a.test"})
			expect("retry", n, err, 1, 3)
			n, err = q.Hold(ctx, Filter{Host: "a.test"}, "because")
			expect("hold", n, err, 1, 3)
			n, err = q.Hold(ctx, Filter{Host: "a.test"}, "because")
			expect("hold again", n, err, 0, 3)
			n, err = q.Retry(ctx, Filter{})
			expect("retry all", n, err, 1, 4)
			time.Sleep(3 * time.Hour)
			held := collect(t, q, Filter{Held: true})
			if len(held) != 1 || held[0].State != "held" || held[0].Attempts != when(2) {
				t.Fatalf("held are %+v", held)
			}
			if live {
				if s := q.Stats(); s.Held != 1 || s.Items != 2 || s.Destinations != 2 {
					t.Fatalf("stats %+v", s)
				}
			}
			before := tries()
			n, err = q.Release(ctx, Filter{})
			expect("release", n, err, 1, before+1)
			l, err := q.Show(ctx, held[0].ID)
			if err != nil || l.Hold || live && l.State != "waiting" {
				t.Fatalf("shown %+v, %v", l, err)
			}
			n, err = q.Remove(ctx, Filter{Host: "a.test"}, true)
			expect("remove", n, err, 1, before+1)
			if told := m.told(); !slices.Equal(told, []string{"failure x 554"}) {
				t.Fatalf("told %v", told)
			}
			if _, err := q.Show(ctx, held[0].ID); !errors.Is(err, ErrNotFound) {
				t.Fatalf("shown after all: %v", err)
			}
			n, err = q.Remove(ctx, Filter{}, false)
			expect("remove all", n, err, 1, before+1)
			if m.left() != 0 || len(m.told()) != 1 || q.Stats().Items != 0 {
				t.Fatalf("%d left, told %v, stats %+v", m.left(), m.told(), q.Stats())
			}
		})
	}
}

// What is said of an item while it is being tried holds when that ends.
func TestControlOfActiveItems(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		do     func(q *Queue) (Result, error)
		told   []string
		items  int
		hold   bool
		result []int
		stop   bool
	}{
		{"hold", func(q *Queue) (Result, error) { return q.Hold(context.Background(), Filter{}, "because") }, nil, 1, true, []int{250, 450}, false},
		{"hold, but it is done", func(q *Queue) (Result, error) { return q.Hold(context.Background(), Filter{}, "because") }, nil, 0, false, []int{250}, false},
		{"remove", func(q *Queue) (Result, error) { return q.Remove(context.Background(), Filter{}, false) }, nil, 0, false, []int{250, 450}, false},
		{"bounce", func(q *Queue) (Result, error) { return q.Remove(context.Background(), Filter{}, true) }, []string{"failure y 554"}, 0, false, []int{250, 450}, false},
		{"bounce, and one failed", func(q *Queue) (Result, error) { return q.Remove(context.Background(), Filter{}, true) }, []string{"failure x,y 554"}, 0, false, []int{550, 450}, false},
		{"hold at the stop", func(q *Queue) (Result, error) { return q.Hold(context.Background(), Filter{}, "because") }, nil, 1, true, []int{450}, true},
	} {
		bubble(t, test.name, func(t *testing.T) {
			m := newMemory(itemTo("a.test", "x", "y"))
			q := run(t, m, func(ctx context.Context, item *mail.Item, n int) []mail.Outcome {
				select {
				case <-time.After(time.Minute):
				case <-ctx.Done():
				}
				return outcomes(test.result...)(nil, item, n)
			}, nil)
			time.Sleep(time.Second)
			if got := collect(t, q.Queue, Filter{}); got[0].State != "active" {
				t.Errorf("listed as %v", got[0].State)
			}
			if n, err := test.do(q.Queue); n != (Result{1, 1}) || err != nil {
				t.Errorf("%+v, %v", n, err)
			}
			if test.stop {
				q.stop()
			}
			time.Sleep(2 * time.Hour)
			synctest.Wait()
			if m.left() != test.items || !slices.Equal(m.told(), test.told) || q.tr.count() != 1 {
				t.Errorf("%d left, told %v, %d tries", m.left(), m.told(), q.tr.count())
			}
			if test.items > 0 && m.only(t).Hold != test.hold {
				t.Errorf("left %+v", m.only(t))
			}
		})
	}
}

// A command for an item whose result is being recorded waits for that.
func TestControlWhileSettling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(itemTo("a.test", "x"))
		m.block = make(chan struct{})
		q := run(t, m, outcomes(450), nil)
		synctest.Wait()
		done := make(chan Result)
		go func() {
			n, err := q.Remove(context.Background(), Filter{}, false)
			if err != nil {
				t.Error(err)
			}
			done <- n
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := q.Hold(ctx, Filter{}, "because"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("hold while the disk is slow: %v", err)
		}
		close(m.block)
		if n := <-done; n != (Result{1, 1}) || m.left() != 0 {
			t.Errorf("%+v removed, %d left", n, m.left())
		}
		q.stop()
	})
}
