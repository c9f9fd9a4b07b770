// Package lists asks the lists that others keep of addresses and domains, by DNS:
// which of them know the client that brings a message, or the domains that the
// message names. All are asked at the same time; who does not answer in time, cannot
// be used by us, or answers everything, lists nobody.
//
// RFC 5782 (lists by DNS: names, answers, test entries), RFC 3596 (IPv6).
package lists

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"plic/internal/check/score"
	"plic/internal/content"
	"plic/internal/dns"
	"plic/internal/mail"
	"plic/internal/message"
)

// Options are what a Part works with. Resolver must be set.
type Options struct {
	Lists    []List
	Resolver dns.Resolver
	Timeout  time.Duration // of all questions about a message together; 5 s if 0
	Now      func() time.Time
	// Ours says that a domain is ours; lists are not asked for those.
	Ours func(ctx context.Context, d mail.Domain) bool
}

// Part is a score.Part. Its methods may be called at the same time.
type Part struct {
	o Options

	mu    sync.Mutex
	tried map[string]trial // by zone
}

// trial is what came of the test entries of a list.
type trial struct {
	at    time.Time
	fault error // nil if the list can be believed
}

var _ score.Part = (*Part)(nil)

// New makes a Part.
func New(o Options) *Part {
	if o.Timeout <= 0 {
		o.Timeout = 5 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Ours == nil {
		o.Ours = func(context.Context, mail.Domain) bool { return false }
	}
	return &Part{o: o, tried: map[string]trial{}}
}

// Name names the part.
func (p *Part) Name() string { return "lists" }

// Symbols has one for each list. What an answer weighs is said with the list; the
// weight of its symbol multiplies that.
func (p *Part) Symbols() []score.Symbol {
	var all []score.Symbol
	for i := range p.o.Lists {
		l := &p.o.Lists[i]
		what := "the client"
		switch {
		case l.Client && l.Domains:
			what = "the client or a domain in the message"
		case l.Domains:
			what = "a domain in the message"
		}
		all = append(all, score.Symbol{Name: l.symbol(), Weight: 1, Says: l.Zone + " lists " + what + "; the weight of its answer is that of the setting."})
	}
	return all
}

// question is one name that a list is asked for.
type question struct {
	list *List
	name string // without the zone
	what string // whom it is about
}

// found is the answer to a question.
type found struct {
	question
	weight float64
	answer netip.Addr
}

// Look asks all lists about a message.
func (p *Part) Look(ctx context.Context, m *score.Message) (a score.Answer, err error) {
	if len(p.o.Lists) == 0 {
		return a, nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	var all []question
	addr := m.Envelope.Origin.Remote.Addr().Unmap().WithZone("")
	var domains []string
	for i := range p.o.Lists {
		l := &p.o.Lists[i]
		if name := reversed(addr); l.Client && name != "" {
			all = append(all, question{l, name, addr.String()})
		}
		if !l.Domains {
			continue
		}
		if domains == nil {
			domains = p.domains(ctx, m)
		}
		for _, d := range domains {
			all = append(all, question{l, d, d})
		}
	}
	best := map[string]found{}
	answers, err := p.ask(ctx, all)
	for _, f := range answers {
		if have, ok := best[f.list.Zone]; !ok || abs(f.weight) > abs(have.weight) {
			best[f.list.Zone] = f
		}
	}
	for i := range p.o.Lists {
		if f, ok := best[p.o.Lists[i].Zone]; ok && f.weight != 0 {
			a.Hits = append(a.Hits, score.Hit{Symbol: f.list.symbol(), Factor: f.weight, Detail: f.what + " is " + f.answer.String()})
		}
	}
	return a, err
}

func abs(x float64) float64 { return max(x, -x) }

// Refused says why a client is refused at the door, "" if it is not: a list says so
// that may, and none speaks for it.
func (p *Part) Refused(ctx context.Context, addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	name := reversed(addr)
	var all []question
	any := false
	for i := range p.o.Lists {
		if l := &p.o.Lists[i]; l.Client {
			any = any || l.Refuse
			all = append(all, question{l, name, addr.String()})
		}
	}
	if !any || name == "" {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, p.o.Timeout)
	defer cancel()
	answers, _ := p.ask(ctx, all) // lists that fail refuse nobody
	var against *found
	for i, f := range answers {
		switch {
		case f.weight < 0:
			return ""
		case f.list.Refuse && f.weight > 0 && against == nil:
			against = &answers[i]
		}
	}
	if against == nil {
		return ""
	}
	why := fmt.Sprintf("%s is listed by %s", addr, against.list.Zone)
	if texts, _, err := p.o.Resolver.TXT(ctx, name+"."+against.list.Zone); err == nil {
		why += ": " + visible(texts[0])
	}
	return why
}

// visible is a text that fits into a reply.
func visible(text string) string {
	text = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
	const most = 200
	return text[:min(len(text), most)]
}

// ask asks all questions at the same time, and leaves out what lists say that cannot
// be believed.
func (p *Part) ask(ctx context.Context, all []question) ([]found, error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var answers []found
	faults := map[string]error{}
	for _, q := range all {
		wg.Go(func() {
			addrs, _, err := p.o.Resolver.AddrsOf(ctx, "ip4", q.name+"."+q.list.Zone)
			mu.Lock()
			defer mu.Unlock()
			if err != nil && !dns.IsNotFound(err) {
				faults[q.list.Zone] = fmt.Errorf("%s does not answer", q.list.Zone)
			}
			for _, a := range addrs {
				if w, ok := q.list.weigh(a); ok {
					answers = append(answers, found{q, w, a})
				} else if a.Is4() && a.As4()[0] == 127 && a.As4()[1] == 255 {
					faults[q.list.Zone] = fmt.Errorf("%s will not answer us: %s", q.list.Zone, a)
				}
			}
		})
	}
	wg.Wait()
	believed := answers[:0]
	for _, f := range answers {
		if err := p.try(ctx, f.list); err != nil {
			faults[f.list.Zone] = err
			continue
		}
		believed = append(believed, f)
	}
	var errs []error
	for i := range p.o.Lists {
		errs = append(errs, faults[p.o.Lists[i].Zone])
	}
	return believed, errors.Join(errs...)
}

// trialEvery is how often a list is tried that has listed somebody.
const trialEvery = 10 * time.Minute

// try asks for what no list has, RFC 5782 section 5: a list that has it answers
// everything.
func (p *Part) try(ctx context.Context, l *List) error {
	now := p.o.Now()
	p.mu.Lock()
	t, ok := p.tried[l.Zone]
	p.mu.Unlock()
	if ok && now.Sub(t.at).Abs() < trialEvery {
		return t.fault
	}
	names := []string{}
	if l.Client {
		names = append(names, reversed(netip.AddrFrom4([4]byte{127, 0, 0, 1})), reversed(netip.MustParseAddr("::ffff:7f00:1")))
	}
	if l.Domains {
		names = append(names, "invalid")
	}
	t = trial{at: now}
	for _, name := range names {
		addrs, _, err := p.o.Resolver.AddrsOf(ctx, "ip4", name+"."+l.Zone)
		switch {
		case err != nil && !dns.IsNotFound(err):
			return fmt.Errorf("%s does not answer a trial", l.Zone) // nothing is remembered
		case err == nil && len(addrs) > 0:
			t.fault = fmt.Errorf("%s lists %s, which no list does: it is dead", l.Zone, name)
		}
	}
	p.mu.Lock()
	p.tried[l.Zone] = t
	p.mu.Unlock()
	return t.fault
}

// reversed is an address as lists are asked for it, RFC 5782 sections 2.1 and 2.4.
func reversed(a netip.Addr) string {
	if a.Is4() {
		b := a.As4()
		return fmt.Sprintf("%d.%d.%d.%d", b[3], b[2], b[1], b[0])
	}
	if !a.Is6() {
		return ""
	}
	const hex = "0123456789abcdef"
	b := a.As16()
	var out strings.Builder
	for i := 15; i >= 0; i-- {
		out.WriteByte(hex[b[i]&15])
		out.WriteByte('.')
		out.WriteByte(hex[b[i]>>4])
		if i > 0 {
			out.WriteByte('.')
		}
	}
	return out.String()
}

// maxDomains is how many domains of a message are asked for.
const maxDomains = 20

// domains are those of a message, as one registers them: of its author, its sender,
// its client, and of its links.
func (p *Part) domains(ctx context.Context, m *score.Message) []string {
	all := []string{} // not nil, so that it is made once
	seen := map[string]bool{}
	add := func(host string) {
		d := content.Registered(content.Host(host))
		if d == "" || seen[d] || len(all) == maxDomains {
			return
		}
		seen[d] = true
		if parsed, err := mail.ParseDomain(d); err != nil || p.o.Ours(ctx, parsed) {
			return
		}
		all = append(all, d)
	}
	for _, box := range message.ParseAddressList(m.Parsed.Root.Get("From")) {
		add(box.Host)
	}
	env := m.Envelope
	if !env.From.IsNull() {
		add(env.From.Domain.String())
	}
	add(env.Origin.Helo)
	add(env.Origin.Name)
	for _, box := range message.ParseAddressList(m.Parsed.Root.Get("Reply-To")) {
		add(box.Host)
	}
	for _, l := range m.Content().Links {
		add(l.Host)
	}
	return all
}
