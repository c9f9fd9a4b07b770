// Package zone holds what the DNS says of a domain with mail against what it
// should say: where its mail goes and who may send in its name, what vouches for
// that, and how mail programs find its services. Each record that is there, or
// should be, gets one sentence.
//
// RFC 5321 section 5.1 and RFC 7505 (MX), RFC 1912 section 2.1 (PTR), RFC 7208
// (SPF), RFC 6376 and RFC 8301 (DKIM), RFC 9989 (DMARC), RFC 8461 (MTA-STS),
// RFC 8460 (TLSRPT), RFC 7672 (DANE), RFC 2782, RFC 6186 and RFC 8314 (SRV).
package zone

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"plic/internal/dns"
)

// State is how a record is.
type State string

// The states.
const (
	Good    State = "good"
	Note    State = "note"    // allowed, but worth knowing
	Advice  State = "advice"  // it is not there, and would be of use
	Missing State = "missing" // it is not there, and mail suffers
	Wrong   State = "wrong"
)

// Finding is what is to be said of one record.
type Finding struct {
	State  State  `json:"state"`
	Name   string `json:"name"`
	Type   string `json:"type"`
	Value  string `json:"value,omitempty"`  // as it is
	Says   string `json:"says"`             // one sentence
	Should string `json:"should,omitempty"` // what it should be, as a zone file has it
}

// Bad says that mail suffers from it.
func (f *Finding) Bad() bool { return f.State == Missing || f.State == Wrong }

// Want is a record that a site wants to have. Texts are whole, not in quotes.
type Want struct {
	Name, Type, Value string
	Later             bool // it is of use only later
}

// Resolver asks for all that stands in a zone.
type Resolver interface {
	dns.Resolver
	// SRV gives the servers of a service, RFC 2782.
	SRV(ctx context.Context, name string) ([]dns.SRV, dns.Answer, error)
}

// Options are what a check goes by. Resolver must be set.
type Options struct {
	Resolver  Resolver
	Wanted    []Want   // of our own domain; nil for that of others
	Selectors []string // of DKIM keys to look for beside those that are wanted
	Now       func() time.Time
}

// zone is one check.
type zone struct {
	o      Options
	ctx    context.Context
	domain string
	ours   bool
	null   bool     // it takes no mail
	hosts  []string // that take it
	addrs  []netip.Addr
}

// Check says of each record of a domain, an A-label in lower case, what is to be
// said.
func Check(ctx context.Context, o Options, domain string) []Finding {
	if o.Now == nil {
		o.Now = time.Now
	}
	z := &zone{o: o, ctx: ctx, domain: domain, ours: len(o.Wanted) > 0}
	out := z.exchangers()
	parts := []func() []Finding{z.reverse, z.dane, z.spf, z.dkim, z.dmarc, z.sts, z.tlsrpt, z.programs}
	said := make([][]Finding, len(parts))
	var wg sync.WaitGroup
	for i, part := range parts {
		wg.Go(func() { said[i] = part() })
	}
	wg.Wait()
	return slices.Concat(append([][]Finding{out}, said...)...)
}

// wanted gives the values that a name should have.
func (z *zone) wanted(name, kind string) (values []string) {
	for _, w := range z.o.Wanted {
		if w.Type == kind && strings.EqualFold(strings.TrimSuffix(w.Name, "."), name) {
			values = append(values, w.Value)
		}
	}
	return values
}

// want is the value that a name should have, or one that would do.
func (z *zone) want(name, kind, other string) string {
	if values := z.wanted(name, kind); len(values) > 0 {
		other = values[0]
	}
	if kind == "TXT" {
		return quoted(other)
	}
	return other
}

// quoted is a text as a zone file has it, RFC 1035 section 5.1.
func quoted(text string) string { return `"` + strings.ReplaceAll(text, `"`, `\"`) + `"` }

// unasked is what is said where there was no answer.
func unasked(name, kind string, err error) Finding {
	return Finding{State: Wrong, Name: name, Type: kind, Says: fmt.Sprintf("It could not be asked for: %v.", err)}
}

// texts gives the texts of a name that begin with a version.
func (z *zone) texts(name, version string) ([]string, error) {
	all, _, err := z.o.Resolver.TXT(z.ctx, name)
	if dns.IsNotFound(err) {
		err = nil
	}
	return slices.DeleteFunc(all, func(text string) bool {
		rest, ok := cutFold(strings.TrimSpace(text), version)
		return !ok || rest != "" && !strings.ContainsRune("; \t", rune(rest[0]))
	}), err
}

func cutFold(text, prefix string) (string, bool) {
	if len(text) < len(prefix) || !strings.EqualFold(text[:len(prefix)], prefix) {
		return text, false
	}
	return text[len(prefix):], true
}
