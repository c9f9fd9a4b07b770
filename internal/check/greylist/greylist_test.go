package greylist

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"plic/internal/check/score"
	"plic/internal/check/sender"
	"plic/internal/dkim"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/spf"
	"plic/internal/store"
	"plic/internal/store/memory"
	"plic/internal/store/recall"
)

type world struct {
	t     *testing.T
	store *store.Store
	now   time.Time
	list  *List
}

func newWorld(t *testing.T) *world {
	s := store.New(store.Options{Engine: memory.New(time.Now)})
	t.Cleanup(func() { s.Close() })
	w := &world{t: t, store: s, now: time.Unix(1700000000, 0)}
	w.restart()
	return w
}

// restart begins anew with what was kept.
func (w *world) restart() {
	w.t.Helper()
	clock := func() time.Time { return w.now }
	if w.list != nil {
		if err := w.list.o.Memory.Flush(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
	}
	m, err := recall.Open(w.t.Context(), recall.Options{Notes: w.store.Notes(), Prefix: "greylist/", Now: clock})
	if err != nil {
		w.t.Fatal(err)
	}
	w.list = New(Options{Memory: m, Now: clock, Trust: 2})
}

func (w *world) wait(ip, from string, f *sender.Findings, to ...string) time.Duration {
	w.t.Helper()
	env := &mail.Envelope{Origin: mail.Origin{Remote: netip.AddrPortFrom(netip.MustParseAddr(ip), 1)}}
	if from != "" {
		env.From = mail.MustAddress(from)
	}
	for _, a := range to {
		env.To = append(env.To, mail.Recipient{Address: mail.MustAddress(a)})
	}
	m := score.NewMessage(env, &message.Message{Root: &message.Part{}}, mail.Bytes(nil))
	m.Found(f)
	d, err := w.list.Wait(w.t.Context(), m)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// TestWait lets pass who comes back in time, and remembers that.
func TestWait(t *testing.T) {
	w := newWorld(t)
	ask := func(want time.Duration, ip, from string, f *sender.Findings, to ...string) {
		t.Helper()
		if got := w.wait(ip, from, f, to...); got != want {
			t.Errorf("%s from %s waits %v, want %v", from, ip, got, want)
		}
	}
	const delay = 5 * time.Minute
	ask(delay, "192.0.2.1", "ann@there.test", nil, "bob@here.test")
	w.now = w.now.Add(2 * time.Minute)
	ask(3*time.Minute, "192.0.2.1", "ann@there.test", nil, "bob@here.test") // too early
	w.restart()
	w.now = w.now.Add(3 * time.Minute)
	ask(0, "192.0.2.9", "ann@there.test", nil, "bob@here.test") // another host of the network
	ask(delay, "192.0.2.1", "ann@there.test", nil, "carl@here.test")
	ask(delay, "192.0.3.1", "ann@there.test", nil, "bob@here.test")
	ask(0, "192.0.2.1", "ann@there.test", nil, "bob@here.test")
	w.now = w.now.Add(10 * time.Minute)
	ask(0, "192.0.2.1", "ann@there.test", nil, "bob@here.test", "carl@here.test")
	// The host has passed twice: it waits no more.
	ask(0, "192.0.2.77", "eve@other.test", nil, "dora@here.test")
	// Numbers in senders change; tags too.
	ask(delay, "2001:db8::1", "bounce-17+x=y@there.test", nil, "bob@here.test")
	w.now = w.now.Add(delay)
	ask(0, "2001:db8::2", "prvs=12ab=bounce-99@there.test", nil, "bob@here.test")
	// Whoever comes back after days is as new.
	ask(delay, "198.51.100.1", "", nil, "bob@here.test")
	w.now = w.now.Add(72 * time.Hour)
	ask(delay, "198.51.100.1", "", nil, "bob@here.test")
}

// TestProven knows a large site by its domain, from wherever it comes.
func TestProven(t *testing.T) {
	w := newWorld(t)
	pass := &sender.Findings{From: spf.Verdict{Result: spf.Pass, Domain: "big.test"}}
	signed := &sender.Findings{DKIM: []dkim.Result{{Status: dkim.Pass, Domain: "big.test"}}}
	if w.wait("192.0.2.1", "ann@big.test", pass, "bob@here.test") == 0 {
		t.Error("the first try passes")
	}
	w.now = w.now.Add(6 * time.Minute)
	if d := w.wait("203.0.113.1", "ann@big.test", pass, "bob@here.test"); d != 0 {
		t.Errorf("from another network: %v", d)
	}
	if d := w.wait("198.51.100.1", "ann@big.test", signed, "bob@here.test"); d != 0 {
		t.Errorf("signed: %v", d)
	}
	if d := w.wait("198.51.100.1", "ann@big.test", nil, "bob@here.test"); d == 0 {
		t.Error("who only says so passes")
	}
	w.list.o.Known = func(context.Context, *score.Message) bool { return true }
	if d := w.wait("198.51.100.9", "x@new.test", nil, "bob@here.test"); d != 0 {
		t.Errorf("who is known waits %v", d)
	}
}
