// Package sender finds out who has sent a message that a stranger brings: it
// asks all that can be asked of a sender at once and within one deadline, tells
// what came of each question and why, and what follows from it.
//
// RFC 8601 (Authentication-Results, iprev), RFC 7208 (SPF), RFC 6376 (DKIM),
// RFC 8617 (ARC), RFC 9989 (DMARC).
package sender

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"plic/internal/arc"
	"plic/internal/authres"
	"plic/internal/dkim"
	"plic/internal/dmarc"
	"plic/internal/dns"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/spf"
)

// Policy is how far the wishes of senders' domains are followed.
type Policy int

// The policies.
const (
	Enforce Policy = iota // refuse and put into Junk, as a domain asks for
	Soften                // put into Junk what is to be refused
	Tell                  // only tell what was found
)

// Options are what a Checker works with. Resolver and Host must be set.
type Options struct {
	Resolver dns.Resolver
	Host     string           // our name, in what we find
	Timeout  time.Duration    // of all questions about a message together; 20 s if 0
	Now      func() time.Time // time.Now if nil
	DMARC    Policy
	// Excepted are networks whose mail is not looked at: it was before it came to
	// us, or is of our own.
	Excepted []netip.Prefix
	// Sealers are the domains whose ARC seals are believed, and Forwarders those
	// whose mailing lists may change what others have signed.
	Sealers, Forwarders []string
	Sample              func() int // from 0 to 99, for pct=; see dmarc.Checker
}

// Checker looks at messages, any number at the same time.
type Checker struct {
	o     Options
	spf   spf.Checker
	dkim  dkim.Verifier
	arc   arc.Verifier
	dmarc dmarc.Checker
}

// New makes a Checker.
func New(o Options) *Checker {
	if o.Timeout <= 0 {
		o.Timeout = 20 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Checker{
		o:     o,
		spf:   spf.Checker{Resolver: o.Resolver, Host: o.Host, Now: o.Now, Timeout: o.Timeout},
		dkim:  dkim.Verifier{Resolver: o.Resolver, Now: o.Now},
		arc:   arc.Verifier{Resolver: o.Resolver, Now: o.Now},
		dmarc: dmarc.Checker{Resolver: o.Resolver, Sample: o.Sample},
	}
}

// Findings are what was found of a message.
type Findings struct {
	Helo   spf.Verdict
	From   spf.Verdict // of the reverse-path, or of HELO if that is null
	DKIM   []dkim.Result
	ARC    arc.Chain
	DMARC  dmarc.Verdict
	Author error // why there is no one author whom DMARC could be asked for

	Results authres.Field
	Refuse  *mail.Failure // nil to take it
	Junk    string        // why it belongs into Junk, "" if it does not
	// Networks is from how many networks one of the good signatures came within a day, if
	// Replays has counted.
	Networks int
	Pardon   string // why a failure of DMARC has no consequence, "" if it has

	took  map[string]time.Duration // by what was asked
	doubt bool                     // another answer might have excused a failure
}

// Finding is one result, for people.
type Finding struct {
	Method, Subject, Result, Reason string
	Took                            time.Duration
}

// Findings are all results, each with what it took to ask.
func (f *Findings) Findings() []Finding {
	var out []Finding
	for _, r := range f.Results.Results {
		asked := r.Method
		if r.Method == "spf" && r.Get("smtp", "mailfrom") == "" && f.From.Identity != spf.Helo {
			asked = askedHelo
		}
		out = append(out, Finding{Method: r.Method, Subject: subject(&r), Result: r.Result, Reason: r.Reason, Took: f.took[asked]})
	}
	return out
}

// askedHelo is the question about the name in HELO, beside that about the sender.
const askedHelo = "spf helo"

// Summary is for people: what follows, and all results with their reasons.
func (f *Findings) Summary() string {
	var b strings.Builder
	for _, first := range []string{f.Pardon, f.Junk} {
		if first != "" {
			b.WriteString(first + "; ")
		}
	}
	for i, r := range f.Results.Results {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s=%s", r.Method, r.Result)
		if who := subject(&r); who != "" {
			b.WriteString(" " + who)
		}
		if r.Reason != "" {
			fmt.Fprintf(&b, " (%s)", r.Reason)
		}
	}
	return b.String()
}

// subject is whom a result is about.
func subject(r *authres.Result) string {
	for _, p := range r.Properties {
		switch p.Type + "." + p.Name {
		case "smtp.mailfrom", "smtp.helo", "header.d", "header.from", "policy.iprev":
			return p.Value
		}
	}
	return ""
}

// Wants says that a message is of a stranger, whom nothing is believed without
// proof.
func (c *Checker) Wants(env *mail.Envelope) bool { return env.Origin.Stranger(c.o.Excepted) }

// Check looks at a message as it came. The error is one of reading it.
func (c *Checker) Check(ctx context.Context, env *mail.Envelope, msg *message.Message, body mail.Body) (*Findings, error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	f := &Findings{ARC: arc.Chain{Status: arc.None}}
	author, err := dmarc.Author(msg.Root.Header)
	f.Author = err
	q := spf.Question{IP: env.Origin.Remote.Addr(), Helo: env.Origin.Helo}
	if !env.From.IsNull() {
		q.From = env.From.String()
	}
	var unreadable [2]error
	var ask group
	ask.now = c.o.Now
	ask.do("spf", func() { f.From = c.spf.Check(ctx, q) })
	if q.From != "" {
		ask.do(askedHelo, func() { f.Helo = c.spf.CheckHelo(ctx, q) })
	}
	if has(msg, "DKIM-Signature") {
		ask.do("dkim", func() { f.DKIM, unreadable[0] = checkWith(ctx, body, c.dkim.Verify) })
	}
	if has(msg, "ARC-Seal") || has(msg, "ARC-Message-Signature") {
		ask.do("arc", func() { f.ARC, unreadable[1] = checkWith(ctx, body, c.arc.Verify) })
	}
	if f.Author == nil { // the answers are in the cache when they are needed
		ask.do("dmarc", func() { c.dmarc.Check(ctx, author, nil) })
	}
	f.took = ask.wait()
	if err := errors.Join(unreadable[:]...); err != nil && !errors.Is(err, dkim.ErrHeader) {
		return nil, fmt.Errorf("check the sender: %w", err)
	}
	if f.Author == nil {
		f.DMARC = c.dmarc.Check(ctx, author, f.senders())
	} else {
		f.DMARC = dmarc.Verdict{Result: dmarc.PermError, Reason: f.Author.Error(), Disposition: dmarc.NoPolicy}
	}
	c.decide(f)
	f.Results = c.results(env, f)
	return f, nil
}

// checkWith reads a message for one verifier, since those share none.
func checkWith[T any](ctx context.Context, body mail.Body, verify func(context.Context, *dkim.Message) (T, error)) (out T, err error) {
	m, err := dkim.Read(body, body.Size())
	if err != nil {
		return out, err
	}
	return verify(ctx, m)
}

func has(msg *message.Message, name string) bool {
	return slices.ContainsFunc(msg.Root.Header, func(f message.Field) bool { return strings.EqualFold(f.Name, name) })
}

// senders are those that DMARC may believe, RFC 9989 section 4.4.
func (f *Findings) senders() []dmarc.Sender {
	list := []dmarc.Sender{{Method: "spf", Domain: f.From.Domain, Pass: f.From.Result == spf.Pass}}
	for _, r := range f.DKIM {
		list = append(list, dmarc.Sender{Method: "dkim", Domain: r.Domain, Pass: r.Status == dkim.Pass, Detail: r.Selector})
	}
	return list
}

// group runs questions side by side, by the clock. A panic in one of them is that of whoever
// waits.
type group struct {
	now   func() time.Time
	wg    sync.WaitGroup
	mu    sync.Mutex
	took  map[string]time.Duration
	panic any
}

func (g *group) do(name string, ask func()) {
	g.wg.Go(func() {
		began := g.now()
		defer func() {
			p := recover()
			g.mu.Lock()
			defer g.mu.Unlock()
			if p != nil {
				g.panic = p
			}
			if g.took == nil {
				g.took = map[string]time.Duration{}
			}
			g.took[name] = g.now().Sub(began)
		}()
		ask()
	})
}

func (g *group) wait() map[string]time.Duration {
	g.wg.Wait()
	if g.panic != nil {
		panic(g.panic)
	}
	return g.took
}
