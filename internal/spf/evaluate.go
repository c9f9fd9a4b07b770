package spf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"plic/internal/dns"
)

// evaluation is one check at work.
type evaluation struct {
	c      *Checker
	ctx    context.Context // of this check alone
	ip     netip.Addr
	helo   string
	local  string // local part of the sender
	origin string // domain of the sender

	lookups int
	voids   int
	name    *string // what %{p} stands for, once it was asked
}

// outcome is what a domain's record says.
type outcome struct {
	result Result
	term   string
	reason string
	domain string // whose explanation counts
	exp    string
}

// stop ends an evaluation at once.
type stop struct {
	result Result
	reason string
}

// Error says why the evaluation ended.
func (s *stop) Error() string { return s.reason }

func broken(format string, args ...any) error {
	return &stop{PermError, fmt.Sprintf(format, args...)}
}

func (c *Checker) now() time.Time {
	if c.Now == nil {
		return time.Now()
	}
	return c.Now()
}

// domain is check_host() of RFC 7208 section 4.
func (e *evaluation) domain(domain string) outcome {
	out, err := e.evaluate(domain)
	if s, ok := errors.AsType[*stop](err); ok {
		out.result, out.reason, out.exp = s.result, s.reason, ""
	}
	return out
}

func (e *evaluation) evaluate(domain string) (out outcome, err error) {
	rec, err := e.record(domain)
	if err != nil {
		return out, err
	}
	if rec == nil {
		return outcome{result: None, reason: domain + " has no record"}, nil
	}
	for i := range rec.directives {
		d := &rec.directives[i]
		match, err := e.matches(d, domain)
		if err != nil {
			return outcome{term: d.text}, err
		}
		if match {
			return outcome{
				result: d.result, term: d.text, domain: domain, exp: rec.exp,
				reason: fmt.Sprintf("%v matches %q of %s", e.ip, d.text, domain),
			}, nil
		}
	}
	if rec.redirect == "" {
		return outcome{result: Neutral, reason: fmt.Sprintf("no term of %s matches %v", domain, e.ip)}, nil
	}
	return e.redirect(rec.redirect, domain)
}

// redirect goes on with the record of another domain, RFC 7208 section 6.1.
func (e *evaluation) redirect(spec, domain string) (outcome, error) {
	out := outcome{term: "redirect=" + spec}
	if err := e.count(); err != nil {
		return out, err
	}
	target, err := e.target(spec, domain)
	if err != nil {
		return out, broken("redirect of %s: %v", domain, err)
	}
	next, err := e.evaluate(target)
	if err == nil && next.result == None {
		err = broken("%s redirects to %s, which has no record", domain, target)
	}
	if err != nil {
		return out, err
	}
	return next, nil
}

// record finds the record of a domain; nil if there is none.
func (e *evaluation) record(domain string) (*record, error) {
	if !isDomain(domain) {
		return nil, nil
	}
	txts, _, err := e.c.Resolver.TXT(e.ctx, domain)
	if err != nil && dns.IsTemporary(err) {
		return nil, &stop{TempError, fmt.Sprintf("the record of %s could not be asked for: %v", domain, err)}
	}
	found := ""
	for _, txt := range txts {
		if !isRecord(txt) {
			continue
		}
		if found != "" {
			return nil, broken("%s has more than one record", domain)
		}
		found = txt
	}
	if found == "" {
		return nil, nil
	}
	rec, err := parse(found)
	if err != nil {
		return nil, broken("the record of %s: %v", domain, err)
	}
	return rec, nil
}

// count counts a term that asks DNS.
func (e *evaluation) count() error {
	if e.lookups++; e.lookups > maxLookups {
		return broken("the record needs more than %d look-ups", maxLookups)
	}
	return nil
}

// void counts a term whose question had no answer.
func (e *evaluation) void() error {
	if e.voids++; e.voids > maxVoids {
		return broken("more than %d look-ups of the record find nothing", maxVoids)
	}
	return nil
}

// matches evaluates a mechanism, RFC 7208 section 5.
func (e *evaluation) matches(d *directive, domain string) (bool, error) {
	switch d.mechanism {
	case "all":
		return true, nil
	case "ip4", "ip6":
		return d.network.Contains(e.ip), nil
	}
	if err := e.count(); err != nil {
		return false, err
	}
	target, err := e.target(d.domain, domain)
	if err != nil {
		return false, broken("%q of %s: %v", d.text, domain, err)
	}
	switch d.mechanism {
	case "include":
		return e.include(target, domain)
	case "a":
		addrs, err := e.addrs(target, e.family())
		if err == nil && len(addrs) == 0 {
			err = e.void()
		}
		return err == nil && e.near(addrs, d), err
	case "mx":
		return e.exchanger(target, d)
	case "ptr":
		return e.pointer(target)
	}
	// exists asks for IPv4 whatever the client speaks, section 5.7.
	addrs, err := e.addrs(target, "ip4")
	if err == nil && len(addrs) == 0 {
		err = e.void()
	}
	return len(addrs) > 0, err
}

// include evaluates another record; only its pass counts, RFC 7208 section 5.2.
func (e *evaluation) include(target, domain string) (bool, error) {
	out, err := e.evaluate(target)
	if err != nil {
		return false, err
	}
	if out.result == None {
		return false, broken("%s includes %s, which has no record", domain, target)
	}
	return out.result == Pass, nil
}

func (e *evaluation) family() string {
	if e.ip.Is4() {
		return "ip4"
	}
	return "ip6"
}

// addrs gives the addresses of a host in one family; none is no error.
func (e *evaluation) addrs(host, family string) ([]netip.Addr, error) {
	addrs, _, err := e.c.Resolver.AddrsOf(e.ctx, family, host)
	if err != nil && dns.IsTemporary(err) {
		return nil, &stop{TempError, fmt.Sprintf("the addresses of %s could not be asked for: %v", host, err)}
	}
	return addrs, nil
}

// near says that the client is in the network of one of the addresses.
func (e *evaluation) near(addrs []netip.Addr, d *directive) bool {
	bits := d.four
	if e.ip.Is6() {
		bits = d.six
	}
	for _, a := range addrs {
		if netip.PrefixFrom(a, bits).Contains(e.ip) {
			return true
		}
	}
	return false
}

func (e *evaluation) exchanger(target string, d *directive) (bool, error) {
	mxs, _, err := e.c.Resolver.MX(e.ctx, target)
	switch {
	case err != nil && dns.IsTemporary(err):
		return false, &stop{TempError, fmt.Sprintf("the exchangers of %s could not be asked for: %v", target, err)}
	case len(mxs) == 0:
		return false, e.void()
	case len(mxs) > maxMX:
		return false, broken("%s has more than %d exchangers", target, maxMX)
	}
	for _, mx := range mxs {
		if mx.Null() {
			continue
		}
		addrs, err := e.addrs(mx.Host, e.family())
		if err != nil {
			return false, err
		}
		if e.near(addrs, d) {
			return true, nil
		}
	}
	return false, nil
}

// pointer evaluates ptr, RFC 7208 section 5.5: its failures do not match.
func (e *evaluation) pointer(target string) (bool, error) {
	names, err := e.validated()
	if dns.IsNotFound(err) {
		return false, e.void()
	}
	for _, name := range names {
		if isWithin(name, target) {
			return true, nil
		}
	}
	return false, nil
}

// validated gives the names of the client that lead back to its address.
func (e *evaluation) validated() ([]string, error) {
	names, _, err := e.c.Resolver.PTR(e.ctx, e.ip)
	if err != nil {
		return nil, err
	}
	var good []string
	for _, name := range names[:min(len(names), maxPTR)] {
		addrs, _, err := e.c.Resolver.AddrsOf(e.ctx, e.family(), name)
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if a == e.ip {
				good = append(good, name)
				break
			}
		}
	}
	return good, nil
}

// isWithin says that a name is a domain or below it.
func isWithin(name, domain string) bool {
	name, domain = strings.ToLower(name), strings.ToLower(strings.TrimSuffix(domain, "."))
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// named is %{p}: a validated name of the client, that of the domain first, then
// one below it, then any, RFC 7208 section 7.3.
func (e *evaluation) named(domain string) string {
	if e.name != nil {
		return *e.name
	}
	best, rank := "unknown", 0
	names, _ := e.validated() // without an answer it has no name
	for _, name := range names {
		r := 1
		if strings.EqualFold(name, domain) {
			r = 3
		} else if isWithin(name, domain) {
			r = 2
		}
		if r > rank {
			best, rank = name, r
		}
	}
	e.name = &best
	return best
}

// explain gives the domain's words on a failure; whatever goes wrong, there are
// none, RFC 7208 section 6.2.
func (e *evaluation) explain(domain, spec string) string {
	name, err := e.target(spec, domain)
	if err != nil {
		return ""
	}
	txts, _, err := e.c.Resolver.TXT(e.ctx, name)
	if err != nil || len(txts) != 1 {
		return ""
	}
	for i := range len(txts[0]) {
		if c := txts[0][i]; c < ' ' || c >= 0x7f {
			return ""
		}
	}
	text, err := e.expand(txts[0], domain, inExplanation)
	if err != nil {
		return ""
	}
	return text
}
