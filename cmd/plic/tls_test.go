package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/control"
	"plic/internal/control/controltest"
	"plic/internal/mail"
	"plic/internal/tlsrpt"
)

func TestTLSCommands(t *testing.T) {
	t.Parallel()
	site := &controltest.Site{Policies: []control.TLSPolicy{
		{Domain: "example.net", Host: "mx.example.net", Addresses: []string{"192.0.2.1", "2001:db8::1"}, Policy: "dane: 1 TLSA of mx.example.net",
			Needs: "TLS with the right certificate", Evidence: []string{"TLSA of _25._tcp.mx.example.net, validated: 3 1 1 ab", "the host must show what a TLSA record names"}},
		{Domain: "example.net", Host: "mx2.example.net", Policy: "dane: x", Needs: "no mail goes there now", Refused: "451 4.7.5 \x1b[2J"},
	}}
	site.Records = []control.Record{
		{Name: "_25._tcp.mx.example.org", Type: "TLSA", Value: "3 1 1 ab", Why: "the key", Published: true},
		{Name: "_mta-sts.example.org", Type: "TXT", Value: "v=STSv1; id=1", Why: "the policy"},
	}
	site.Shown = control.Certificate{
		Names: []string{"mx.example.org", "192.0.2.7"}, Issuer: "CN=x", Serial: "ab", Source: "the authority y", From: time.Unix(0, 0), Until: time.Unix(8e6, 0),
		Renewal: time.Unix(5e6, 0), Why: "it was asked for", Page: "https://ca.test/why", Trouble: "not renewed: no",
	}
	dir := serve(t, site)
	for _, x := range []step{
		{"tls show", "", 0, "names         mx.example.org, 192.0.2.7\nissuer        CN=x\nserial        ab\nsource        the authority y\ngood from     ", ""},
		{"tls show", "", 0, "because       it was asked for\nexplained at  https://ca.test/why\ntrouble       not renewed: no\n", ""},
		{"tls show --json", "", 0, `"why":"it was asked for","page":"https://ca.test/why","trouble":"not renewed: no"}`, ""},
		{"tls records", "", 0, "NAME                      TYPE  VALUE            IN DNS  FOR\n_25._tcp.mx.example.org.  TLSA  3 1 1 ab         yes     the key\n" +
			"_mta-sts.example.org.     TXT   \"v=STSv1; id=1\"  no      the policy\n", ""},
		{"tls records --json", "", 0, `"value":"3 1 1 ab","why":"the key","published":true}`, ""},
		{"tls rotate", "", 1, "", "a record is missing"},
		{"tls rotate --force", "", 0, "", "the certificate has the next key now"},
		{"tls policy example.net", "", 0, "domain     example.net\nhost       mx.example.net\naddresses  192.0.2.1, 2001:db8::1\npolicy     dane: 1 TLSA of mx.example.net\n" +
			"needs      TLS with the right certificate\nbecause    TLSA of _25._tcp.mx.example.net, validated: 3 1 1 ab\n           the host must show what a TLSA record names\n\n", ""},
		{"tls policy example.net", "", 0, `mail gets  451 4.7.5 \u001b[2J`, ""},
		{"tls policy example.net --json", "", 0, `{"domain":"example.net","host":"mx2.example.net","policy":"dane: x"`, ""},
		{"tls policy nowhere.test", "", 1, "", "not found"},
		{"tls policy", "", 2, "", "the domain is missing"},
		{"tls forget example.net", "", 0, "", "forgot the TLS of example.net"},
		{"tls forget", "", 2, "", "the domain is missing"},
	} {
		x.check(t, plic(t, dir, "", strings.Fields(x.args)...))
	}
	if !slices.Contains(site.Calls, "forget example.net") || !slices.Contains(site.Calls, "rotate") {
		t.Errorf("the server was told %v", site.Calls)
	}
}

func TestTLSReports(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	day := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	r := &tlsrpt.Report{
		Organization: "Big", Contact: "x@big.test", ID: "1", Range: tlsrpt.Range{Start: day, End: day.Add(24*time.Hour - time.Second)},
		Policies: []tlsrpt.Findings{{
			Policy: tlsrpt.Policy{Type: tlsrpt.PolicySTS, Domain: "example.org"}, Summary: tlsrpt.Summary{Success: 40, Failure: 3},
			Failures: []tlsrpt.Failure{{Type: tlsrpt.Expired, Host: "mx.example.org", Count: 2}, {Type: tlsrpt.NoSTARTTLS, Host: "mx.example.org", Count: 1}},
		}},
	}
	packed, err := r.Gzip()
	if err != nil {
		t.Fatal(err)
	}
	letter, err := r.Message(tlsrpt.Letter{From: mail.MustAddress("x@big.test"), To: mail.MustAddress("tls@example.org"), Submitter: "big.test", Domain: "example.org", MessageID: "1@big.test"})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"a.json.gz": packed, "b.eml": letter, "c.eml": []byte("Subject: no\r\n\r\nreport\r\n")} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	row := "2026-11-25  Big   example.org  sts     40    3\n"
	for _, x := range []step{
		{"tlsrpt read a.json.gz b.eml", "", 0, "DAY         FROM  DOMAIN       POLICY  GOOD  FAILED\n" + row + row +
			"\nSESSIONS  FAILURE                 HOST            FROM\n4         certificate-expired     mx.example.org  Big\n2         starttls-not-supported  mx.example.org  Big\n", ""},
		{"tlsrpt read b.eml --json", "", 0, `"total-successful-session-count":40`, ""},
		{"tlsrpt read c.eml b.eml d.eml", "", 1, row, "c.eml: read a TLS report: there is none in this message"},
		{"tlsrpt read", string(letter), 0, row, ""},
	} {
		x.check(t, plic(t, dir, x.stdin, strings.Fields(x.args)...))
	}
}

func TestTLSReportsByMail(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	site := &controltest.Site{TLSReports: []control.TLSReport{{At: day, From: "x@big.test", Signed: []string{"big.test"}, Report: tlsrpt.Report{
		Organization: "Big", ID: "1", Range: tlsrpt.Range{Start: day, End: day},
		Policies: []tlsrpt.Findings{{Policy: tlsrpt.Policy{Type: tlsrpt.PolicySTS, Domain: "example.org"}, Summary: tlsrpt.Summary{Success: 40, Failure: 3}}},
	}}}}
	dir := serve(t, site)
	for _, x := range []step{
		{"tlsrpt list", "", 0, "2026-11-25  Big   example.org  sts     40    3\n", ""},
		{"tlsrpt list --days 7 --json", "", 0, `"signed":["big.test"]`, ""},
	} {
		x.check(t, plic(t, dir, x.stdin, strings.Fields(x.args)...))
	}
}
