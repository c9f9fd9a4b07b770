package spf

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"plic/internal/dns"
)

// Result is what a check comes to, RFC 7208 section 2.6.
type Result int

// The results.
const (
	None      Result = iota // there is no record, or no domain to ask about
	Neutral                 // the domain says neither yes nor no
	Pass                    // the client may
	Fail                    // the client may not
	SoftFail                // the client probably may not
	TempError               // DNS did not answer
	PermError               // the record cannot be used
)

// String is the result as header fields and reports spell it.
func (r Result) String() string {
	return [...]string{"none", "neutral", "pass", "fail", "softfail", "temperror", "permerror"}[r]
}

// Identity is which name of the client was checked, RFC 7208 section 2.
type Identity string

// The identities.
const (
	MailFrom Identity = "mailfrom"
	Helo     Identity = "helo"
)

// Question is who sends what.
type Question struct {
	IP   netip.Addr
	Helo string // as the client said it
	From string // the reverse-path without brackets; "" for the null one
}

// Verdict is the answer to a Question.
type Verdict struct {
	Result      Result
	Identity    Identity
	Domain      string // whose record was asked for first
	Term        string // the term that decided, as it is written; "" if none did
	Reason      string // one sentence for people
	Explanation string // the domain's own words on a Fail; "" if it has none
	Lookups     int    // terms that asked DNS
}

// Limits of RFC 7208 section 4.6.4.
const (
	maxLookups = 10
	maxVoids   = 2
	maxMX      = 10
	maxPTR     = 10
)

// Checker checks questions. All its methods may be called at the same time.
type Checker struct {
	Resolver dns.Resolver
	Host     string           // the name of this host, for explanations
	Now      func() time.Time // for explanations; nil is time.Now
	Timeout  time.Duration    // bounds one check; 0 is the 20 s of section 4.6.4
}

// Check checks the domain of the reverse-path, or that of HELO if the path is
// null, RFC 7208 section 2.4.
func (c *Checker) Check(ctx context.Context, q Question) Verdict {
	if q.From == "" {
		return c.check(ctx, q, Helo, "postmaster", q.Helo)
	}
	local, domain := "", q.From
	if at := strings.LastIndexByte(q.From, '@'); at >= 0 {
		local, domain = q.From[:at], q.From[at+1:]
	}
	if local == "" {
		local = "postmaster" // section 4.3
	}
	return c.check(ctx, q, MailFrom, local, domain)
}

// CheckHelo checks the name that the client gave itself, RFC 7208 section 2.3.
func (c *Checker) CheckHelo(ctx context.Context, q Question) Verdict {
	return c.check(ctx, q, Helo, "postmaster", q.Helo)
}

func (c *Checker) check(ctx context.Context, q Question, id Identity, local, domain string) Verdict {
	v := Verdict{Identity: id, Domain: strings.TrimSuffix(strings.ToLower(domain), ".")}
	if !isDomain(domain) {
		v.Reason = fmt.Sprintf("%q is not a domain that could have a record", domain)
		return v
	}
	timeout := c.Timeout
	if timeout == 0 {
		timeout = 20 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	e := &evaluation{c: c, ctx: ctx, ip: q.IP.Unmap().WithZone(""), helo: q.Helo, local: local, origin: domain}
	out := e.domain(domain)
	v.Result, v.Term, v.Reason, v.Lookups = out.result, out.term, out.reason, e.lookups
	if v.Result == Fail && out.exp != "" {
		v.Explanation = e.explain(out.domain, out.exp)
	}
	return v
}

// isDomain says that a name can be asked for: two labels at least, each of a
// legal length, RFC 7208 section 4.3.
func isDomain(name string) bool {
	name = strings.TrimSuffix(name, ".")
	if len(name) > 253 || strings.HasPrefix(name, "[") || !strings.Contains(name, ".") {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return false
		}
	}
	return true
}

// Header is the value of a Received-SPF field, RFC 7208 section 9.1.
func (v Verdict) Header(q Question, receiver string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v (%s: %s)", v.Result, comment(receiver), comment(v.Reason))
	for _, p := range [...]struct{ key, value string }{
		{"receiver", receiver}, {"client-ip", q.IP.Unmap().String()}, {"envelope-from", q.From},
		{"helo", q.Helo}, {"identity", string(v.Identity)},
	} {
		if p.value != "" {
			fmt.Fprintf(&b, " %s=%s;", p.key, quoted(p.value))
		}
	}
	return strings.TrimSuffix(b.String(), ";")
}

// comment is text that may stand in a comment of a header field.
func comment(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '(' || r == ')' || r == '\\' {
			return '?'
		}
		return r
	}, text)
}

// quoted is text as a dot-atom where it is one, else as a quoted string.
func quoted(text string) string {
	atom := true
	for i := range len(text) {
		c := text[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>[]:;@\,"`, c) >= 0 {
			atom = false
		}
	}
	if atom {
		return text
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c == 0x7f:
			b.WriteByte('?')
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
