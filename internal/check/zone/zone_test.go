package zone

import (
	"strings"
	"testing"

	"plic/internal/dns"
	"plic/internal/dns/dnstest"
)

// right is a domain as it should be.
func right() []string {
	return []string{
		`example.org 60 IN MX 10 mx.example.org.`,
		`mx.example.org 60 IN A 192.0.2.3`,
		`3.2.0.192.in-addr.arpa 60 IN PTR mx.example.org.`,
		`_25._tcp.mx.example.org 60 IN TLSA 3 1 1 ` + strings.Repeat("ab", 32),
		`example.org 60 IN TXT "v=spf1 mx -all"`,
		`s._domainkey.example.org 60 IN TXT "v=DKIM1; k=ed25519; p=` + key + `"`,
		`_dmarc.example.org 60 IN TXT "v=DMARC1; p=reject; rua=mailto:d@example.org"`,
		`_mta-sts.example.org 60 IN TXT "v=STSv1; id=abc"`,
		`mta-sts.example.org 60 IN A 192.0.2.3`,
		`_smtp._tls.example.org 60 IN TXT "v=TLSRPTv1; rua=mailto:t@example.org"`,
		`_imaps._tcp.example.org 60 IN SRV 0 1 993 mx.example.org.`,
		`_pop3._tcp.example.org 60 IN SRV 0 0 0 .`,
	}
}

const key = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="

// wanted is what a site wants of it.
func wanted() []Want {
	return []Want{
		{Name: "example.org", Type: "MX", Value: "10 mx.example.org."},
		{Name: "example.org", Type: "TXT", Value: "v=spf1 mx -all"},
		{Name: "s._domainkey.example.org", Type: "TXT", Value: "v=DKIM1; k=ed25519; p=" + key},
		{Name: "_25._tcp.mx.example.org", Type: "TLSA", Value: "3 1 1 " + strings.Repeat("ab", 32)},
		{Name: "_mta-sts.example.org", Type: "TXT", Value: "v=STSv1; id=abc"},
		{Name: "_dmarc.example.org", Type: "TXT", Value: "v=DMARC1; p=reject; rua=mailto:d@example.org"},
		{Name: "_imaps._tcp.example.org", Type: "SRV", Value: "0 1 993 mx.example.org."},
	}
}

func check(t *testing.T, records []string, o Options) []Finding {
	t.Helper()
	server := dnstest.New(t, records...)
	server.Authentic("*", true)
	o.Resolver = dns.New(dns.Options{Servers: []string{server.Addr()}, TrustAD: true})
	return Check(t.Context(), o, "example.org")
}

func TestRight(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{Selectors: []string{"s"}}, {Wanted: wanted()}} {
		found := check(t, right(), o)
		if len(found) < 10 {
			t.Errorf("only %d findings", len(found))
		}
		for _, f := range found {
			if f.State != Good || f.Should != "" {
				t.Errorf("%+v", f)
			}
		}
	}
}

// TestFaults changes one thing of a domain at a time; "-" takes away all records
// that begin with what follows.
func TestFaults(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		change, where string
		ours          bool
		state         State
		says          string
	}{
		{"-example.org 60 IN MX", "example.org MX", true, Missing, "There is none"},
		{"example.org 60 IN MX 0 .", "example.org MX", false, Wrong, "must then be the only one"},
		{"example.org 60 IN MX 20 alias.example.org.|alias.example.org 60 IN CNAME mx.example.org.", "example.org MX", false, Wrong, "alias (CNAME) of mx.example.org"},
		{"example.org 60 IN MX 20 no.example.org.", "example.org MX", false, Wrong, "has no address"},
		{"mx.example.org 60 IN A 10.0.0.1", "example.org MX", false, Wrong, "where others cannot reach it"},
		{"-example.org 60 IN MX|example.org 60 IN MX 10 other.example.net.|other.example.net 60 IN A 192.0.2.9", "example.org MX", true, Wrong, "None leads to this site"},
		{"-3.2.0.192.in-addr.arpa", "192.0.2.3 PTR", false, Missing, "has no name"},
		{"-3.2.0.192.in-addr.arpa|3.2.0.192.in-addr.arpa 60 IN PTR other.example.net.", "192.0.2.3 PTR", false, Wrong, "does not lead back"},
		{"-_25._tcp.mx", "_25._tcp.mx.example.org TLSA", false, Advice, "There is none"},
		{"-_25._tcp.mx|_25._tcp.mx.example.org 60 IN TLSA 1 1 1 " + strings.Repeat("ab", 32), "_25._tcp.mx.example.org TLSA", false, Wrong, "None of them can be used"},
		{"-_25._tcp.mx|_25._tcp.mx.example.org 60 IN TLSA 3 1 1 " + strings.Repeat("cd", 32), "_25._tcp.mx.example.org TLSA", true, Wrong, "None of them is of the key"},
		{`-example.org 60 IN TXT`, "example.org TXT", false, Missing, "anybody may send"},
		{`-example.org 60 IN TXT|example.org 60 IN TXT "v=spf1 +all"`, "example.org TXT", false, Wrong, `lets anybody send in the name of the domain, by "+all"`},
		{`-example.org 60 IN TXT|example.org 60 IN TXT "v=spf1 mx"`, "example.org TXT", false, Note, "should end in -all"},
		{`example.org 60 IN TXT "v=spf1 -all"`, "example.org TXT", false, Wrong, "more than one record"},
		{`-example.org 60 IN TXT|example.org 60 IN TXT "v=spf1 ip4:192.0.2.9 -all"`, "example.org TXT", true, Wrong, "does not let this site send from 192.0.2.3"},
		{"-s._domainkey", "s._domainkey.example.org TXT", true, Missing, "as if it was not signed"},
		{`-s._domainkey|s._domainkey.example.org 60 IN TXT "v=DKIM1; p="`, "s._domainkey.example.org TXT", true, Wrong, "it was revoked"},
		{`-s._domainkey|s._domainkey.example.org 60 IN TXT "v=DKIM1; k=ed25519; p=` + strings.Repeat("A", 43) + `="`, "s._domainkey.example.org TXT", true, Wrong, "not the key that this site signs with"},
		{"-s._domainkey", "*._domainkey.example.org TXT", false, Missing, "There are no keys"},
		{"-_dmarc", "_dmarc.example.org TXT", false, Missing, "There is no policy"},
		{`-_dmarc|_dmarc.org 60 IN TXT "v=DMARC1; p=reject; psd=y"`, "_dmarc.example.org TXT", false, Note, "that of org, reject"},
		{`_dmarc.example.org 60 IN TXT "v=DMARC1; p=none"`, "_dmarc.example.org TXT", false, Wrong, "More than one"},
		{`-_dmarc|_dmarc.example.org 60 IN TXT "v=DMARC1; p=all"`, "_dmarc.example.org TXT", false, Wrong, "p= is missing or unknown"},
		{`-_dmarc|_dmarc.example.org 60 IN TXT "v=DMARC1; p=none; rua=mailto:d@example.org"`, "_dmarc.example.org TXT", false, Note, "asks for nothing"},
		{`-_dmarc|_dmarc.example.org 60 IN TXT "v=DMARC1; p=reject; rua=mailto:d@reports.test"`, "example.org._report._dmarc.reports.test TXT", false, Wrong, "not sent"},
		{`-_dmarc|_dmarc.example.org 60 IN TXT "v=DMARC1; p=reject; rua=mailto:x@example.org"`, "_dmarc.example.org TXT", true, Note, "not to d@example.org, where this site reads them"},
		{`-_dmarc|_dmarc.example.org 60 IN TXT "v=DMARC1; p=reject"`, "_dmarc.example.org TXT", true, Note, "but for no reports"},
		{`-_mta-sts|_mta-sts.example.org 60 IN TXT "v=STSv1; id=a-b"`, "_mta-sts.example.org TXT", false, Wrong, "1 to 32 letters"},
		{`-_mta-sts|_mta-sts.example.org 60 IN TXT "v=STSv1; id=old"`, "_mta-sts.example.org TXT", true, Wrong, "The id is not that"},
		{"-_mta-sts", "_mta-sts.example.org TXT", true, Missing, "not announced"},
		{"-mta-sts", "mta-sts.example.org A", false, Wrong, "has no address"},
		{"-_smtp._tls", "_smtp._tls.example.org TXT", false, Advice, "Nobody is told"},
		{`-_smtp._tls|_smtp._tls.example.org 60 IN TXT "v=TLSRPTv1; rua=ftp:x"`, "_smtp._tls.example.org TXT", false, Wrong, "nowhere to go"},
		{"-_imaps._tcp|_imaps._tcp.example.org 60 IN SRV 0 1 993 no.example.org.", "_imaps._tcp.example.org SRV", false, Wrong, "no.example.org has no address"},
		{"-_imaps._tcp|_imaps._tcp.example.org 60 IN SRV 0 1 1993 mx.example.org.", "_imaps._tcp.example.org SRV", true, Wrong, "where this site does not listen"},
		{"-_imaps._tcp", "_imaps._tcp.example.org SRV", true, Advice, "have to guess"},
	} {
		records := right()
		for change := range strings.SplitSeq(x.change, "|") {
			gone, ok := strings.CutPrefix(change, "-")
			if !ok {
				records = append(records, change)
				continue
			}
			var left []string
			for _, r := range records {
				if !strings.HasPrefix(r, gone) {
					left = append(left, r)
				}
			}
			if len(left) == len(records) {
				t.Fatalf("%s: nothing is taken away", gone)
			}
			records = left
		}
		o := Options{}
		if x.ours {
			o.Wanted = wanted()
		}
		seen := false
		found := check(t, records, o)
		for _, f := range found {
			seen = seen || f.Name+" "+f.Type == x.where && f.State == x.state && strings.Contains(f.Says, x.says)
		}
		if !seen {
			t.Errorf("%s: no %s of %s with %q in\n%+v", x.change, x.state, x.where, x.says, found)
		}
	}
}

// Records that no signature vouches for are not told to be of use, and servers that
// do not answer are not told to have none.
func TestUnsigned(t *testing.T) {
	t.Parallel()
	server := dnstest.New(t, right()...)
	server.Fail("_dmarc.example.org", dnstest.ServFail)
	o := Options{Resolver: dns.New(dns.Options{Servers: []string{server.Addr()}, TrustAD: true})}
	var states []State
	for _, f := range Check(t.Context(), o, "example.org") {
		if f.Type == "TLSA" || f.Name == "_dmarc.example.org" {
			states = append(states, f.State)
		}
	}
	if len(states) != 2 || states[0] != Note || states[1] != Wrong {
		t.Errorf("%v", states)
	}
}

func TestNoMail(t *testing.T) {
	t.Parallel()
	found := check(t, []string{"example.org 60 IN MX 0 .", `example.org 60 IN TXT "v=spf1 -all"`, `_dmarc.example.org 60 IN TXT "v=DMARC1; p=reject; rua=mailto:d@example.org"`}, Options{})
	for _, f := range found {
		if f.Bad() && !strings.Contains(f.Name, "_domainkey") || f.State == Advice {
			t.Errorf("%+v", f)
		}
	}
}
