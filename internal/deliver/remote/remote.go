// Package remote takes items to other hosts as an SMTP or LMTP client. It finds the
// hosts of a hop in the DNS, tries them in order, speaks as well with each as
// that host can (STARTTLS, PIPELINING, SIZE, 8BITMIME, SMTPUTF8, DSN, LIMITS,
// AUTH at smart hosts) and gives one outcome for each recipient, always.
//
// RFC 5321 (SMTP; section 5.1 for finding the host, 4.5.3.2 for the time-outs,
// 4.5.3.1.10 for too many recipients), RFC 7505 (null MX), RFC 7504 (521 and
// 556), RFC 2920 (PIPELINING), RFC 1870 (SIZE), RFC 6152 (8BITMIME), RFC 6531
// (SMTPUTF8), RFC 3461 (DSN), RFC 9422 (LIMITS), RFC 3207 (STARTTLS), RFC 7435
// (opportunistic security), RFC 8689 (REQUIRETLS), RFC 8314 (TLS on port 465), RFC 4954 (AUTH), RFC
// 2033 (LMTP).
//
// A session is kept for more mail for a short time: also of other domains, if
// they have the same host at the same address, and ask no more of its TLS than
// it has shown.
//
// A message with 8-bit content goes as it is to a host that does not offer
// 8BITMIME: those that choke on it have died out, a conversion would break
// signatures, and a bounce would help nobody.
package remote

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime/debug"
	"time"

	"plic/internal/dns"
	"plic/internal/journal"
	"plic/internal/mail"
)

// Login is what we show to a smart host.
type Login struct {
	User, Password string
	// AllowClear lets the password go over a connection without TLS.
	AllowClear bool
}

// Timeouts bound the phases of a delivery; the zero value of each is what RFC
// 5321 section 4.5.3.2 asks for, or what is usual.
type Timeouts struct {
	Connect   time.Duration // 30 s
	Greeting  time.Duration // 5 min
	Command   time.Duration // EHLO, STARTTLS and each step of AUTH; 5 min
	Mail      time.Duration // 5 min
	Rcpt      time.Duration // 5 min
	DataStart time.Duration // 2 min
	DataBlock time.Duration // 3 min
	DataEnd   time.Duration // 10 min
	Lookup    time.Duration // all look-ups of one item; 30 s
	Total     time.Duration // everything for one item; 1 h
}

// Options are what a Transport works with. Resolver and Hostname must be set;
// the zero value of the others is a default.
type Options struct {
	Resolver dns.Resolver
	Hostname string // how we name ourselves at EHLO
	// LocalNames and LocalAddrs are other names of ours, and where we listen
	// for SMTP: mail for there would come back.
	LocalNames []string
	LocalAddrs []netip.AddrPort
	Port       uint16 // of hops without one; 25
	// Dial opens a connection; network is "tcp", or "unix" for LMTP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// DialFrom does so from an address of ours, for hops with a Source.
	DialFrom func(ctx context.Context, from netip.Addr, network, address string) (net.Conn, error)
	// TLS is cloned for each connection: roots, certificates, versions.
	TLS *tls.Config
	// Policy says what a host must prove to get a message. Default: Verified
	// where we log in without Login.AllowClear, else Opportunistic.
	Policy func(ctx context.Context, p Peer, env *mail.Envelope) Requirement
	// NoClearRetry defers when an opportunistic handshake fails, instead of
	// trying the same host without TLS.
	NoClearRetry bool
	// Login gives the credentials that Hop.Login names.
	Login func(name string) (Login, bool)

	MaxAddresses  int           // tried for one item; 5
	MaxRecipients int           // of one transaction; 50
	MaxIdle       int           // connections kept for more mail; 100, negative for none
	Idle          time.Duration // how long; 3 s
	Timeouts      Timeouts

	Journal *journal.Journal
	Log     *slog.Logger
}

func (o *Options) defaults() {
	setDefault(&o.Port, 25)
	setDefault(&o.MaxAddresses, 5)
	setDefault(&o.MaxRecipients, 50)
	setDefault(&o.MaxIdle, 100)
	setDefault(&o.Idle, 3*time.Second)
	t := &o.Timeouts
	setDefault(&t.Connect, 30*time.Second)
	setDefault(&t.Greeting, 5*time.Minute)
	setDefault(&t.Command, 5*time.Minute)
	setDefault(&t.Mail, 5*time.Minute)
	setDefault(&t.Rcpt, 5*time.Minute)
	setDefault(&t.DataStart, 2*time.Minute)
	setDefault(&t.DataBlock, 3*time.Minute)
	setDefault(&t.DataEnd, 10*time.Minute)
	setDefault(&t.Lookup, 30*time.Second)
	setDefault(&t.Total, time.Hour)
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.DialFrom == nil {
		o.DialFrom = func(ctx context.Context, from netip.Addr, network, address string) (net.Conn, error) {
			d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
			return d.DialContext(ctx, network, address)
		}
	}
	if o.TLS == nil {
		o.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
}

func setDefault[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// Transport delivers to remote hosts. Make it with New and Close it at the
// end. Any number of deliveries may run at once.
type Transport struct {
	o    Options
	idle *pool
}

// New makes a Transport.
func New(o Options) *Transport {
	o.defaults()
	return &Transport{o: o, idle: newPool(o.MaxIdle, o.Idle)}
}

// Close ends the connections that are kept for more mail.
func (t *Transport) Close() error {
	t.idle.close()
	return nil
}

// Deliver tries to deliver the message to every recipient of the item and gives
// one outcome for each, in order.
func (t *Transport) Deliver(ctx context.Context, item *mail.Item, body mail.Body) []mail.Outcome {
	d := newDelivery(t, item, body)
	t.carry(ctx, d)
	return d.outcomes
}

// carry runs a delivery; whatever happens, every recipient has an outcome then.
func (t *Transport) carry(ctx context.Context, d *delivery) {
	ctx, cancel := context.WithTimeout(ctx, t.o.Timeouts.Total)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			t.panicked(d.item, p)
			d.rest(&trouble{status: mail.Reply(451, "4.3.0", "the delivery failed by a fault of ours"), err: fmt.Errorf("panic: %v", p)})
		}
	}()
	d.run(ctx)
}

func (t *Transport) panicked(item *mail.Item, p any) {
	t.o.Log.Error("panic in a delivery", "item", item.ID, "panic", p, "stack", string(debug.Stack()))
	t.o.Journal.Record(journal.Event{Kind: journal.Panic, Service: "smtp-out", Message: item.Envelope.ID, Reason: fmt.Sprint(p)})
}
