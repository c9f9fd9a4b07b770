package embargo

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"plic/internal/mail"
	"plic/internal/queue"
	"plic/internal/store"
	"plic/internal/store/memory"
)

// desk is a Book over a real store, with a clock that the test sets.
type desk struct {
	*Book
	t     *testing.T
	notes store.Notes
	now   time.Time
	o     Options
}

func newDesk(t *testing.T, edit func(*Options)) *desk {
	t.Helper()
	s := store.New(store.Options{Engine: memory.New(time.Now), Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { s.Close() })
	d := &desk{t: t, notes: s.Notes(), now: time.Unix(1_800_000_000, 0)}
	d.o = Options{Notes: d.notes, Now: func() time.Time { return d.now }, After: 3, For: 24 * time.Hour}
	if edit != nil {
		edit(&d.o)
	}
	d.reopen()
	return d
}

func (d *desk) reopen() {
	d.t.Helper()
	b, err := Open(d.t.Context(), d.o)
	if err != nil {
		d.t.Fatal(err)
	}
	d.Book = b
}

func (d *desk) gone(address string) {
	d.Gone(context.Background(), mail.ItemRcpt{
		Recipient: mail.Recipient{Address: mail.MustAddress(address)}, Host: "mx.b.test", Last: mail.Reply(550, "5.1.1", "no such user"),
	})
}

func (d *desk) refuses(address string) string {
	s, no := d.Refuses(d.t.Context(), mail.MustAddress(address))
	if !no {
		return ""
	}
	return s.String()
}

func (d *desk) listed() (n int) {
	d.t.Helper()
	for _, err := range d.Suppressed(d.t.Context()) {
		if err != nil {
			d.t.Fatal(err)
		}
		n++
	}
	return n
}

// Three messages in a row come back, then nothing is sent until the time is
// over; it holds after a restart, and counts from nothing after it.
func TestSuppressedAfterBounces(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	for range 2 {
		d.gone("Gone@b.test")
	}
	if got := d.refuses("gone@b.test"); got != "" || d.listed() != 0 {
		t.Errorf("refused after two: %q, %d listed", got, d.listed())
	}
	d.gone("gone@B.test")
	d.reopen()
	got := d.refuses("GONE@b.test")
	for _, want := range []string{"550 5.1.1 ", "the last 3 messages", "until 2027-01-16", "mx.b.test said: 550 5.1.1 no such user"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
	if d.listed() != 1 || d.refuses("other@b.test") != "" {
		t.Error("another address is refused, or none is listed")
	}
	d.now = d.now.Add(24 * time.Hour)
	if got := d.refuses("gone@b.test"); got != "" || d.listed() != 0 {
		t.Errorf("refused after its time: %q", got)
	}
	d.gone("gone@b.test")
	if got := d.refuses("gone@b.test"); got != "" {
		t.Errorf("old bounces count: %q", got)
	}
	d.now = d.now.Add(25 * time.Hour)
	d.reopen()
	if notes, err := d.notes.All(t.Context(), ""); err != nil || len(notes) != 0 {
		t.Errorf("%d notes stay, %v", len(notes), err)
	}
}

func TestSuppressedByHand(t *testing.T) {
	t.Parallel()
	d := newDesk(t, func(o *Options) { o.After = 0 })
	a := mail.MustAddress("x@b.test")
	for range 5 {
		d.gone("y@b.test")
	}
	if d.listed() != 0 || d.refuses("y@b.test") != "" {
		t.Error("bounces count although they are not to")
	}
	if _, err := d.Suppress(t.Context(), a, 0, "asked for it"); err != nil {
		t.Fatal(err)
	}
	d.now = d.now.Add(10 * 365 * 24 * time.Hour)
	d.reopen()
	if got := d.refuses("x@b.test"); got != "550 5.7.1 the postmaster of this site lets nothing go to this address: asked for it" {
		t.Errorf("refused with %q", got)
	}
	if _, err := d.Suppress(t.Context(), a, time.Hour, ""); err != nil {
		t.Fatal(err)
	}
	if got := d.refuses("x@b.test"); !strings.Contains(got, "until 2037-01-12") {
		t.Errorf("refused with %q", got)
	}
	if err := d.Release(t.Context(), a); err != nil || d.refuses("x@b.test") != "" {
		t.Errorf("released: %v, %q", err, d.refuses("x@b.test"))
	}
	if err := d.Release(t.Context(), a); !errors.Is(err, ErrNotFound) {
		t.Errorf("released twice: %v", err)
	}
}

func TestHoldRules(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	item := &mail.Item{
		Hop:      mail.Hop{Host: "b.test"},
		Envelope: mail.Envelope{From: mail.MustAddress("ann@a.test"), Received: d.now, Origin: mail.Origin{Account: "ann@a.test"}},
	}
	to := func(address string) mail.ItemRcpt {
		return mail.ItemRcpt{Recipient: mail.Recipient{Address: mail.MustAddress(address)}}
	}
	if _, err := d.AddRule(t.Context(), queue.Filter{Held: true, Older: time.Hour}, "x"); err == nil {
		t.Error("a rule that holds everything")
	}
	rule, err := d.AddRule(t.Context(), queue.Filter{From: "@a.test", To: "bob@b.test"}, "trouble")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.AddRule(t.Context(), queue.Filter{Host: "c.test"}, ""); err != nil {
		t.Fatal(err)
	}
	d.reopen()
	if why, held := d.Holds(item, to("Bob@b.test")); !held || why != "trouble" {
		t.Errorf("held %v for %q", held, why)
	}
	if _, held := d.Holds(item, to("carl@b.test")); held {
		t.Error("one of two patterns is enough")
	}
	item.Hop.Host = "C.test"
	if why, held := d.Holds(item, to("carl@b.test")); !held || !strings.HasPrefix(why, "hold rule ") {
		t.Errorf("held %v for %q", held, why)
	}
	if _, err := d.RemoveRule(t.Context(), rule.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := d.RemoveRule(t.Context(), rule.ID); !errors.Is(err, ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	d.reopen()
	if rules := d.Rules(); len(rules) != 1 || rules[0].Filter.Host != "c.test" {
		t.Errorf("rules %+v", rules)
	}
}

// Notes that cannot be read are told of, and stop nobody's mail.
func TestBrokenNotes(t *testing.T) {
	t.Parallel()
	d := newDesk(t, nil)
	if err := d.notes.Put(t.Context(), suppressPrefix+"x@b.test", []byte("{")); err != nil {
		t.Fatal(err)
	}
	if got := d.refuses("x@b.test"); got != "" {
		t.Errorf("refused with %q", got)
	}
	if _, err := Open(t.Context(), d.o); err == nil {
		t.Error("opened over a broken note")
	}
}
