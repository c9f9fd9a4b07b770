// Package tlspolicy decides how much TLS a mail host must have before it gets a
// message, and says why: by a table of the site, by DANE, by the MTA-STS policy
// of the domain, by what the domain could do the last time, or else as well as
// it goes. It remembers what came of it, and tells domains that ask for reports.
//
// RFC 7672 (DANE for SMTP), RFC 8461 (MTA-STS), RFC 8460 (TLSRPT), RFC 8689
// (REQUIRETLS), RFC 7435 (opportunistic security).
//
// It connects to no mail host: whoever delivers asks Decide, and tells Done of
// the decision what came of it.
package tlspolicy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"plic/internal/dns"
	"plic/internal/mail"
	"plic/internal/notebook"
)

// Level is how much TLS a host must have.
type Level int

// The levels.
const (
	Opportunistic Level = iota // TLS with whoever it is, clear text if there is none
	Clear                      // no TLS
	Encrypted                  // TLS with whoever it is
	Verified                   // TLS with a certificate for the host's name
)

// Peer is a host that may take mail, with how sure we are of it.
type Peer struct {
	Domain string // whose mail it is, or the smart host
	Host   string
	Port   uint16
	Exact  bool // Host stands in our settings, no MX record named it
	Login  bool // we show a password there
	// Secure says that nobody can have forged that Host is the one: DNSSEC, or
	// our own settings. Validated says that DNSSEC vouches for its addresses,
	// and Canonical is where CNAMEs lead to them.
	Secure, Validated bool
	Canonical         string
}

// Demand is what a message wants, RFC 8689.
type Demand struct {
	RequireTLS bool // REQUIRETLS
	Optional   bool // TLS-Required: No
}

// Decision is what a host must prove to get a message.
type Decision struct {
	Kind   Kind // of policy that decided
	Level  Level
	Name   string                          // to ask for in the handshake; "" is the host
	Verify func(tls.ConnectionState) error // in place of name and roots; nil for these
	Offer  string                          // an extension that the host must offer
	Refuse error                           // why the host gets nothing at all; a *mail.Failure
	Why    string                          // in a few words
	// Evidence are the steps to the decision.
	Evidence []string
	// Done is told once what came of each session.
	Done func(Outcome)
}

// Outcome is what came of TLS in a session.
type Outcome struct {
	Local, Remote netip.AddrPort
	Helo          string
	Offered       bool                 // the host offered TLS
	TLS           *tls.ConnectionState // nil for none
	Err           error                // why there is none, or not enough
}

// Options are what Policies work with. Resolver, Notes and Hostname must be
// set.
type Options struct {
	Resolver dns.Resolver
	TrustAD  bool // the resolver's word on DNSSEC counts
	Notes    notebook.Notes
	Hostname string
	// Default is the policy for domains that Table does not name.
	Default Kind
	Table   func(ctx context.Context, domain string) (Rule, bool, error)
	Roots   *x509.CertPool // nil for those of the system
	// Dial opens connections to web servers.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Memory is how long TLS of a domain is remembered, and Hold how long mail
	// waits when it is gone. Negative for not at all; default 90 and 2 days.
	Memory, Hold time.Duration
	Now          func() time.Time
	Log          *slog.Logger
	Reports      Reports
}

// Policies decides. Make it with New, and let Run run.
type Policies struct {
	o     Options
	web   *http.Client
	fetch flights

	mu      sync.Mutex
	tallies map[tallyKey]*tally
	full    chan struct{} // there is much to write
}

// New makes Policies.
func New(o Options) *Policies {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Default == "" {
		o.Default = Auto
	}
	if o.Memory == 0 {
		o.Memory = 90 * 24 * time.Hour
	}
	if o.Hold == 0 {
		o.Hold = 2 * 24 * time.Hour
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	p := &Policies{o: o, tallies: map[tallyKey]*tally{}, full: make(chan struct{}, 1)}
	p.web = p.client()
	return p
}

// Decide says what a host must prove.
func (p *Policies) Decide(ctx context.Context, peer Peer, want Demand) Decision {
	for _, name := range []*string{&peer.Domain, &peer.Host, &peer.Canonical} {
		*name = strings.ToLower(strings.TrimSuffix(*name, "."))
	}
	d := &decider{p: p, ctx: ctx, peer: peer, want: want}
	d.decide()
	d.Why = strings.TrimSpace(string(d.Kind) + ": " + d.Why)
	d.Done = d.done
	if d.Refuse != nil {
		d.refused()
	}
	return d.Decision
}

// decider makes one decision.
type decider struct {
	Decision
	p    *Policies
	ctx  context.Context
	peer Peer
	want Demand

	found  policy // that counts in reports
	soft   error  // what a policy in testing did not like
	memory *memory

	unsigned bool // DNSSEC says nothing, where it may have to
}

// say adds a step.
func (d *decider) say(format string, a ...any) {
	d.Evidence = append(d.Evidence, fmt.Sprintf(format, a...))
}

// refuse ends with no mail for the host: for now, or for good.
func (d *decider) refuse(status mail.Status, err error) {
	d.Refuse = &mail.Failure{Op: "choose the security of " + d.peer.Host, Status: status, Err: err}
	d.say("refused: %s", status.Text)
}

// unreadable ends in trouble of ours: what a domain asked for must not be lost
// with a disk that does not answer.
func (d *decider) unreadable(err error) {
	d.Why = "what is kept of the domain cannot be read"
	d.refuse(mail.Reply(451, "4.3.0", "what is kept of the TLS of "+d.peer.Domain+" cannot be read"), err)
}

func (d *decider) decide() {
	rule, err := d.rule()
	if err != nil {
		d.Kind, d.Why = d.p.o.Default, "the table of TLS policies does not answer"
		d.refuse(mail.Reply(451, "4.3.0", "the table of TLS policies does not answer"), err)
		return
	}
	d.Kind = rule.Kind
	switch rule.Kind {
	case None:
		d.Level, d.Why = Clear, rule.Why
	case May:
		d.Level, d.Why = Opportunistic, rule.Why
	case Encrypt:
		d.Level, d.Why = Encrypted, rule.Why
	case Verify:
		d.Level, d.Why = Verified, rule.Why
	case Fingerprint:
		d.Level, d.Why, d.Verify = Encrypted, rule.Why, rule.verify
	case DANE, DANEOnly:
		if !d.dane() && rule.Kind == DANEOnly && d.Refuse == nil {
			d.Why = rule.Why + ", and it has no TLSA records"
			d.refuse(mail.Reply(451, "4.7.5", "the host "+d.peer.Host+" has no TLSA records, which this site demands"), failed(daneRequired, nil))
		}
	default:
		d.automatic()
	}
	if d.want.RequireTLS && d.Refuse == nil {
		d.requireTLS()
	}
}

// rule is what the site's own settings say.
func (d *decider) rule() (Rule, error) {
	if d.p.o.Table != nil {
		rule, found, err := d.p.o.Table(d.ctx, d.peer.Domain)
		if err != nil || found {
			d.say("this site's table has %s for %s", rule.Kind, d.peer.Domain)
			rule.Why = "by this site's table"
			return rule, err
		}
	}
	d.say("this site has %s for all that its table does not name", d.p.o.Default)
	return Rule{Kind: d.p.o.Default, Why: "by this site's settings"}, nil
}

// automatic does what the domain asks for: DANE before MTA-STS (RFC 8461
// section 2), and else what it could do before.
func (d *decider) automatic() {
	if d.want.Optional {
		d.Kind, d.Why = May, "the message says TLS-Required: No" // RFC 8689 section 4.2.2
		d.say("the message says TLS-Required: No, so no policy of the domain is asked for")
		return
	}
	if d.dane() || d.Refuse != nil {
		d.Kind = DANE
		return
	}
	if d.sts() || d.Refuse != nil {
		return
	}
	if d.peer.Login {
		d.Kind, d.Level, d.Why = Verify, Verified, "we log in there"
		d.say("we log in there, so its certificate must be good")
		return
	}
	d.remembered()
}

// requireTLS lets a message with REQUIRETLS go where RFC 8689 section 4.2.1
// allows it: to a host that is surely the right one, and proves who it is.
func (d *decider) requireTLS() {
	d.Offer = "REQUIRETLS"
	d.say("the message has REQUIRETLS: the host must be surely the right one, prove who it is, and offer REQUIRETLS")
	switch {
	case d.Level == Clear:
		d.refuse(mail.Reply(550, "5.7.10", "the message needs REQUIRETLS, and this site sends to "+d.peer.Domain+" without TLS"), nil)
	case d.found.kind == foundDANE && d.Verify != nil, d.found.kind == foundSTS && d.Level == Verified, d.Kind == Fingerprint:
	case d.peer.Secure:
		d.Level, d.Verify = Verified, nil
		d.say("its name is surely right, so its certificate must be good for that name")
	default:
		d.refuse(mail.Reply(550, "5.7.30", "the message needs REQUIRETLS, and neither DNSSEC nor MTA-STS says that "+d.peer.Host+" takes the mail of "+d.peer.Domain), nil)
	}
}

// at is a time for people.
func at(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 MST") }
