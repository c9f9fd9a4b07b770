// Package greylist puts off mail of whom was not met before: who runs a mail server
// tries again some minutes later and passes, who only scatters mail does not. It
// knows a sender's host by the domain that SPF or DKIM proves, so that large sites
// may come back from another address, and else by its network. Who has come back a
// few times need not wait again.
//
// RFC 6647 (greylisting), RFC 5321 section 4.5.4.1 (retries).
package greylist

import (
	"context"
	"net/netip"
	"strings"
	"time"

	"plic/internal/check/score"
	"plic/internal/check/sender"
	"plic/internal/dkim"
	"plic/internal/spf"
	"plic/internal/store/recall"
)

// Options are what a List works with. Memory must be set.
type Options struct {
	Memory *recall.Memory
	Delay  time.Duration // that a first try is put off for; 5 minutes if 0
	Window time.Duration // within which the second try counts; 2 days if 0
	Trust  int           // passes after which a host need not wait; 3 if 0
	Now    func() time.Time
	// Known says that somebody needs not wait, whatever is remembered: of whom our
	// users have had mail they kept.
	Known func(ctx context.Context, m *score.Message) bool
}

// List is a score.Greylister.
type List struct{ o Options }

var _ score.Greylister = (*List)(nil)

// New makes a List.
func New(o Options) *List {
	if o.Delay <= 0 {
		o.Delay = 5 * time.Minute
	}
	if o.Window <= 0 {
		o.Window = 48 * time.Hour
	}
	if o.Trust <= 0 {
		o.Trust = 3
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &List{o}
}

// Wait says how long the message must still wait: until all its recipients would
// have it from this sender.
func (l *List) Wait(ctx context.Context, m *score.Message) (time.Duration, error) {
	if l.o.Known != nil && l.o.Known(ctx, m) {
		return 0, nil
	}
	host := Host(m.Envelope.Origin.Remote.Addr(), m.Sender(ctx))
	if r, ok := l.o.Memory.Get("host " + host); ok && int(r.Good) >= l.o.Trust {
		l.o.Memory.Change("host "+host, func(r recall.Record) recall.Record { return r })
		return 0, nil
	}
	now := l.o.Now()
	var wait time.Duration
	passed := false
	for _, to := range m.Envelope.To {
		left, first := l.one("from "+host+" "+from(m)+" "+to.Address.Key(), now)
		wait, passed = max(wait, left), passed || first
	}
	if wait == 0 && passed {
		l.o.Memory.Change("host "+host, func(r recall.Record) recall.Record { r.Good++; return r })
	}
	return wait, nil
}

// one looks at one recipient: how long it waits, and whether it passes for the first
// time.
func (l *List) one(key string, now time.Time) (left time.Duration, first bool) {
	l.o.Memory.Change(key, func(r recall.Record) recall.Record {
		switch since := now.Sub(r.First); {
		case r.Good > 0: // it has passed
		case r.Last.IsZero(), since > l.o.Window: // never met, or not seriously
			r.First, left = now, l.o.Delay
		case since < l.o.Delay:
			left = l.o.Delay - since
		default:
			r.Good, first = 1, true
		}
		return r
	})
	return left, first
}

// Host is whom a message comes from, as far as it is proven: a domain, or else a
// network, IPv4 /24 or IPv6 /64.
func Host(addr netip.Addr, f *sender.Findings) string {
	if f != nil {
		if f.From.Result == spf.Pass && f.From.Domain != "" {
			return f.From.Domain
		}
		for _, r := range f.DKIM {
			if r.Status == dkim.Pass {
				return r.Domain
			}
		}
	}
	return Network(addr)
}

// Network is the network that an address is known by.
func Network(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	bits := 24
	if addr.Is6() {
		bits = 64
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return "none"
	}
	return p.String()
}

// from is the sender without what changes from message to message: tags of BATV and
// VERP, and numbers.
func from(m *score.Message) string {
	if m.Envelope.From.IsNull() {
		return ""
	}
	local, domain := strings.ToLower(m.Envelope.From.Local), m.Envelope.From.Domain.String()
	if strings.HasPrefix(local, "prvs=") {
		_, local, _ = strings.Cut(local[5:], "=")
	}
	local, _, _ = strings.Cut(local, "+")
	var b strings.Builder
	digit := false
	for _, c := range []byte(local) {
		is := c >= '0' && c <= '9'
		if is && !digit {
			b.WriteByte('#')
		} else if !is {
			b.WriteByte(c)
		}
		digit = is
	}
	return b.String() + "@" + domain
}
