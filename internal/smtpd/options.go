package smtpd

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"time"

	"plic/internal/journal"
	"plic/internal/serve"
	"plic/internal/smtp"
)

// Kind is the service that a listener gives.
type Kind int

// The kinds of service.
const (
	MX          Kind = iota // port 25: mail for our domains, from anybody
	Submission              // port 587: mail from our accounts, STARTTLS
	Submissions             // port 465: the same with TLS from the start, RFC 8314
	LMTP                    // for programs on this host, no AUTH, RFC 2033
)

// String is the name of the service in the journal.
func (k Kind) String() string {
	switch k {
	case Submission, Submissions:
		return "submission"
	case LMTP:
		return "lmtp"
	}
	return "smtp"
}

// submission says that clients must authenticate.
func (k Kind) submission() bool { return k == Submission || k == Submissions }

// Options are what a Server works with. Host and Intake must be set.
type Options struct {
	Host     string             // our name in the greeting and in Received
	Intake   Intake             // takes the mail
	Auth     Authenticator      // who may submit; nil for nobody
	TLS      func() *tls.Config // asked for each handshake; nil for no TLS
	Journal  *journal.Journal   // may be nil
	Log      *slog.Logger       // nil for none
	Sessions *serve.Roll        // that those of ours are in; nil for none
	Now      func() time.Time   // time.Now if nil; deadlines of sockets use the runtime's clock

	// Wait waits for the delays after errors; a timer if nil.
	Wait func(ctx context.Context, d time.Duration) error
	// Reverse finds the confirmed name of a client of MX before it is greeted; nil
	// for no look-up.
	Reverse func(ctx context.Context, addr netip.Addr) string
	// Normalise lists the networks whose bare CRs and LFs are mended; from
	// everywhere else a message that holds one is refused.
	Normalise []netip.Prefix
	// XClient lists the networks of proxies that may tell by XCLIENT for whom they
	// speak.
	XClient []netip.Prefix
	// Guard says who may talk and send; nil lets everybody.
	Guard Guard
	// AllowEarly lets clients of MX talk before they are greeted.
	AllowEarly bool

	Limits Limits
}

// Limits bound what a client may cost us. A zero field takes the default.
type Limits struct {
	Message     int64 // octets of a message: 50 MiB
	Header      int   // octets of its header: 1 MiB
	HeaderLines int   // lines of its header: 5000
	Hops        int   // Received fields: 50
	Recipients  int   // of a message: 1000

	Hold time.Duration // that a sender may ask for before the message goes on: 30 days

	SoftErrors int           // from the next error on each answer waits: 10
	HardErrors int           // the next error ends the session: 20
	ErrorDelay time.Duration // that an answer waits: 1 s, negative for none
	Junk       int           // NOOP, VRFY, RSET and the like between two messages: 100

	Command   time.Duration // for a whole command line to come: 300 s
	Data      time.Duration // for the next octets of a message to come: 300 s
	Rate      int64         // least octets a second of a message, beyond Data: 100
	Write     time.Duration // for a reply to be taken: 300 s
	Handshake time.Duration // for TLS: 60 s
	Progress  time.Duration // without a message taken, at most: 1 h

	Connections int           // open at a time: 1000
	PerAddress  int           // of them from one IPv4 address or IPv6 /64, loopback excepted: 30
	Grace       time.Duration // for transactions to end when we stop: 10 s, negative for none
}

func fill[T int | int64 | time.Duration](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

// unset fills a field that may be negative, which is none at all.
func unset(field *time.Duration, value time.Duration) {
	if *field == 0 {
		*field = value
	}
}

func (l *Limits) defaults() {
	fill(&l.Message, 50<<20)
	fill(&l.Header, 1<<20)
	fill(&l.HeaderLines, 5000)
	fill(&l.Hops, 50)
	fill(&l.Recipients, 1000)
	fill(&l.Hold, 30*24*time.Hour)
	fill(&l.SoftErrors, 10)
	fill(&l.HardErrors, 20)
	unset(&l.ErrorDelay, time.Second)
	fill(&l.Junk, 100)
	fill(&l.Command, 300*time.Second)
	fill(&l.Data, 300*time.Second)
	fill(&l.Rate, 100)
	fill(&l.Write, 300*time.Second)
	fill(&l.Handshake, 60*time.Second)
	fill(&l.Progress, time.Hour)
	fill(&l.Connections, 1000)
	fill(&l.PerAddress, 30)
	unset(&l.Grace, 10*time.Second)
}

func (o *Options) defaults() {
	o.Limits.defaults()
	if o.Guard == nil {
		o.Guard = nobody{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Wait == nil {
		o.Wait = wait
	}
}

func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lines is the policy for message data from an address.
func (o *Options) lines(from netip.Addr) smtp.LinePolicy {
	for _, network := range o.Normalise {
		if network.Contains(from) {
			return smtp.Normalise
		}
	}
	return smtp.Refuse
}
