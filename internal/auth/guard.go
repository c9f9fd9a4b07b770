package auth

import (
	"context"
	"math"
	"net/netip"
	"slices"
	"sync"
	"time"

	"plic/internal/mail"
)

// GuardOptions say how guessing is slowed down; zero values are the defaults.
type GuardOptions struct {
	// Refuse is how many wrong guesses turn a host (one IPv4 address or one
	// IPv6 /64) away; its network (/24, /48) after three times as many. 20.
	Refuse int
	// HalfLife is the time in which half of the guesses are forgotten; 1 hour.
	HalfLife time.Duration
	// MaxTracked bounds how many hosts, networks and accounts are remembered;
	// 100000.
	MaxTracked int
	// Trusted are networks from which many people log in, such as a webmail's:
	// there, one's guesses do not count against the others.
	Trusted []netip.Prefix
}

// A burst of logins from one host is not guessing until they fail: mail readers
// open several connections at once, a webmail comes back after a restart. So
// many are looked at at once, and more with each user who gets in; others wait
// for their turn. Who finds too many waiting is turned away.
const (
	freeAtOnce = 10
	maxAtOnce  = 500
	maxWaiting = 5000
)

// knownFailures is how often somebody who got in from a host before may be
// wrong there and still not suffer from the host's other guesses.
const knownFailures = 5

type bucketKind uint8

const (
	ofHost bucketKind = iota
	ofNet
	ofAccount
	ofPair // an account from a host
)

type bucketKey struct {
	kind    bucketKind
	prefix  netip.Prefix
	account string
}

// bucket counts wrong guesses, which fade.
type bucket struct {
	failures float64
	at       time.Time // when failures was right
	pending  int       // tries going on
	waiting  []chan struct{}
	users    int   // of a host: who got in from it
	known    bool  // of a pair: it got in
	recent   []mac // guesses counted lately, so that the same again is not
}

// guard counts wrong guesses by host, network and account, for all protocols.
type guard struct {
	o   GuardOptions
	now func() time.Time

	mu      sync.Mutex
	buckets map[bucketKey]*bucket
}

func newGuard(o GuardOptions, now func() time.Time) *guard {
	if o.Refuse <= 0 {
		o.Refuse = 20
	}
	if o.HalfLife <= 0 {
		o.HalfLife = time.Hour
	}
	if o.MaxTracked <= 0 {
		o.MaxTracked = 100_000
	}
	return &guard{o: o, now: now, buckets: map[bucketKey]*bucket{}}
}

func keysOf(remote netip.Addr, login string) (host, net, account, pair bucketKey) {
	remote = remote.Unmap().WithZone("")
	hostBits, netBits := 32, 24
	if remote.Is6() {
		hostBits, netBits = 64, 48
	}
	h, _ := remote.Prefix(hostBits) // the zero Addr has the zero Prefix
	n, _ := remote.Prefix(netBits)
	if len(login) > 256 {
		login = login[:256]
	}
	return bucketKey{kind: ofHost, prefix: h}, bucketKey{kind: ofNet, prefix: n},
		bucketKey{kind: ofAccount, account: login}, bucketKey{ofPair, h, login}
}

// admit waits for the turn of a try, and says how long it must wait besides; or
// that it must go, with ErrThrottled. Else done is to be called when the try has
// ended.
//
// A known pair goes by its own failures only. An account that is guessed at
// from everywhere is slowed down but never shut: its owner can still get in.
func (g *guard) admit(ctx context.Context, remote netip.Addr, login string) (delay time.Duration, done func(), err error) {
	host, _, account, _ := keysOf(remote, login)
	g.mu.Lock()
	defer g.mu.Unlock()
	failures, free, ok := g.judge(remote, login)
	if free && ok {
		return curve(failures), func() {}, nil
	}
	if !ok {
		return 0, nil, ErrThrottled
	}
	h := g.bucket(host)
	if err := g.turn(ctx, h); err != nil {
		return 0, nil, err
	}
	if failures, free, ok = g.judge(remote, login); !ok { // any more: it may have waited
		g.leave(h)
		return 0, nil, ErrThrottled
	}
	if a := g.peek(account); a != nil && !free {
		failures = max(failures, a.failures/5)
	}
	return curve(failures), func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.leave(h)
	}, nil
}

// turn waits until fewer of a host's tries are going on than may; the caller
// holds mu, and holds it again after.
func (g *guard) turn(ctx context.Context, h *bucket) error {
	if h.pending < h.width() {
		h.pending++
		return nil
	}
	if len(h.waiting) >= maxWaiting {
		return ErrThrottled
	}
	mine := make(chan struct{})
	h.waiting = append(h.waiting, mine)
	g.mu.Unlock()
	defer g.mu.Lock()
	select {
	case <-mine:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(h.waiting, mine); i >= 0 {
		h.waiting = slices.Delete(h.waiting, i, i+1)
	} else { // it came at the same moment
		g.leave(h)
	}
	return ctx.Err()
}

func (b *bucket) width() int { return min(freeAtOnce*(1+b.users), maxAtOnce) }

// leave ends a try, and lets those in who wait; the caller holds mu.
func (g *guard) leave(h *bucket) {
	h.pending--
	for len(h.waiting) > 0 && h.pending < h.width() {
		h.pending++
		close(h.waiting[0])
		h.waiting = h.waiting[1:]
	}
}

func (g *guard) trusted(remote netip.Addr) bool { return mail.Within(g.o.Trusted, remote) }

// allows says that a try that was admitted may still go on: since then, others
// that were under way with it may have failed.
func (g *guard) allows(remote netip.Addr, login string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, _, ok := g.judge(remote, login)
	return ok
}

// judge gives the failures that count against a try, whether it is free of what
// others do at its host, and whether the failures leave it a chance.
func (g *guard) judge(remote netip.Addr, login string) (failures float64, free, ok bool) {
	host, net, account, pair := keysOf(remote, login)
	p := g.peek(pair)
	if p != nil && p.known && p.failures < knownFailures {
		return p.failures, true, true
	}
	if g.trusted(remote) {
		if p != nil {
			failures = p.failures
		}
		ok := math.Round(failures) < float64(g.o.Refuse)
		if a := g.peek(account); a != nil {
			failures = max(failures, a.failures/5)
		}
		return failures, true, ok
	}
	if h := g.peek(host); h != nil {
		failures = h.failures
	}
	if n := g.peek(net); n != nil {
		failures = max(failures, n.failures/3)
	}
	return failures, false, math.Round(failures) < float64(g.o.Refuse)
}

// codes says whether one-time codes of an account may still be tried. Unlike a
// password, one of a million can be guessed from many hosts, so that here the
// account is shut for a while: whoever comes so far knows its password.
func (g *guard) codes(account string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	a := g.peek(bucketKey{kind: ofAccount, account: key("code of " + account)})
	return a == nil || math.Round(a.failures) < float64(g.o.Refuse)
}

// curve is that of Dovecot's auth penalty.
func curve(failures float64) time.Duration {
	steps := []time.Duration{0, 2, 4, 8, 15}
	return steps[min(int(math.Round(failures)), len(steps)-1)] * time.Second
}

// failure counts a wrong guess; guess is nil if it is not known what was
// guessed.
func (g *guard) failure(remote netip.Addr, login string, guess *mac) {
	host, net, account, pair := keysOf(remote, login)
	g.mu.Lock()
	defer g.mu.Unlock()
	trusted := g.trusted(remote)
	h := g.bucket(host)
	if trusted {
		h = g.bucket(pair)
	}
	if guess != nil {
		if slices.Contains(h.recent, *guess) {
			return
		}
		const remembered = 8
		h.recent = append(h.recent[max(0, len(h.recent)-remembered+1):], *guess)
	}
	g.bucket(account).failures++
	h.failures++
	if trusted {
		return
	}
	g.bucket(net).failures++
	if p := g.peek(pair); p != nil {
		p.failures++
	}
}

// success lets the pair in more easily from now on. It forgives the host
// nothing: a guesser may have an account too.
func (g *guard) success(remote netip.Addr, login string) {
	host, _, _, pair := keysOf(remote, login)
	g.mu.Lock()
	defer g.mu.Unlock()
	p := g.bucket(pair)
	if !p.known {
		if h := g.peek(host); h != nil {
			h.users++
		}
	}
	p.known, p.failures, p.at = true, 0, g.now()
}

// peek gives a bucket as of now, or nil.
func (g *guard) peek(k bucketKey) *bucket {
	b := g.buckets[k]
	if b != nil {
		g.fade(b)
	}
	return b
}

func (g *guard) bucket(k bucketKey) *bucket {
	b := g.peek(k)
	if b == nil {
		if len(g.buckets) >= g.o.MaxTracked {
			g.evict()
		}
		b = &bucket{at: g.now()}
		g.buckets[k] = b
	}
	return b
}

func (g *guard) fade(b *bucket) {
	now := g.now()
	if passed := now.Sub(b.at); passed > 0 {
		b.failures *= math.Exp2(-float64(passed) / float64(g.o.HalfLife))
		if b.failures < 0.25 {
			b.failures, b.recent = 0, nil
		}
	}
	b.at = now // also if the clock was set back
}

// evict makes room: of some buckets that come to hand, all that say nothing,
// or else the one that says least.
func (g *guard) evict() {
	var least bucketKey
	lowest, seen, gone := math.Inf(1), 0, false
	for k, b := range g.buckets {
		g.fade(b)
		if b.pending == 0 && len(b.waiting) == 0 {
			if b.failures == 0 && !b.known {
				delete(g.buckets, k)
				gone = true
			} else if b.failures < lowest {
				least, lowest = k, b.failures
			}
		}
		if seen++; seen >= 64 {
			break
		}
	}
	if !gone {
		delete(g.buckets, least)
	}
}
