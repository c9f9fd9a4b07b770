package cached

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/directory"
	"plic/internal/mail"
	"plic/internal/table"
	"plic/internal/table/tabletest"
)

var errDown = errors.New("connection refused")

// counter answers everything, except for names with "nobody", and counts.
type counter struct {
	asked atomic.Int64
	down  atomic.Bool
	delay time.Duration
	panic bool
}

func (c *counter) ask(ctx context.Context, name string) error {
	c.asked.Add(1)
	if c.panic {
		panic("oops")
	}
	if c.delay > 0 {
		select {
		case <-time.After(c.delay):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	switch {
	case c.down.Load():
		return errDown
	case strings.Contains(name, "nobody"):
		return fmt.Errorf("%s: %w", name, directory.ErrNotFound)
	}
	return nil
}

func (c *counter) Domain(ctx context.Context, d mail.Domain) (directory.Domain, error) {
	return directory.Domain{Name: d}, c.ask(ctx, d.String())
}

func (c *counter) Account(ctx context.Context, login string) (directory.Account, error) {
	return directory.Account{Name: login}, c.ask(ctx, login)
}

func (c *counter) Resolve(ctx context.Context, a mail.Address) (directory.Target, error) {
	return directory.Target{Account: a.String()}, c.ask(ctx, a.String())
}

func (c *counter) Owns(context.Context, string, mail.Address) (bool, error) { panic("not asked") }

func (c *counter) Check(ctx context.Context, login, _ string) (directory.Account, error) {
	return c.Account(ctx, login)
}

// asks counts the questions to the source that a function causes.
func (c *counter) asks(do func()) int64 {
	before := c.asked.Load()
	do()
	return c.asked.Load() - before
}

func TestKeeps(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &counter{}
		d := New(c, Options{Keep: time.Minute, Missing: 10 * time.Second})
		account := func(login string) func() {
			return func() {
				a, err := d.Account(t.Context(), login)
				if errors.Is(err, directory.ErrNotFound) != strings.Contains(login, "nobody") || a.Name != login {
					t.Errorf("%s: %+v, %v", login, a, err)
				}
			}
		}
		for _, step := range []struct {
			after time.Duration
			login string
			want  int64
		}{
			{0, "ann", 1}, {0, "ann", 0}, {59 * time.Second, "ann", 0}, {time.Second, "ann", 1}, {0, "Ann", 1}, {0, "ann ", 1},
			{0, "nobody", 1}, {9 * time.Second, "nobody", 0}, {time.Second, "nobody", 1},
		} {
			time.Sleep(step.after)
			if n := c.asks(account(step.login)); n != step.want {
				t.Errorf("%s after %v: %d questions, want %d", step.login, step.after, n, step.want)
			}
		}
		if n := c.asks(func() { d.Account(t.Context(), strings.Repeat("nobody", 100)) }); n != 0 {
			t.Errorf("%d questions for a login that nobody has", n)
		}
	})
}

// Names that are the same text are different questions, and none is answered
// with another's answer.
func TestQuestionsAreNotMixedUp(t *testing.T) {
	t.Parallel()
	c := &counter{}
	d := New(c, Options{Keep: time.Hour, Missing: time.Hour})
	names := []string{"a.test", "a", "a\x00b", "a@b.test", "a:b", "b@a.test", "a\x00", "\x00a"}
	for range 2 {
		for _, n := range names {
			if a, err := d.Account(t.Context(), n); a.Name != n || err != nil {
				t.Errorf("account %q: %q, %v", n, a.Name, err)
			}
			a := mail.Address{Local: n, Domain: mail.MustDomain("x.test")}
			if to, err := d.Resolve(t.Context(), a); to.Account != a.String() || err != nil {
				t.Errorf("address %q: %q, %v", a, to.Account, err)
			}
		}
		if found, err := d.Domain(t.Context(), mail.MustDomain("a.test")); found.Name.String() != "a.test" || err != nil {
			t.Errorf("domain: %v, %v", found, err)
		}
	}
	if n := c.asked.Load(); n != int64(2*len(names)+1) {
		t.Errorf("%d questions", n)
	}
}

func TestTroubleIsNotKept(t *testing.T) {
	t.Parallel()
	c := &counter{}
	d := New(c, Options{Keep: time.Hour, Missing: time.Hour})
	c.down.Store(true)
	if _, err := d.Account(t.Context(), "ann"); !errors.Is(err, errDown) {
		t.Errorf("down: %v", err)
	}
	c.down.Store(false)
	if _, err := d.Account(t.Context(), "ann"); err != nil {
		t.Errorf("up again: %v", err)
	}
}

func TestStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, stale := range []time.Duration{0, time.Hour} {
			c := &counter{}
			outcomes := map[string]int{}
			d := New(c, Options{Keep: time.Minute, Missing: time.Minute, Stale: stale, Observe: func(q, outcome string, _ time.Duration) { outcomes[q+" "+outcome]++ }})
			ask := func(login string) error {
				_, err := d.Account(t.Context(), login)
				return err
			}
			if ask("ann") != nil || !errors.Is(ask("nobody"), directory.ErrNotFound) {
				t.Fatal("not up")
			}
			time.Sleep(2 * time.Minute)
			c.down.Store(true)
			for login, want := range map[string]error{"ann": nil, "nobody": directory.ErrNotFound, "new": errDown} {
				if stale == 0 {
					want = errDown
				}
				if err := ask(login); !errors.Is(err, want) {
					t.Errorf("%s down, stale %v: %v, want %v", login, stale, err, want)
				}
			}
			time.Sleep(time.Hour)
			if err := ask("ann"); !errors.Is(err, errDown) {
				t.Errorf("too old: %v", err)
			}
			if stale > 0 && (outcomes["account stale"] != 2 || outcomes["account trouble"] != 4 || outcomes["account found"] != 1 || outcomes["account missing"] != 1) {
				t.Errorf("observed %v", outcomes)
			}
		}
	})
}

func TestFresh(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &counter{}
		d := New(c, Options{Keep: time.Minute})
		ask := func(ctx context.Context) func() { return func() { d.Account(ctx, "ann") } }
		fresh := directory.WithFresh(t.Context())
		got := []int64{c.asks(ask(t.Context())), c.asks(ask(fresh))}
		time.Sleep(2 * time.Second)
		got = append(got, c.asks(ask(t.Context())), c.asks(ask(fresh)), c.asks(ask(t.Context())))
		if want := "[1 0 0 1 0]"; fmt.Sprint(got) != want {
			t.Errorf("questions %v, want %s", got, want)
		}
	})
}

// A hundred who ask the same at once are one question, and one of them who goes
// away takes the answer from nobody.
func TestOneFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &counter{delay: time.Second}
		d := New(c, Options{Keep: time.Minute})
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := d.Account(ctx, "ann"); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("who went away: %v", err)
			}
		})
		synctest.Wait()
		for range 100 {
			wg.Go(func() {
				if a, err := d.Account(t.Context(), "ann"); err != nil || a.Name != "ann" {
					t.Errorf("%+v, %v", a, err)
				}
			})
		}
		wg.Wait()
		if n := c.asked.Load(); n != 1 {
			t.Errorf("%d questions", n)
		}
	})
}

func TestTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := New(&counter{delay: time.Hour}, Options{Timeout: time.Second})
		if _, err := d.Account(t.Context(), "ann"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}

func TestBounded(t *testing.T) {
	t.Parallel()
	c := &counter{}
	d := New(c, Options{Keep: time.Hour, Missing: time.Hour, Entries: 10})
	for i := range 1000 {
		d.Account(t.Context(), fmt.Sprint("nobody", i))
	}
	if n := len(d.accounts.entries); n != 10 {
		t.Errorf("%d entries", n)
	}
	if n := len(d.accounts.asked); n != 0 {
		t.Errorf("%d still asked", n)
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	d := New(&counter{panic: true}, Options{Keep: time.Hour})
	if _, err := d.Account(t.Context(), "ann"); err == nil || errors.Is(err, directory.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	c := &counter{}
	d := New(c, Options{Keep: time.Hour})
	if n := c.asks(func() { d.Check(t.Context(), "ann", "x"); d.Check(t.Context(), "ann", "x") }); n != 2 {
		t.Errorf("%d questions: passwords are not remembered here", n)
	}
	if _, err := New(struct{ directory.Directory }{c}, Options{}).Check(t.Context(), "ann", "x"); !errors.Is(err, errNoChecker) {
		t.Errorf("no checker: %v", err)
	}
}

// TestTable puts a memory before a table.
func TestTable(t *testing.T) {
	t.Parallel()
	held := map[string]string{}
	var broken atomic.Bool
	tabletest.Suite{
		Open: func(_ *testing.T, pairs map[string]string) table.Table {
			held = map[string]string{}
			for k, v := range pairs {
				held[strings.ToLower(k)] = v
			}
			return NewTable(lookup(func(key string) (string, bool, error) {
				if broken.Load() {
					return "", false, errDown
				}
				v, ok := held[key]
				return v, ok, nil
			}), Options{Keep: time.Hour, Missing: time.Hour})
		},
		Break: func(*testing.T) { broken.Store(true) }, Mend: func(*testing.T) { broken.Store(false) },
	}.Run(t)
	asked := 0
	tab := NewTable(lookup(func(key string) (string, bool, error) { asked++; return key, key != "none", nil }), Options{Keep: time.Hour, Missing: time.Hour})
	for range 3 {
		for key, want := range map[string]string{"a": "a", "A": "a", "b": "b", "none": ""} {
			if got, found, err := tab.Lookup(t.Context(), key); got != want && found || found != (want != "") || err != nil {
				t.Errorf("%q: %q, %v, %v", key, got, found, err)
			}
		}
	}
	if asked != 3 {
		t.Errorf("%d questions", asked)
	}
}

type lookup func(key string) (string, bool, error)

func (l lookup) Lookup(_ context.Context, key string) (string, bool, error) { return l(key) }
