package tlspolicy

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"plic/internal/dane"
	"plic/internal/dns"
	"plic/internal/dns/dnstest"
	"plic/internal/mail"
	"plic/internal/notebook/notebooktest"
)

// is fails unless a decision is what is wanted: its kind, level, and whether
// the host is refused.
func is(t *testing.T, what string, d Decision, kind Kind, level Level, refused bool) {
	t.Helper()
	if d.Kind != kind || d.Level != level || (d.Refuse != nil) != refused {
		t.Errorf("%s: %s, level %d, refused %v; want %s, level %d, refused %v\n%s", what, d.Why, d.Level, d.Refuse, kind, level, refused, strings.Join(d.Evidence, "\n"))
	}
}

// DANE, RFC 7672: when it applies, and when it cannot be known.
func TestDANE(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cert, other := w.certificate(t, "mx.example.test"), w.certificate(t, "mx.example.test")
	ee := func(name string) string {
		return name + " 60 IN TLSA " + dane.New(cert.Leaf, dane.EE, dane.PublicKey, dane.SHA256).String()
	}
	host := Peer{Domain: "example.test", Host: "mx.example.test", Port: 25, Secure: true, Validated: true, Canonical: "mx.example.test"}
	alias := host
	alias.Canonical = "real.test"
	for _, c := range []struct {
		what    string
		records []string
		peer    Peer
		edit    func(*dnstest.Server)
		trust   bool
		kind    Kind
		level   Level
		refused bool
		name    string // whose records they are
	}{
		{what: "a record", records: []string{ee("_25._tcp.mx.example.test")}, peer: host, trust: true, kind: DANE, level: Encrypted, name: "mx.example.test"},
		{what: "a resolver that is not trusted", records: []string{ee("_25._tcp.mx.example.test")}, peer: host, kind: May},
		{what: "no record", peer: host, trust: true, kind: May},
		{what: "a record that is not signed", records: []string{ee("_25._tcp.mx.example.test")}, peer: host, trust: true, kind: May,
			edit: func(s *dnstest.Server) { s.Authentic("_25._tcp.mx.example.test", false) }},
		{what: "SERVFAIL", peer: host, trust: true, kind: DANE, refused: true,
			edit: func(s *dnstest.Server) { s.Fail("_25._tcp.mx.example.test", dnstest.ServFail) }},
		{what: "rubbish", peer: host, trust: true, kind: DANE, refused: true,
			edit: func(s *dnstest.Server) { s.Fail("_25._tcp.mx.example.test", dnstest.Undecoded) }},
		{what: "MX records not signed", records: []string{ee("_25._tcp.mx.example.test")}, trust: true, kind: May,
			peer: Peer{Domain: "example.test", Host: "mx.example.test", Port: 25, Validated: true, Canonical: "mx.example.test"}},
		{what: "addresses not signed, TLSA not even asked for", trust: true, kind: May,
			peer: Peer{Domain: "example.test", Host: "mx.example.test", Port: 25, Secure: true, Canonical: "mx.example.test"},
			edit: func(s *dnstest.Server) { s.Fail("_25._tcp.mx.example.test", dnstest.ServFail) }},
		{what: "only unusable records", records: []string{"_25._tcp.mx.example.test 60 IN TLSA 1 1 1 " + strings.Repeat("00", 32), "_25._tcp.mx.example.test 60 IN TLSA 3 1 1 00"},
			peer: host, trust: true, kind: DANE, level: Encrypted, name: "mx.example.test"},
		{what: "an alias, records where it leads", records: []string{ee("_25._tcp.real.test"), "_25._tcp.mx.example.test 60 IN TLSA 3 1 1 " + strings.Repeat("00", 32)},
			peer: alias, trust: true, kind: DANE, level: Encrypted, name: "real.test"},
		{what: "an alias, records at it", records: []string{ee("_25._tcp.mx.example.test")}, peer: alias, trust: true, kind: DANE, level: Encrypted, name: "mx.example.test"},
		{what: "an alias to what is not signed", records: []string{ee("_25._tcp.mx.example.test"), "mx.example.test 60 IN CNAME real.test."}, trust: true, kind: DANE, level: Encrypted, name: "mx.example.test",
			peer: Peer{Domain: "example.test", Host: "mx.example.test", Port: 25, Secure: true, Canonical: "real.test"}},
		{what: "an alias that is not signed", records: []string{ee("_25._tcp.mx.example.test"), "mx.example.test 60 IN CNAME real.test."}, trust: true, kind: May,
			peer: Peer{Domain: "example.test", Host: "mx.example.test", Port: 25, Secure: true, Canonical: "real.test"},
			edit: func(s *dnstest.Server) { s.Authentic("mx.example.test", false) }},
		{what: "an alias of the record", records: []string{"_25._tcp.mx.example.test 60 IN CNAME shared.test.", ee("shared.test")}, peer: host, trust: true, kind: DANE, level: Encrypted, name: "mx.example.test"},
		{what: "another port", records: []string{ee("_587._tcp.mx.example.test")}, trust: true, kind: DANE, level: Encrypted, name: "mx.example.test",
			peer: Peer{Domain: "mx.example.test", Host: "mx.example.test", Port: 587, Exact: true, Secure: true, Validated: true, Canonical: "mx.example.test"}},
		{what: "a host that is an address", trust: true, kind: May, peer: Peer{Domain: "[192.0.2.1]", Host: "[192.0.2.1]", Port: 25, Secure: true}},
	} {
		w.dns = dnstest.Offline(t, c.records...)
		w.dns.Authentic("*", true)
		if c.edit != nil {
			c.edit(w.dns)
		}
		d := w.policies(func(o *Options) { o.TrustAD = c.trust }).Decide(t.Context(), c.peer, Demand{})
		is(t, c.what, d, c.kind, c.level, c.refused)
		if d.Name != c.name {
			t.Errorf("%s: the handshake asks for %q, not %q", c.what, d.Name, c.name)
		}
		if c.refused && !mail.StatusOf(d.Refuse).Temporary() {
			t.Errorf("%s: refused for good: %v", c.what, d.Refuse)
		}
		if c.what == "only unusable records" {
			if d.Verify != nil {
				t.Error("a host must prove what nobody can")
			}
			continue
		}
		if c.kind == DANE && !c.refused {
			if err := d.Verify(*state(cert)); err != nil {
				t.Errorf("%s: %v", c.what, err)
			}
			if err := d.Verify(*state(other)); err == nil || kindOf(err) != "validation-failure" {
				t.Errorf("%s: another certificate: %v", c.what, err)
			}
		}
	}
}

var plain = Peer{Domain: "example.test", Host: "mx.example.test", Port: 25, Canonical: "mx.example.test"}

// The site's own table.
func TestTable(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "_mta-sts.example.test 60 IN TXT \"v=STSv1; id=1\"")
	cert := w.certificate(t, "mx.example.test")
	sum, key := sha256.Sum256(cert.Leaf.Raw), sha256.Sum256(cert.Leaf.RawSubjectPublicKeyInfo)
	for text, want := range map[string]Level{
		"none": Clear, "may": Opportunistic, "encrypt": Encrypted, "verify": Verified, "dane": Opportunistic, "dane-only": Opportunistic,
		fmt.Sprintf("fingerprint sha256:%x", sum):                                           Encrypted,
		fmt.Sprintf("fingerprint sha512:%s sha256:%X", strings.Repeat("00:", 63)+"00", key): Encrypted,
	} {
		rule, err := ParseRule(text)
		if err != nil {
			t.Fatal(err)
		}
		p := w.policies(func(o *Options) {
			o.Table = func(_ context.Context, domain string) (Rule, bool, error) { return rule, domain == "example.test", nil }
		})
		d := p.Decide(t.Context(), plain, Demand{})
		is(t, text, d, rule.Kind, want, text == "dane-only")
		if rule.Kind == Fingerprint {
			if err := d.Verify(*state(cert)); err != nil {
				t.Errorf("%s: %v", text, err)
			}
			if err := d.Verify(*state(w.certificate(t, "mx.example.test"))); err == nil {
				t.Errorf("%s: another key is good too", text)
			}
		}
	}
	for _, bad := range []string{"", "strict", "verify now", "fingerprint", "fingerprint sha256:00", "fingerprint md5:00112233445566778899aabbccddeeff", "mta-sts"} {
		if rule, err := ParseRule(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, rule)
		}
	}
	broken := w.policies(func(o *Options) {
		o.Table = func(context.Context, string) (Rule, bool, error) { return Rule{}, false, fmt.Errorf("no disk") }
	})
	is(t, "a table that does not answer", broken.Decide(t.Context(), plain, Demand{}), Auto, Opportunistic, true)
}

// Who may get a message with REQUIRETLS or TLS-Required: No, RFC 8689.
func TestDemands(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "_mta-sts.example.test 60 IN TXT \"v=STSv1; id=1\"", "mta-sts.example.test 60 IN A 192.0.2.1")
	w.https(t, serve("version: STSv1\nmode: enforce\nmx: mx.example.test\nmax_age: 86400\n"), "mta-sts.example.test")
	w.dns.Authentic("*", true)
	p := w.policies(nil)
	need := Demand{RequireTLS: true}
	d := p.Decide(t.Context(), plain, need)
	is(t, "named by MTA-STS", d, STS, Verified, false)
	if d.Offer != "REQUIRETLS" {
		t.Error("the host need not offer REQUIRETLS")
	}
	is(t, "asked for nothing, with MTA-STS", p.Decide(t.Context(), plain, Demand{Optional: true}), May, Opportunistic, false)
	unnamed := plain
	unnamed.Host = "other.test"
	is(t, "not named by MTA-STS", p.Decide(t.Context(), unnamed, need), STS, Opportunistic, true)
	bare := Peer{Domain: "bare.test", Host: "mx.bare.test", Port: 25, Canonical: "mx.bare.test"}
	d = p.Decide(t.Context(), bare, need)
	is(t, "nobody vouches for the host", d, May, Opportunistic, true)
	if s := mail.StatusOf(d.Refuse); s.Code != 550 || s.Enhanced.String() != "5.7.30" {
		t.Errorf("refused with %v", s)
	}
	bare.Secure = true
	is(t, "DNSSEC vouches for the host", p.Decide(t.Context(), bare, need), May, Verified, false)
	smart := Peer{Domain: "relay.test", Host: "relay.test", Port: 587, Exact: true, Secure: true, Login: true}
	is(t, "a smart host with a login", p.Decide(t.Context(), smart, Demand{}), Verify, Verified, false)
	off := w.policies(func(o *Options) { o.Default = None })
	d = off.Decide(t.Context(), plain, need)
	is(t, "a site without TLS", d, None, Clear, true)
	if s := mail.StatusOf(d.Refuse); s.Enhanced.String() != "5.7.10" {
		t.Errorf("refused with %v", s)
	}
}

// A name is the same in any case, whoever wrote it.
func TestCase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.policies(nil)
	p.Decide(t.Context(), Peer{Domain: "Example.TEST.", Host: "MX.example.test", Port: 25}, Demand{}).Done(Outcome{Offered: true, TLS: state(w.certificate(t, "mx.example.test"))})
	is(t, "in another case", p.Decide(t.Context(), plain, Demand{}), Remembered, Encrypted, false)
}

// What a decision costs where a domain asks for nothing.
func BenchmarkDecide(b *testing.B) {
	w := &world{dns: dnstest.Offline(b), notes: &notebooktest.Notes{All: map[string][]byte{}}}
	p := New(Options{Resolver: dns.New(dns.Options{Dial: w.dns.Dial}), Notes: w.notes, Hostname: "client.test"})
	for b.Loop() {
		p.Decide(b.Context(), plain, Demand{}).Done(Outcome{})
	}
}

// serve answers with a policy.
func serve(text string) func(http.ResponseWriter, *http.Request) {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte(text))
	}
}
