package auth

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/directory"
	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/pki"
	"plic/internal/sasl"
	"plic/internal/vfs"
)

var (
	cheap = directory.Cost{Memory: 64, Time: 1, Threads: 1, Iterations: sasl.MinIterations}
	noon  = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	here  = netip.MustParseAddr("192.0.2.1")
	there = netip.MustParseAddr("198.51.100.9")
)

// users is a directory of accounts with their passwords.
type users struct {
	mu       sync.Mutex
	accounts map[string]directory.Account
	fail     error
	asked    int
}

func (u *users) Domain(context.Context, mail.Domain) (directory.Domain, error) {
	return directory.Domain{}, directory.ErrNotFound
}

func (u *users) Resolve(context.Context, mail.Address) (directory.Target, error) {
	return directory.Target{}, directory.ErrNotFound
}

func (u *users) Owns(context.Context, string, mail.Address) (bool, error) { return false, nil }

func (u *users) Account(_ context.Context, login string) (directory.Account, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.asked++
	if u.fail != nil {
		return directory.Account{}, u.fail
	}
	if a, ok := u.accounts[strings.ToLower(login)]; ok {
		return a, nil
	}
	return directory.Account{}, directory.ErrNotFound
}

func (u *users) set(name, password string, disabled bool) {
	s, err := directory.NewSecret(password, cheap)
	if err != nil {
		panic(err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.accounts[name] = directory.Account{Name: name, Secret: s, Disabled: disabled}
}

// house is an Auth with a clock of its own; waits take no time and are noted.
type house struct {
	*Auth
	users   *users
	journal *journal.Journal

	mu    sync.Mutex
	now   time.Time
	waits []time.Duration
}

func newHouse(t testing.TB, change func(*Options)) *house {
	t.Helper()
	h := &house{users: &users{accounts: map[string]directory.Account{}}, now: noon}
	h.users.set("alice@plic.test", "secret", false)
	h.users.set("bob@plic.test", "pa\u0308ss wörd", false)
	h.users.set("gone@plic.test", "secret", true)
	clock := func() time.Time {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.now
	}
	var err error
	if h.journal, err = journal.Open(journal.Options{FS: vfs.NewMemory(), Dir: "journal", Now: clock}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.journal.Close() })
	o := Options{
		Directory: h.users, Journal: h.journal, Now: clock, Cost: cheap, Secret: []byte("server secret"),
		Wait: func(ctx context.Context, d time.Duration) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.waits = append(h.waits, d)
			return ctx.Err()
		},
	}
	if change != nil {
		change(&o)
	}
	h.Auth = New(o)
	return h
}

func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

func from(addr netip.Addr, service string) Peer {
	return Peer{Service: service, Remote: addr, Loopback: true}
}

// A3, A6, A7, A8: whoever has a name of whatever meaning elsewhere gets the same
// answer as a wrong password.
func TestPassword(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	for _, tc := range []struct {
		name, user, password string
		account              string
		want                 error
	}{
		{"right", "alice@plic.test", "secret", "alice@plic.test", nil},
		{"right again, from the cache", "alice@plic.test", "secret", "alice@plic.test", nil},
		{"in any case", "ALICE@plic.test", "secret", "alice@plic.test", nil},
		{"wrong", "alice@plic.test", "Secret", "", ErrBad},
		{"wrong while cached", "alice@plic.test", "secret ", "", ErrBad},
		{"composed otherwise", "bob@plic.test", "päss wörd", "bob@plic.test", nil},
		{"unknown", "carol@plic.test", "secret", "", ErrBad},
		{"disabled", "gone@plic.test", "secret", "", ErrBad},
		{"disabled again", "gone@plic.test", "secret", "", ErrBad},
		{"empty password", "alice@plic.test", "", "", ErrBad},
		{"odd password", "alice@plic.test", "\x00", "", ErrBad},
		{"not UTF-8", "alice@plic.test", "\xff", "", ErrBad},
		{"nobody", "", "secret", "", ErrBad},
		{"SQL", "' OR 1=1--", "secret", "", ErrBad}, // A6
		{"LDAP", "*)(uid=*", "secret", "", ErrBad},  // A7
		{"template", "%{x}", "secret", "", ErrBad},  // A8
	} {
		account, err := h.Password(t.Context(), from(there, "imap"), tc.user, tc.password)
		if !errors.Is(err, tc.want) || account.Account != tc.account {
			t.Errorf("%s: %v %v, want %q %v", tc.name, account, err, tc.account, tc.want)
		}
		if tc.want != nil && err.Error() != tc.want.Error() {
			t.Errorf("%s: told %q, which others are not", tc.name, err)
		}
	}
}

func TestChangedPassword(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	login := func(password string) error {
		_, err := h.Password(t.Context(), from(here, "imap"), "alice@plic.test", password)
		return err
	}
	if err := login("secret"); err != nil {
		t.Fatal(err)
	}
	h.users.set("alice@plic.test", "new", false)
	if err := login("secret"); !errors.Is(err, ErrBad) {
		t.Errorf("the old password: %v", err)
	}
	if err := login("new"); err != nil {
		t.Errorf("the new password: %v", err)
	}
	h.users.set("alice@plic.test", "new", true)
	if err := login("new"); !errors.Is(err, ErrBad) {
		t.Errorf("disabled: %v", err)
	}
}

// A8: the cache is of one account, hash and password; it ends on time, does not forget others and stays within its bound.
func TestCache(t *testing.T) {
	t.Parallel()
	now := noon
	c := newCache(time.Minute, func() time.Time { return now })
	c.add("a", "h", "p")
	for _, tc := range []struct {
		account, hash, password string
		after                   time.Duration
		want                    bool
	}{
		{"a", "h", "p", 0, true},
		{"a", "h", "q", 0, false},
		{"a", "h", "p", 0, true}, // a wrong one in between did not change it
		{"a", "i", "p", 0, false},
		{"b", "h", "p", 0, false},
		{"a", "h", "p", 59 * time.Second, true}, // and is not extended
		{"a", "h", "p", 61 * time.Second, false},
	} {
		now = noon.Add(tc.after)
		if got := c.has(tc.account, tc.hash, tc.password); got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
	now = noon
	c.add("a", "h", "p")
	now = noon.Add(-time.Hour) // the clock was set back: it must not live longer
	if c.has("a", "h", "p") {
		t.Error("lives longer after the clock was set back")
	}
	for i := range maxCache + 10 {
		c.add(fmt.Sprint(i), "h", "p")
	}
	if len(c.entries) != maxCache {
		t.Errorf("%d entries", len(c.entries))
	}
	off := newCache(-1, func() time.Time { return now })
	off.add("a", "h", "p")
	if off.has("a", "h", "p") {
		t.Error("remembers though told not to")
	}
}

// A4: nothing that shows the password without TLS, unless nobody can listen;
// the secret is not even looked at.
func TestNeedTLS(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	open := Peer{Service: "smtp", Remote: here}
	if got := h.Mechanisms(open); !slices.Equal(got, []string{sasl.SCRAM}) {
		t.Errorf("offered in the clear: %v", got)
	}
	if got := h.Mechanisms(Peer{Loopback: true}); !slices.Equal(got, []string{sasl.SCRAM, sasl.Plain, sasl.Login}) {
		t.Errorf("offered on the loopback: %v", got)
	}
	for _, m := range []string{"PLAIN", "login"} {
		if _, err := h.Begin(t.Context(), open, m); !errors.Is(err, ErrNeedTLS) {
			t.Errorf("%s: %v", m, err)
		}
	}
	if _, err := h.Password(t.Context(), open, "alice@plic.test", "secret"); !errors.Is(err, ErrNeedTLS) {
		t.Errorf("password: %v", err)
	}
	if _, err := h.Begin(t.Context(), open, "CRAM-MD5"); !errors.Is(err, ErrNoMechanism) {
		t.Errorf("unknown mechanism: %v", err)
	}
	if h.users.asked != 0 || len(h.waits) != 0 {
		t.Error("something was looked up")
	}
	few := newHouse(t, func(o *Options) { o.Mechanisms = []string{sasl.Plain} })
	if _, err := few.Begin(t.Context(), from(here, "smtp"), sasl.SCRAM); !errors.Is(err, ErrNoMechanism) {
		t.Errorf("a mechanism that is off: %v", err)
	}
}

// exchange runs a client against the server.
func (h *house) exchange(p Peer, c sasl.Client) (string, error) {
	x, err := h.Begin(context.Background(), p, c.Mechanism())
	if err != nil {
		return "", err
	}
	response, err := c.Next(nil)
	for err == nil {
		challenge, done, err := x.Next(context.Background(), response)
		if err != nil {
			return "", err
		}
		if done {
			return x.Account(), c.Finish()
		}
		if response, err = c.Next(challenge); err != nil {
			return "", err
		}
	}
	return "", err
}

// handshake is a TLS connection, as both sides see it.
func handshake(t *testing.T) (server, client tls.ConnectionState, leaf *x509.Certificate) {
	t.Helper()
	ca, err := pki.Open(vfs.NewMemory(), "tls", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue([]string{"mx.plic.test"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*cert}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	states := make(chan tls.ConnectionState, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		c.(*tls.Conn).Handshake()
		states <- c.(*tls.Conn).ConnectionState()
		c.Close()
	}()
	c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{ServerName: "mx.plic.test", RootCAs: ca.Pool()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return <-states, c.ConnectionState(), cert.Leaf
}

// A4: a client from whom somebody hid that PLUS is on offer does not get in.
func TestExchange(t *testing.T) {
	t.Parallel()
	ours, theirs, leaf := handshake(t)
	h := newHouse(t, func(o *Options) {
		o.Certificate = func(name string) *x509.Certificate {
			if name == "mx.plic.test" {
				return leaf
			}
			return nil
		}
	})
	p := Peer{Service: "submission", Remote: here, TLS: &ours}
	if got := h.Mechanisms(p); !slices.Equal(got, []string{sasl.SCRAMPlus, sasl.SCRAM, sasl.Plain, sasl.Login}) {
		t.Errorf("offered over TLS: %v", got)
	}
	all := sasl.Bindings(&theirs, theirs.PeerCertificates[0])
	if len(all) != 2 {
		t.Fatalf("bindings %v", all)
	}
	bob := sasl.Credentials{User: "Bob@plic.test", Password: "päss wörd"}
	for _, binding := range all {
		c, err := sasl.NewSCRAMClient(bob, true, []sasl.Binding{binding})
		if err != nil {
			t.Fatal(err)
		}
		if account, err := h.exchange(p, c); err != nil || account != "bob@plic.test" {
			t.Errorf("%s: %q %v", binding.Type, account, err)
		}
	}
	for _, m := range []string{sasl.SCRAM, sasl.Plain, sasl.Login} {
		for password, want := range map[string]error{"päss wörd": nil, "x": ErrBad} {
			c, err := sasl.Choose([]string{m}, sasl.Credentials{User: bob.User, Password: password}, true, nil)
			if err != nil {
				t.Fatal(err)
			}
			account, err := h.exchange(p, c)
			if !errors.Is(err, want) || (account == "bob@plic.test") != (want == nil) {
				t.Errorf("%s with %q: %q %v", m, password, account, err)
			}
		}
	}
	// A4: somebody hid PLUS from a client that could have used it.
	c, _ := sasl.NewSCRAMClient(bob, false, all)
	if _, err := h.exchange(p, c); !errors.Is(err, ErrBad) {
		t.Errorf("downgraded: %v", err)
	}
	for _, user := range []string{"gone@plic.test", "carol@plic.test"} {
		c, _ := sasl.NewSCRAMClient(sasl.Credentials{User: user, Password: "secret"}, false, nil)
		if _, err := h.exchange(p, c); err == nil || err.Error() != ErrBad.Error() {
			t.Errorf("%s: %v", user, err)
		}
	}
	if _, err := h.Begin(t.Context(), from(here, "smtp"), sasl.SCRAMPlus); !errors.Is(err, ErrNeedTLS) {
		t.Errorf("PLUS without TLS: %v", err)
	}
}

// A4, A3: a user who does not exist has a salt too, always the same.
func TestFakeSaltIsStable(t *testing.T) {
	t.Parallel()
	salt := func(h *house, user string) string {
		x, err := h.Begin(t.Context(), from(here, "imap"), sasl.SCRAM)
		if err != nil {
			t.Fatal(err)
		}
		challenge, _, err := x.Next(t.Context(), []byte("n,,n="+user+",r=abc"))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(challenge), ",")
		return rest
	}
	a, b := newHouse(t, nil), newHouse(t, nil) // as after a restart
	if x, y := salt(a, "carol@plic.test"), salt(b, "CAROL@plic.test"); x != y || !strings.HasSuffix(x, fmt.Sprintf("i=%d", cheap.Iterations)) {
		t.Errorf("%s and %s", x, y)
	}
	if salt(a, "carol@plic.test") == salt(a, "dave@plic.test") {
		t.Error("the same salt for all that do not exist")
	}
}

// A5: garbled, endless and half-done exchanges.
func TestOddExchanges(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	p := from(here, "imap")
	for _, tc := range []struct {
		mechanism, response string
		want                error
	}{
		{"PLAIN", "rubbish", ErrMalformed},
		{"PLAIN", strings.Repeat("x", 13<<10), ErrMalformed},
		{"LOGIN", strings.Repeat("x", 13<<10), ErrMalformed},
		{"SCRAM-SHA-256", "rubbish", ErrMalformed},
		{"SCRAM-SHA-256", "p=tls-exporter,,n=alice@plic.test,r=abc", ErrBad},
		{"PLAIN", "bob\x00alice@plic.test\x00secret", ErrBad},
		{"PLAIN", "ALICE@plic.test\x00alice@plic.test\x00secret", nil},
	} {
		x, err := h.Begin(t.Context(), p, tc.mechanism)
		if err != nil {
			t.Fatal(err)
		}
		_, done, err := x.Next(t.Context(), []byte(tc.response))
		if !errors.Is(err, tc.want) || done != (tc.want == nil) || (x.Account() != "") != (tc.want == nil) {
			t.Errorf("%s %.40q: %v %q %v, want %v", tc.mechanism, tc.response, done, x.Account(), err, tc.want)
		}
		if _, _, err := x.Next(t.Context(), []byte("x")); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s %.40q: goes on after its end: %v", tc.mechanism, tc.response, err)
		}
	}
}

// A5: exchanges that are left half-done leave nothing. Not parallel: it looks
// at the heap, which is everybody's.
func TestHalfDoneExchanges(t *testing.T) {
	h := newHouse(t, nil)
	p := from(here, "imap")
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 20_000 {
		x, err := h.Begin(t.Context(), p, sasl.SCRAM)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := x.Next(t.Context(), []byte("n,,n=alice@plic.test,r=abc")); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("%d octets kept of exchanges that were left", grown)
	}
	if b := h.guard.buckets[bucketKey{kind: ofHost, prefix: netip.PrefixFrom(here, 32)}]; b == nil || b.pending != 0 {
		t.Errorf("exchanges that were left count as going on: %+v", b)
	}
}

// A1: guesses are counted over all services: slower and slower, then refused; a
// host elsewhere is not touched, and the victim gets in from there.
func TestGuessing(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	services := []string{"smtp", "imap", "pop3", "submission"}
	var throttled int
	for i := range 50 {
		_, err := h.Password(t.Context(), from(here, services[i%len(services)]), "alice@plic.test", fmt.Sprint("guess", i))
		switch {
		case errors.Is(err, ErrThrottled):
			throttled++
		case throttled > 0 || !errors.Is(err, ErrBad):
			t.Fatalf("guess %d: %v", i, err)
		}
	}
	if throttled != 30 {
		t.Errorf("%d of 50 refused", throttled)
	}
	want := []time.Duration{2, 4, 8, 15, 15}
	for i, w := range want {
		if i >= len(h.waits) || h.waits[i] != w*time.Second {
			t.Fatalf("delays %v, want %v s and so on", h.waits, want)
		}
	}
	if _, err := h.Password(t.Context(), from(here, "imap"), "alice@plic.test", "secret"); !errors.Is(err, ErrThrottled) {
		t.Errorf("the right password from the guesser: %v", err)
	}
	if _, err := h.Begin(t.Context(), from(here, "imap"), sasl.SCRAM); err != nil {
		t.Fatal(err)
	}
	c, _ := sasl.NewSCRAMClient(sasl.Credentials{User: "alice@plic.test", Password: "secret"}, false, nil)
	if _, err := h.exchange(from(here, "imap"), c); !errors.Is(err, ErrThrottled) {
		t.Errorf("by another mechanism: %v", err)
	}
	// The same network is next to it and still gets in, another is untouched.
	for _, addr := range []string{"192.0.2.99", "198.51.100.9", "2001:db8::1"} {
		if _, err := h.Password(t.Context(), from(netip.MustParseAddr(addr), "imap"), "alice@plic.test", "secret"); err != nil {
			t.Errorf("the victim from %s: %v", addr, err)
		}
	}
	h.waits = nil
	if _, err := h.Password(t.Context(), from(there, "imap"), "bob@plic.test", "päss wörd"); err != nil || len(h.waits) != 0 {
		t.Errorf("somebody else elsewhere: %v after %v", err, h.waits)
	}
	h.pass(24 * time.Hour)
	if _, err := h.Password(t.Context(), from(here, "imap"), "alice@plic.test", "secret"); err != nil || len(h.waits) != 0 {
		t.Errorf("a day later: %v after %v", err, h.waits)
	}
}

// A whole network that guesses is refused, whichever of its hosts asks; of IPv6
// a host is a /64.
func TestGuessingNetworks(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		format  string
		guesses int
		victim  string
		want    error
	}{
		{"192.0.2.%d", 60, "192.0.2.200", ErrThrottled},
		{"192.0.2.%d", 60, "192.0.3.1", nil},
		{"2001:db8:0:7::%d", 20, "2001:db8:0:7:ffff::1", ErrThrottled},
		{"2001:db8:0:7::%d", 20, "2001:db8:0:8::1", nil},
		{"2001:db8:0:%d::1", 60, "2001:db8:0:ffff::1", ErrThrottled},
		{"2001:db8:0:%d::1", 60, "2001:db8:1::1", nil},
		{"::ffff:192.0.2.%d", 60, "192.0.2.200", ErrThrottled},
	} {
		h := newHouse(t, nil)
		for i := range tc.guesses {
			addr := netip.MustParseAddr(fmt.Sprintf(tc.format, i))
			h.Password(t.Context(), from(addr, "imap"), fmt.Sprintf("user%d@plic.test", i), fmt.Sprint("guess", i))
		}
		if _, err := h.Password(t.Context(), from(netip.MustParseAddr(tc.victim), "imap"), "alice@plic.test", "secret"); !errors.Is(err, tc.want) {
			t.Errorf("%d from %s, then %s: %v, want %v", tc.guesses, tc.format, tc.victim, err, tc.want)
		}
	}
}

// A forgotten device that says the same wrong password again and again does
// not lock its house out; nor does a burst of good logins.
func TestHarmlessMistakes(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	for range 1000 {
		if _, err := h.Password(t.Context(), from(here, "imap"), "alice@plic.test", "old password"); !errors.Is(err, ErrBad) {
			t.Fatal(err)
		}
	}
	if _, err := h.Password(t.Context(), from(here, "imap"), "bob@plic.test", "päss wörd"); err != nil {
		t.Errorf("the neighbour: %v", err)
	}
	// Whoever got in from a host before is let in though others guess there.
	for i := range 30 {
		h.Password(t.Context(), from(here, "imap"), "carol@plic.test", fmt.Sprint(i))
	}
	h.waits = nil
	if _, err := h.Password(t.Context(), from(here, "imap"), "bob@plic.test", "päss wörd"); err != nil || len(h.waits) != 0 {
		t.Errorf("known here: %v after %v", err, h.waits)
	}
	// But not to guess at that account.
	var refused bool
	for i := range 10 {
		_, err := h.Password(t.Context(), from(here, "imap"), "bob@plic.test", fmt.Sprint("guess", i))
		refused = refused || errors.Is(err, ErrThrottled)
	}
	if !refused {
		t.Error("guesses at a known account are free")
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, func(o *Options) { o.Wait, o.Now = nil, time.Now })
		defer h.journal.Close()
		start := time.Now()
		var wg sync.WaitGroup
		var good atomic.Int64
		for range freeAtOnce { // what a mail reader opens
			wg.Go(func() {
				if _, err := h.Password(t.Context(), from(here, "imap"), "alice@plic.test", "secret"); err == nil {
					good.Add(1)
				}
			})
		}
		wg.Wait()
		if good.Load() != freeAtOnce || time.Since(start) != 0 {
			t.Errorf("%d got in, after %v", good.Load(), time.Since(start))
		}
		good.Store(0)
		for i := range 300 { // a webmail host after a restart
			name := fmt.Sprintf("user%d@plic.test", i)
			h.users.set(name, "secret", false)
			wg.Go(func() {
				if _, err := h.Password(t.Context(), from(netip.MustParseAddr("203.0.113.80"), "imap"), name, "secret"); err == nil {
					good.Add(1)
				}
			})
		}
		wg.Wait()
		if good.Load() != 300 || time.Since(start) != 0 {
			t.Errorf("%d of a webmail got in, after %v", good.Load(), time.Since(start))
		}
		var throttled atomic.Int64
		for i := range 100 { // guesses at once gain nothing
			wg.Go(func() {
				if _, err := h.Password(t.Context(), from(there, "imap"), "alice@plic.test", fmt.Sprint("guess", i)); errors.Is(err, ErrThrottled) {
					throttled.Add(1)
				}
			})
		}
		wg.Wait()
		if n := 100 - throttled.Load(); n > int64(20+cap(h.slots)) {
			t.Errorf("%d of 100 guesses at once were looked at", n)
		}
		h.users.set("carol@plic.test", "secret", false)
		var pairs []*Exchange // SCRAM has no slots: its proofs all come at the end
		var proofs [][]byte
		far := from(netip.MustParseAddr("203.0.113.5"), "imap")
		for i := range 100 {
			c, _ := sasl.NewSCRAMClient(sasl.Credentials{User: "carol@plic.test", Password: fmt.Sprint("guess", i)}, false, nil)
			x, err := h.Begin(t.Context(), far, sasl.SCRAM)
			if err != nil {
				t.Fatal(err)
			}
			first, _ := c.Next(nil)
			challenge, _, err := x.Next(t.Context(), first)
			if err != nil {
				t.Fatal(err)
			}
			proof, _ := c.Next(challenge)
			pairs, proofs = append(pairs, x), append(proofs, proof)
		}
		looked := 0
		for i, x := range pairs {
			if _, _, err := x.Next(t.Context(), proofs[i]); errors.Is(err, ErrBad) {
				looked++
			}
		}
		if looked != 20 {
			t.Errorf("%d of 100 proofs at once were looked at", looked)
		}
	})
}

// A2: hashing for others takes no more than its share, and whoever was right
// lately does not wait for it.
func TestSlowLoginsDoNotBlock(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.Parallel = 1 })
	if _, err := h.Password(t.Context(), from(here, "imap"), "alice@plic.test", "secret"); err != nil {
		t.Fatal(err)
	}
	h.slots <- struct{}{} // somebody's hash takes for ever
	if _, err := h.Password(t.Context(), from(here, "imap"), "alice@plic.test", "secret"); err != nil {
		t.Errorf("known password: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Password(ctx, from(there, "imap"), "bob@plic.test", "päss wörd"); !errors.Is(err, ErrTemporary) {
		t.Errorf("given up while waiting: %v", err)
	}
	<-h.slots
	if _, err := h.Password(t.Context(), from(there, "imap"), "bob@plic.test", "päss wörd"); err != nil {
		t.Errorf("after that: %v", err)
	}
}

func TestDirectoryTrouble(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.users.fail = errors.New("database password is hunter2")
	for _, m := range []string{sasl.SCRAM, sasl.Plain, sasl.Login} {
		c, _ := sasl.Choose([]string{m}, sasl.Credentials{User: "alice@plic.test", Password: "secret"}, true, nil)
		if _, err := h.exchange(from(here, "imap"), c); err == nil || err.Error() != ErrTemporary.Error() {
			t.Errorf("%s: %v", m, err)
		}
	}
	h.users.fail = nil
	h.waits = nil
	if _, err := h.Password(t.Context(), from(here, "imap"), "alice@plic.test", "secret"); err != nil || len(h.waits) != 0 {
		t.Errorf("trouble counts as guessing: %v after %v", err, h.waits)
	}
	h.users.accounts["broken@plic.test"] = directory.Account{Name: "broken@plic.test", Secret: directory.Secret{Hash: "rubbish"}}
	if _, err := h.Password(t.Context(), from(here, "imap"), "broken@plic.test", "x"); !errors.Is(err, ErrTemporary) {
		t.Errorf("a broken hash: %v", err)
	}
	h.users.accounts["none@plic.test"] = directory.Account{Name: "none@plic.test"}
	if _, err := h.Password(t.Context(), from(here, "imap"), "none@plic.test", "x"); !errors.Is(err, ErrBad) {
		t.Errorf("an account without a password: %v", err)
	}
}

// A3: a user who does not exist costs as many hashes of the same parameters.
func TestUnknownUserCostsTheSame(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	known := h.users.accounts["alice@plic.test"].Secret.Hash
	params := func(phc string) string {
		parts := strings.Split(phc, "$")
		return strings.Join(parts[:4], "$") + fmt.Sprint(len(parts[4]), len(parts[5]))
	}
	if params(h.dummy) != params(known) {
		t.Errorf("%s costs not as %s", h.dummy, known)
	}
	// With the only slot taken, both wait for it: both hash.
	h = newHouse(t, func(o *Options) { o.Parallel = 1 })
	h.slots <- struct{}{}
	for _, user := range []string{"alice@plic.test", "carol@plic.test", "", "gone@plic.test"} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := h.Password(ctx, from(there, "imap"), user, "guess"); !errors.Is(err, ErrTemporary) {
			t.Errorf("%q: %v without a hash", user, err)
		}
	}
}

// I12 and secrecy: what is on record names no secret and is one line.
func TestJournal(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	p := from(here, "submission")
	p.Conn = mail.NewID(noon)
	h.Password(t.Context(), p, "alice@plic.test", "secret")
	h.Password(t.Context(), p, "alice@plic.test", "hunter2")
	h.Password(t.Context(), p, "evil\r\n\x1b[2J"+strings.Repeat("ü", 500), "hunter3")
	h.Password(t.Context(), p, "gone@plic.test", "secret")
	c, _ := sasl.NewSCRAMClient(sasl.Credentials{User: "alice@plic.test", Password: "hunter2"}, false, nil)
	h.exchange(p, c)
	var got []string
	for e, err := range h.journal.Find(t.Context(), journal.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if text := fmt.Sprintf("%+v", e); strings.Contains(text, "hunter") || strings.Contains(text, "argon2") {
			t.Errorf("a secret: %s", text)
		}
		if e.Conn != p.Conn || e.Service != "submission" || e.Remote != "192.0.2.1" || len(e.Account) > 140 {
			t.Errorf("%+v", e)
		}
		got = append(got, e.Kind+" "+e.Reason)
	}
	if want := "auth |auth-fail wrong secret|auth-fail no such account|auth-fail the account is disabled|auth-fail wrong secret"; strings.Join(got, "|") != want {
		t.Errorf("%q", got)
	}
}

// The table of counters is bounded, and what says most stays longest.
func TestGuardIsBounded(t *testing.T) {
	t.Parallel()
	now := noon
	g := newGuard(GuardOptions{MaxTracked: 300}, func() time.Time { return now })
	for range 20 {
		g.failure(here, "alice", nil)
	}
	for i := range 5000 {
		addr := netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1})
		if _, done, err := g.admit(t.Context(), addr, fmt.Sprint(i)); err == nil {
			done()
		}
		if i%10 == 0 {
			g.failure(addr, fmt.Sprint(i), nil)
		}
	}
	if len(g.buckets) > 300 {
		t.Errorf("%d tracked", len(g.buckets))
	}
	if _, _, err := g.admit(t.Context(), here, "alice"); err == nil {
		t.Error("the guesser was forgotten")
	}
	now = now.Add(-1000 * time.Hour) // a clock set back shuts nobody out for ever
	g.admit(t.Context(), here, "alice")
	now = now.Add(30 * time.Hour)
	if _, _, err := g.admit(t.Context(), here, "alice"); err != nil {
		t.Error("still shut out 30 hours later")
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		if err := wait(t.Context(), time.Minute); err != nil || time.Since(start) != time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := wait(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
	})
}

func BenchmarkPassword(b *testing.B) {
	for name, remember := range map[string]time.Duration{"hashed": -1, "remembered": time.Hour} {
		b.Run(name, func(b *testing.B) {
			h := newHouse(b, func(o *Options) { o.Remember, o.Cost, o.Now = remember, directory.DefaultCost(), time.Now })
			s, err := directory.NewSecret("secret", directory.DefaultCost())
			if err != nil {
				b.Fatal(err)
			}
			h.users.accounts["alice@plic.test"] = directory.Account{Name: "alice@plic.test", Secret: s}
			b.ResetTimer()
			for b.Loop() {
				if _, err := h.Password(b.Context(), from(here, "imap"), "alice@plic.test", "secret"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
