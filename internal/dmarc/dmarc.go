package dmarc

import (
	"context"
	"fmt"
	"strings"

	"plic/internal/dns"
)

// Result is what a check comes to, as Authentication-Results spells it.
type Result string

// The results.
const (
	None      Result = "none" // the author's domain has no policy
	Pass      Result = "pass"
	Fail      Result = "fail"
	TempError Result = "temperror"
	PermError Result = "permerror" // there is no one author to ask about
)

// Sender is a domain that SPF or DKIM vouches for, or did not.
type Sender struct {
	Method string // "spf" or "dkim"
	Domain string
	Pass   bool
	Detail string // the selector
}

// Verdict is what DMARC says of a message.
type Verdict struct {
	Result Result
	Reason string // one sentence for people

	Author       string   // the domain of From
	Policy       Policy   // that applies to the author, as published
	Disposition  Policy   // what to do: none after a pass, or less than Policy where a domain only tries
	PolicyDomain string   // whose record it is
	Organization string   // the author's Organizational Domain
	Record       Record   // of PolicyDomain
	Aligned      []Sender // who vouch for the author
}

// Checker checks messages.
type Checker struct {
	Resolver dns.Resolver
	// Sample gives a number from 0 to 99 for pct=; nil applies every policy
	// whole, but for pct=0, which counts as t=y.
	Sample func() int
}

// Check holds the domain of the author against those that sent the message.
func (c *Checker) Check(ctx context.Context, author string, senders []Sender) Verdict {
	author = strings.ToLower(strings.TrimSuffix(author, "."))
	v := Verdict{Author: author, Policy: NoPolicy, Disposition: NoPolicy}
	walk, err := c.walk(ctx, author)
	if err != nil {
		v.Result, v.Reason = TempError, err.Error()
		return v
	}
	v.Organization = organization(author, walk)
	at := policyOfWalk(author, v.Organization, walk)
	if at == nil {
		v.Result, v.Reason = None, author+" has no policy"
		return v
	}
	v.PolicyDomain, v.Record = at.domain, at.record
	if v.Policy, err = c.policy(ctx, author, at); err != nil {
		v.Result, v.Reason = TempError, err.Error()
		return v
	}
	if v.Aligned, err = c.aligned(ctx, &v, senders); err != nil && len(v.Aligned) == 0 {
		v.Result, v.Reason = TempError, err.Error()
		return v
	}
	if len(v.Aligned) > 0 {
		a := v.Aligned[0]
		v.Result, v.Reason = Pass, fmt.Sprintf("%s of %s vouches for %s", strings.ToUpper(a.Method), a.Domain, author)
		return v
	}
	v.Result, v.Disposition = Fail, c.disposition(v.Policy, at.record)
	v.Reason = fmt.Sprintf("nobody vouches for %s; the policy of %s is %s", author, at.domain, v.Policy)
	if v.Disposition != v.Policy {
		v.Reason += ", which is only tried"
	}
	return v
}

// policyOfWalk is the record that counts for an author, RFC 9989 section
// 4.10.1: its own, else that of the organization, else that of the public
// suffix.
func policyOfWalk(author, organization string, walk []*found) *found {
	for _, want := range []string{author, organization} {
		for _, f := range walk {
			if f.domain == want {
				return f
			}
		}
	}
	if n := len(walk); n > 0 && walk[n-1].record.PSD == 'y' {
		return walk[n-1]
	}
	return nil
}

// policy is p=, or what the domain asks for names below it.
func (c *Checker) policy(ctx context.Context, author string, at *found) (Policy, error) {
	r := at.record
	if at.domain == author {
		return r.Policy, nil
	}
	if r.Absent != "" {
		_, _, err := c.Resolver.MX(ctx, author)
		switch {
		case err != nil && dns.IsTemporary(err):
			return NoPolicy, fmt.Errorf("whether %s exists could not be asked for: %w", author, err)
		case err != nil && dns.KindOf(err) == dns.NoName:
			return r.Absent, nil
		}
	}
	if r.Subdomains != "" {
		return r.Subdomains, nil
	}
	return r.Policy, nil
}

// disposition is what to do about a failure.
func (c *Checker) disposition(p Policy, r Record) Policy {
	switch tried := r.Tried(p); {
	case tried != p:
		return tried
	case r.Percent < 100 && c.Sample != nil && c.Sample() >= r.Percent:
		return p.less() // RFC 7489 section 6.6.4
	}
	return p
}

// aligned are the senders that vouch for the author, RFC 9989 section 4.4.
func (c *Checker) aligned(ctx context.Context, v *Verdict, senders []Sender) (out []Sender, err error) {
	for _, s := range senders {
		if !s.Pass || s.Domain == "" {
			continue
		}
		strict := v.Record.StrictDKIM
		if s.Method == "spf" {
			strict = v.Record.StrictSPF
		}
		domain := strings.ToLower(strings.TrimSuffix(s.Domain, "."))
		if domain == v.Author {
			out = append(out, s)
			continue
		}
		if strict || !related(domain, v.Author) {
			continue
		}
		walk, e := c.walk(ctx, domain)
		if e != nil {
			err = e
			continue
		}
		if organization(domain, walk) == v.Organization {
			out = append(out, s)
		}
	}
	return out, err
}

// related says that two names could have one organization: they end alike.
// Others need not be asked about.
func related(a, b string) bool {
	return a[strings.LastIndexByte(a, '.')+1:] == b[strings.LastIndexByte(b, '.')+1:]
}
