package dmarc

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"plic/internal/dns"
	"plic/internal/dns/dnstest"
	"plic/internal/message"
)

func checker(t *testing.T, records ...string) (*Checker, *dnstest.Server) {
	t.Helper()
	s := dnstest.New(t, records...)
	return &Checker{Resolver: dns.New(dns.Options{Servers: []string{s.Addr()}})}, s
}

func record(domain, text string) string {
	return fmt.Sprintf("_dmarc.%s 60 IN TXT %q", domain, text)
}

func spfOf(domain string) Sender { return Sender{Method: "spf", Domain: domain, Pass: true} }
func dkimOf(domain string) Sender {
	return Sender{Method: "dkim", Domain: domain, Pass: true, Detail: "s"}
}

func TestCheck(t *testing.T) {
	c, server := checker(t,
		record("example.org", "v=DMARC1; p=reject; sp=quarantine; np=reject; rua=mailto:d@example.org"),
		"here.example.org 60 IN A 192.0.2.1",
		record("strict.example", "v=DMARC1;p=quarantine;adkim=s;aspf=s"),
		record("try.example", "v=DMARC1; p=reject; t=y"),
		record("old.example", "v=DMARC1; p=quarantine; pct=0"),
		record("own.example.org", "v=DMARC1; p=none"),
		record("split.example.org", "v=DMARC1; p=reject; psd=n"),
		record("bank", "v=DMARC1; p=reject; np=reject; psd=y"),
		record("shop.bank", "v=DMARC1; p=quarantine"),
		record("one.co.uk", "v=DMARC1; p=reject"),
		record("twice.example", "v=DMARC1; p=reject"), record("twice.example", "v=DMARC1; p=none"),
		record("bad.example", "v=DMARC1; p=whatever"),
		record("report.example", "v=DMARC1; p=whatever; rua=mailto:d@report.example"),
	)
	server.Fail("_dmarc.slow.example", dnstest.ServFail)
	for _, x := range []struct {
		name    string
		author  string
		senders []Sender
		result  Result
		policy  Policy
		do      Policy
		at, org string
	}{
		{"same domain by SPF", "example.org", []Sender{spfOf("example.org")}, Pass, Reject, NoPolicy, "example.org", "example.org"},
		{"below by SPF", "example.org", []Sender{spfOf("bounce.example.org")}, Pass, Reject, NoPolicy, "example.org", "example.org"},
		{"above by DKIM", "here.example.org", []Sender{dkimOf("example.org")}, Pass, Quarantine, NoPolicy, "example.org", "example.org"},
		{"other", "example.org", []Sender{spfOf("example.com"), dkimOf("example.net")}, Fail, Reject, Reject, "example.org", "example.org"},
		{"side by side", "here.example.org", []Sender{dkimOf("there.example.org")}, Pass, Quarantine, NoPolicy, "example.org", "example.org"},
		{"under one public suffix", "one.co.uk", []Sender{dkimOf("two.co.uk"), spfOf("co.uk")}, Fail, Reject, Reject, "one.co.uk", "one.co.uk"},
		{"no pass", "example.org", []Sender{{Method: "spf", Domain: "example.org"}}, Fail, Reject, Reject, "example.org", "example.org"},
		{"sp", "here.example.org", nil, Fail, Quarantine, Quarantine, "example.org", "example.org"},
		{"np", "absent.example.org", nil, Fail, Reject, Reject, "example.org", "example.org"},
		{"own record", "own.example.org", nil, Fail, NoPolicy, NoPolicy, "own.example.org", "example.org"},
		{"strict, same", "strict.example", []Sender{dkimOf("strict.example")}, Pass, Quarantine, NoPolicy, "strict.example", "strict.example"},
		{"strict, below", "strict.example", []Sender{dkimOf("a.strict.example"), spfOf("b.strict.example")}, Fail, Quarantine, Quarantine, "strict.example", "strict.example"},
		{"t=y", "try.example", nil, Fail, Reject, Quarantine, "try.example", "try.example"},
		{"pct=0", "old.example", nil, Fail, Quarantine, NoPolicy, "old.example", "old.example"},
		{"psd=n cuts off", "a.split.example.org", []Sender{dkimOf("example.org")}, Fail, Reject, Reject, "split.example.org", "split.example.org"},
		{"psd=y", "shop.bank", []Sender{dkimOf("other.bank")}, Fail, Quarantine, Quarantine, "shop.bank", "shop.bank"},
		{"psd alone, absent", "x.none.bank", nil, Fail, Reject, Reject, "bank", "none.bank"},
		{"psd alone, below", "x.none.bank", []Sender{dkimOf("none.bank")}, Pass, Reject, NoPolicy, "bank", "none.bank"},
		{"two records", "twice.example", nil, None, NoPolicy, NoPolicy, "", "twice.example"},
		{"no policy", "bad.example", nil, None, NoPolicy, NoPolicy, "", "bad.example"},
		{"unknown policy, with reports", "report.example", nil, Fail, NoPolicy, NoPolicy, "report.example", "report.example"},
		{"no record", "nobody.test", []Sender{spfOf("nobody.test")}, None, NoPolicy, NoPolicy, "", "nobody.test"},
		{"no answer", "slow.example", nil, TempError, NoPolicy, NoPolicy, "", ""},
	} {
		v := c.Check(t.Context(), x.author, x.senders)
		if v.Result != x.result || v.Policy != x.policy || v.Disposition != x.do || v.PolicyDomain != x.at || v.Organization != x.org || v.Reason == "" {
			t.Errorf("%s: %+v", x.name, v)
		}
	}
}

// TestWalk counts the questions for a long name, RFC 9989 section 4.10.
func TestWalk(t *testing.T) {
	c, server := checker(t, record("example.com", "v=DMARC1; p=reject"))
	v := c.Check(t.Context(), "a.b.c.d.e.f.g.h.i.j.mail.example.com", nil)
	if v.Result != Fail || v.Organization != "example.com" {
		t.Errorf("%+v", v)
	}
	var asked []string
	for _, q := range server.Queries() {
		asked = append(asked, strings.TrimPrefix(q.Name, "_dmarc."))
	}
	want := []string{"a.b.c.d.e.f.g.h.i.j.mail.example.com", "g.h.i.j.mail.example.com", "h.i.j.mail.example.com", "i.j.mail.example.com",
		"j.mail.example.com", "mail.example.com", "example.com", "com"}
	if !slices.Equal(asked, want) {
		t.Errorf("asked %q, want %q", asked, want)
	}
	before := len(server.Queries())
	if v := c.Check(t.Context(), strings.Repeat("a.", 123)+"example.com", nil); v.Organization != "example.com" {
		t.Errorf("%+v", v)
	}
	if n := len(server.Queries()) - before; n > 8 {
		t.Errorf("%d questions about a name of 125 labels", n)
	}
}

func TestAuthor(t *testing.T) {
	for text, want := range map[string]string{
		"From: Ann <ann@Example.ORG>\r\n":                           "example.org",
		"From: ann@example.org, bob@example.org\r\n":                "example.org",
		"From: ann@example.org, bob@example.com\r\n":                "",
		"From: ann@example.org\r\nFrom: bob@example.org\r\n":        "",
		"To: ann@example.org\r\n":                                   "",
		"From: nobody\r\n":                                          "",
		"From: ann@[192.0.2.1]\r\n":                                 "",
		"From: \"bob@example.com\" <ann@example.org>\r\n":           "example.org",
		"From: bob@example.com <ann@example.org>\r\n":               "example.org",
		"From: =?utf-8?q?bob=40example.com?= <ann@example.org>\r\n": "example.org",
		"From: ann@bücher.example\r\n":                              "xn--bcher-kva.example",
		"From: ann@example.org (bob@example.com)\r\n":               "example.org",
	} {
		m, err := message.Parse(strings.NewReader(text+"\r\n"), message.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := Author(m.Root.Header)
		if got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, ErrAuthor) {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestParseRecord(t *testing.T) {
	r, err := ParseRecord("v = DMARC1 ; p=Reject; sp=odd; fo=1:d; rua=mailto:a@x.org!10m, https://x.org ,mailto:b@x.org;ruf=mailto:c@x.org;p=none; pct=40; psd=n")
	if err != nil {
		t.Fatal(err)
	}
	if r.Policy != Reject || r.Subdomains != "" || !slices.Equal(r.Aggregate, []string{"a@x.org", "b@x.org"}) ||
		!slices.Equal(r.Failure, []string{"c@x.org"}) || r.Percent != 40 || r.PSD != 'n' || r.Options != "1:d" {
		t.Errorf("%+v", r)
	}
	for _, bad := range []string{"", "v=DMARC2; p=none", "p=none; v=DMARC1", "v=DMARC1", "v=DMARC1; p=", "v=dmarc1; p=none"} {
		if _, err := ParseRecord(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add("v=DMARC1; p=reject; rua=mailto:a@x.org!10m,mailto:b")
	f.Fuzz(func(t *testing.T, txt string) {
		r, err := ParseRecord(txt)
		if err == nil && policyOf(string(r.Policy)) == "" {
			t.Errorf("%q has the policy %q", txt, r.Policy)
		}
	})
}
