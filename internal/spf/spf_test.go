package spf

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"plic/internal/dns"
	"plic/internal/dns/dnstest"
)

func checker(t *testing.T, records ...string) (*Checker, *dnstest.Server) {
	t.Helper()
	s := dnstest.New(t, records...)
	return &Checker{
		Resolver: dns.New(dns.Options{Servers: []string{s.Addr()}}),
		Host:     "mx.plic.test", Now: func() time.Time { return time.Unix(1790000000, 0) },
	}, s
}

func ask(ip, helo, from string) Question {
	return Question{IP: netip.MustParseAddr(ip), Helo: helo, From: from}
}

// TestMacros expands the examples of RFC 7208 section 7.4 and a few more.
func TestMacros(t *testing.T) {
	c, _ := checker(t,
		"3.2.0.192.in-addr.arpa 60 IN PTR mx.example.org.",
		"mx.example.org 60 IN A 192.0.2.3")
	for spec, want := range map[string]string{
		"%{s}": "strong-bad@email.example.com", "%{o}": "email.example.com",
		"%{d}": "email.example.com", "%{d4}": "email.example.com", "%{d3}": "email.example.com",
		"%{d2}": "example.com", "%{d1}": "com", "%{dr}": "com.example.email", "%{d2r}": "example.email",
		"%{l}": "strong-bad", "%{l-}": "strong.bad", "%{lr}": "strong-bad", "%{lr-}": "bad.strong", "%{l1r-}": "strong",
		"%{ir}.%{v}._spf.%{d2}":         "3.2.0.192.in-addr._spf.example.com",
		"%{lr-}.lp._spf.%{d2}":          "bad.strong.lp._spf.example.com",
		"%{d2}.trusted-domains.example": "example.com.trusted-domains.example",
		"%{p}":                          "mx.example.org",
		"%{S}":                          "strong-bad%40email.example.com",
		"%%-%_-%-":                      "%- -%20",
		"%{h}":                          "client.example.net",
	} {
		e := &evaluation{c: c, ctx: t.Context(), ip: netip.MustParseAddr("192.0.2.3"), helo: "client.example.net",
			local: "strong-bad", origin: "email.example.com"}
		if got, err := e.expand(spec, "email.example.com", inDomain); err != nil || got != want {
			t.Errorf("%s: %q %v, want %q", spec, got, err, want)
		}
	}
	six := &evaluation{c: c, ctx: t.Context(), ip: netip.MustParseAddr("2001:db8::cb01"), local: "a", origin: "b.example"}
	want := "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com"
	if got, err := six.expand("%{ir}.%{v}._spf.%{d2}", "email.example.com", inDomain); err != nil || !strings.EqualFold(got, want) {
		t.Errorf("IPv6: %q %v", got, err)
	}
	for letter, want := range map[string]string{"%{c}": "2001:db8::cb01", "%{r}": "mx.plic.test", "%{t}": "1790000000"} {
		if got, err := six.expand(letter, "b.example", inExplanation); err != nil || got != want {
			t.Errorf("%s: %q %v", letter, got, err)
		}
	}
}

func TestVerdicts(t *testing.T) {
	c, server := checker(t,
		`example.org 60 IN TXT "v=spf1 mx -all exp=why.example.org"`,
		`example.org 60 IN MX 10 mx.example.org.`,
		`mx.example.org 60 IN A 192.0.2.3`,
		`mx.example.org 60 IN TXT "v=spf1 a -all"`,
		`why.example.org 60 IN TXT "%{i} is none of ours"`,
		`soft.example.org 60 IN TXT "v=spf1 ~all"`,
		`loop.example.org 60 IN TXT "v=spf1 include:loop.example.org -all"`,
		`twice.example.org 60 IN TXT "v=spf1 -all"`,
		`twice.example.org 60 IN TXT "v=spf1 +all"`,
	)
	server.Fail("slow.example.org", dnstest.ServFail)
	for _, x := range []struct {
		q      Question
		result Result
		id     Identity
		term   string
		says   string
	}{
		{ask("192.0.2.3", "mx.example.org", "ann@example.org"), Pass, MailFrom, "mx", ""},
		{ask("192.0.2.9", "mx.example.org", "ann@example.org"), Fail, MailFrom, "-all", "192.0.2.9 is none of ours"},
		{ask("192.0.2.3", "mx.example.org", ""), Pass, Helo, "a", ""},
		{ask("::ffff:192.0.2.3", "mx.example.org", "ann@example.org"), Pass, MailFrom, "mx", ""},
		{ask("192.0.2.3", "", "ann@soft.example.org"), SoftFail, MailFrom, "~all", ""},
		{ask("192.0.2.3", "", "ann@loop.example.org"), PermError, MailFrom, "include:loop.example.org", ""},
		{ask("192.0.2.3", "", "ann@twice.example.org"), PermError, MailFrom, "", ""},
		{ask("192.0.2.3", "", "ann@slow.example.org"), TempError, MailFrom, "", ""},
		{ask("192.0.2.3", "", "ann@absent.example.org"), None, MailFrom, "", ""},
		{ask("192.0.2.3", "[192.0.2.3]", ""), None, Helo, "", ""},
	} {
		v := c.Check(t.Context(), x.q)
		if v.Result != x.result || v.Identity != x.id || v.Term != x.term || v.Explanation != x.says || v.Reason == "" {
			t.Errorf("%+v: %+v, want %v by %q", x.q, v, x.result, x.term)
		}
	}
}

// TestLimits has records that would make us ask for ever.
func TestLimits(t *testing.T) {
	records := []string{`wide.example.org 60 IN TXT "v=spf1 a:1.e.org a:2.e.org a:3.e.org a:4.e.org a:5.e.org a:6.e.org a:7.e.org a:8.e.org a:9.e.org a:10.e.org a:11.e.org -all"`,
		`void.example.org 60 IN TXT "v=spf1 a:1.none.org a:2.none.org a:3.none.org +all"`}
	for i := range 11 {
		records = append(records, fmt.Sprintf("%d.e.org 60 IN A 198.51.100.1", i+1))
	}
	for i := range 11 {
		records = append(records, fmt.Sprintf("manymx.example.org 60 IN MX 10 %d.e.org.", i+1))
	}
	records = append(records, `loop.example.org 60 IN TXT "v=spf1 include:round.example.org -all"`, `round.example.org 60 IN TXT "v=spf1 redirect=loop.example.org"`,
		`mx.example.org 60 IN TXT "v=spf1 mx:manymx.example.org -all"`)
	c, server := checker(t, records...)
	for _, from := range []string{"a@wide.example.org", "a@void.example.org", "a@loop.example.org", "a@mx.example.org"} {
		if v := c.Check(t.Context(), ask("192.0.2.3", "h.example.org", from)); v.Result != PermError {
			t.Errorf("%s: %+v", from, v)
		}
	}
	if n := len(server.Queries()); n > 45 {
		t.Errorf("%d questions asked", n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v := c.Check(ctx, ask("192.0.2.3", "", "a@late.example.org")); v.Result != TempError {
		t.Errorf("without time: %+v", v)
	}
}

func TestHeader(t *testing.T) {
	v := Verdict{Result: Pass, Identity: MailFrom, Reason: "it (really) matches"}
	got := v.Header(ask("192.0.2.3", "mx.example.org", `"a b"@example.org`), "mx.plic.test")
	want := `pass (mx.plic.test: it ?really? matches) receiver=mx.plic.test; client-ip=192.0.2.3;` +
		` envelope-from="\"a b\"@example.org"; helo=mx.example.org; identity=mailfrom`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("v=spf1 a:%{l1r+-}.example.org/24//64 mx -ip4:192.0.2.0/24 ?ip6:2001:db8::/32 ~exists:%{ir}.%{v}.x.org redirect=%{d} exp=e.x.org")
	f.Add("v=spf1 include: a:foo.%{ ptr:/ =x moo=%")
	f.Fuzz(func(t *testing.T, txt string) {
		if !isRecord(txt) {
			return
		}
		rec, err := parse(txt)
		if err != nil {
			return
		}
		e := &evaluation{c: &Checker{}, ip: netip.MustParseAddr("192.0.2.3"), local: "l", origin: "o.example", name: new(string)}
		for _, d := range rec.directives {
			if d.domain == "" {
				continue
			}
			if name, err := e.target(d.domain, "d.example"); err != nil || len(name) > 253 && strings.Contains(name, ".") {
				t.Errorf("%q was taken and gives %q, %v", d.domain, name, err)
			}
		}
	})
}
