package main

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// scripted is a filter whose scores are given.
type scripted struct {
	scores []float64
	taught int
	err    error
}

func (*scripted) name() string   { return "scripted" }
func (*scripted) limit() float64 { return 5 }
func (*scripted) close()         {}

func (f *scripted) learn(_ context.Context, all []*letter) error {
	f.taught += len(all)
	return nil
}

func (f *scripted) judge(context.Context, []*letter) (out []verdict, err error) {
	for _, score := range f.scores {
		out = append(out, verdict{score: score})
	}
	return out, f.err
}

func TestTally(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		hit, miss, falseHit, right int
		took                       time.Duration
		want                       string
	}{
		{486, 14, 6, 494, time.Second, "| plic | 98.78 % | 97.20 % | 6 of 500 | 14 of 500 | 1ms |"},
		{1, 499, 0, 500, time.Second, "| plic | 100.00 % | 0.20 % | 0 of 500 | 499 of 500 | 1ms |"},
		{0, 2, 0, 2, 14 * time.Millisecond, "| plic | - | 0.00 % | 0 of 2 | 2 of 2 | 3.5ms |"},
		{0, 2, 2, 0, time.Millisecond, "| plic | 0.00 % | 0.00 % | 2 of 2 | 2 of 2 | 250µs |"},
		{0, 0, 0, 0, 0, "| plic | - | - | 0 of 0 | 0 of 0 | 0s |"},
	} {
		var c tally
		for _, y := range []struct {
			n           int
			spam, found bool
		}{{x.hit, true, true}, {x.miss, true, false}, {x.falseHit, false, true}, {x.right, false, false}} {
			for range y.n {
				c.add(y.spam, y.found)
			}
		}
		if got := c.row("plic", x.took); got != x.want {
			t.Errorf("%s\n%s", got, x.want)
		}
	}
}

// TestCount: a message is spam from the filter's limit on.
func TestCount(t *testing.T) {
	t.Parallel()
	test := []*letter{{spam: true}, {spam: true}, {spam: true}, {}, {}, {}, {}}
	f := &scripted{scores: []float64{5, 4.9, 30, 4.99, 5.01, 5, -3}}
	c, err := count(t.Context(), f, []*letter{{}, {}}, test, false)
	if err != nil || c.tally != (tally{hit: 2, miss: 1, falseHit: 2, ham: 4}) || f.taught != 2 {
		t.Errorf("%+v, %d learnt, %v", c, f.taught, err)
	}
	f.scores = f.scores[1:]
	if _, err := count(t.Context(), f, nil, test, false); err == nil {
		t.Error("a verdict that is missing is no error")
	}
	f.err = errors.New("broken")
	if _, err := count(t.Context(), f, nil, test, false); !errors.Is(err, f.err) {
		t.Error(err)
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	dir := corpus(t, everyGroup(2))
	for reason, do := range map[string]func() error{
		"-corpus":      func() error { return run(t.Context(), "", []string{"plic"}, 5, false) },
		"easy-ham-1":   func() error { return run(t.Context(), t.TempDir(), []string{"plic"}, 5, false) },
		"-count":       func() error { return run(t.Context(), dir, []string{"plic"}, -1, false) },
		`"assassin"`:   func() error { return run(t.Context(), dir, []string{"plic", "assassin"}, 5, false) },
		"no filter \"": func() error { return run(t.Context(), dir, []string{""}, 5, false) },
	} {
		if err := do(); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v", reason, err)
		}
	}
}

// TestPlic: our filter finds what it was taught, and without that leaves it alone.
func TestPlic(t *testing.T) {
	t.Parallel()
	teach, test := made(0, 150), made(1000, 20)
	for _, taught := range []bool{true, false} {
		p, err := newPlic(t.Context(), taught)
		if err != nil {
			t.Fatal(err)
		}
		defer p.close()
		c, err := count(t.Context(), p, teach, test, false)
		if err != nil {
			t.Fatal(err)
		}
		if c.hit+c.miss != 20 || c.ham != 20 || c.falseHit > 0 || taught && c.hit < 15 || !taught && c.hit > 0 {
			t.Errorf("taught %t: %+v", taught, c.tally)
		}
	}
}

// made are n messages of each class that are made up.
func made(from uint64, n int) (all []*letter) {
	for i := range n {
		for _, spam := range []bool{false, true} {
			l := parse(write(from+uint64(i), spam))
			l.spam = spam
			all = append(all, l)
		}
	}
	return all
}
