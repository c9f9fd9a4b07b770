package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plic/internal/control"
	"plic/internal/control/controltest"
	"plic/internal/dkim"
	"plic/internal/dns/dnstest"
)

func TestCheckSPF(t *testing.T) {
	zone := dnstest.New(t,
		`example.org 60 IN TXT "v=spf1 ip4:192.0.2.3 -all exp=why.example.org"`,
		`why.example.org 60 IN TXT "ask %{r} for %{i}"`)
	for _, x := range []struct {
		args string
		code int
		want string
	}{
		{"192.0.2.3 mx.example.org ann@example.org", exitOK, `pass 192.0.2.3 matches "ip4:192.0.2.3" of example.org` + "\n"},
		{"192.0.2.4 mx.example.org <ann@example.org>", exitOK, "fail 192.0.2.4 matches \"-all\" of example.org; the domain says: ask mx.plic.test for 192.0.2.4\n"},
		{"192.0.2.4 mx.example.org <>", exitOK, "none mx.example.org has no record\n"},
		{"192.0.2.3 mx.example.org ann@example.org --json", exitOK, `"result":"pass"`},
		{"192.0.2.300 mx.example.org ann@example.org", exitUsage, "is no IP address"},
		{"192.0.2.3 mx.example.org", exitUsage, "is missing"},
	} {
		args := append([]string{"check", "spf", "--resolver", zone.Addr(), "--host", "mx.plic.test"}, strings.Fields(x.args)...)
		got := plic(t, t.TempDir(), "", args...)
		if got.code != x.code || !strings.Contains(got.out+got.err, x.want) {
			t.Errorf("%s: exit %d\n%s%s", x.args, got.code, got.out, got.err)
		}
	}
}

// TestSignAndCheck signs a letter as an author and two forwarders would, and
// asks for each result on the way.
func TestSignAndCheck(t *testing.T) {
	dir := t.TempDir()
	zone := dnstest.New(t, `_dmarc.example.org 60 IN TXT "v=DMARC1; p=reject"`)
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "k.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	record, err := dkim.Record(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	for _, domain := range []string{"example.org", "list.example", "other.example"} {
		if err := zone.Add(`s._domainkey.` + domain + ` 60 IN TXT "` + record + `"`); err != nil {
			t.Fatal(err)
		}
	}
	run := func(letter string, args ...string) string {
		t.Helper()
		got := plic(t, dir, letter, args...)
		if got.code != exitOK {
			t.Fatalf("%q: exit %d\n%s%s", args, got.code, got.out, got.err)
		}
		return got.out
	}
	check := func(letter, kind, want string) {
		t.Helper()
		if got := run(letter, "check", kind, "--resolver", zone.Addr()); !strings.HasPrefix(got, want) {
			t.Errorf("%s: %swant %s", kind, got, want)
		}
	}
	letter := "From: ann@example.org\nTo: bob@example.com\nSubject: hello\n\nWords.\n"
	check(letter, "dkim", "none ")
	check(letter, "arc", "none ")
	check(letter, "dmarc", "fail nobody vouches for example.org")
	letter = run(letter, "sign", "dkim", "--domain", "example.org", "--selector", "s", "--key", "k.pem") + letter
	check(letter, "dkim", "pass signed by example.org with the key s, ed25519-sha256")
	check(letter, "dmarc", "pass DKIM of example.org vouches for example.org")
	for _, domain := range []string{"list.example", "other.example"} {
		letter = run(letter, "sign", "arc", "--domain", domain, "--selector", "s", "--key", "k.pem", "--resolver", zone.Addr()) + letter
	}
	check(letter, "arc", "pass all 2 seals hold, the last is of other.example")
	check(strings.Replace(letter, "Words", "Swords", 1), "arc", "fail signature 2 of other.example: the body was changed")
	check(strings.Replace(letter, "Words", "Swords", 1), "dkim", "fail signature of example.org with the key s: the body was changed")
	check("From: a@example.org\nFrom: b@example.org\n\n", "dmarc", "permerror ")
	got := plic(t, dir, letter, "sign", "dkim", "--domain", "example.org")
	if got.code != exitUsage {
		t.Errorf("without a key: %+v", got)
	}
}

// TestCheckDNS holds the records of a domain of a site, and of another, against what
// they should be.
func TestCheckDNS(t *testing.T) {
	zone := dnstest.New(t, `example.org 60 IN MX 10 mx.example.org.`, `mx.example.org 60 IN A 192.0.2.3`, `example.net 60 IN MX 0 .`,
		`example.net 60 IN TXT "v=spf1 -all"`, `_dmarc.example.net 60 IN TXT "v=DMARC1; p=reject"`, `s._domainkey.example.net 60 IN TXT "v=DKIM1; p="`)
	site := &controltest.Site{}
	site.Records = []control.Record{{Name: "_imaps._tcp.example.org", Type: "SRV", Value: "0 1 993 mail.example.org."}}
	dir := serve(t, site)
	for _, x := range []struct {
		args string
		code int
		want string
	}{
		{"example.org", exitFailed, "good    example.org MX: Mail goes there.\n"},
		{"example.org", exitFailed, "missing 192.0.2.3 PTR: The address has no name: many refuse mail that comes from it.\n        should be mx.example.org.\n"},
		{"example.org", exitFailed, "advice  _imaps._tcp.example.org SRV: Mail programs have to guess (RFC 6186).\n        should be 0 1 993 mail.example.org.\n"},
		{"example.org --json", exitFailed, `{"state":"good","name":"example.org","type":"MX","value":"10 mx.example.org.","says":"Mail goes there."}`},
		{"example.org", exitFailed, "records of example.org are missing or wrong"},
		{"example.net", exitOK, "note    example.net MX: The domain takes no mail (RFC 7505).\n"},
		{"example.net --selector s", exitFailed, "wrong   s._domainkey.example.net TXT: The key of DKIM cannot be used: the key at s._domainkey.example.net: it was revoked.\n"},
		{"exa mple", exitUsage, ""},
	} {
		got := plic(t, dir, "", append([]string{"check", "dns", "--resolver", zone.Addr()}, strings.Fields(x.args)...)...)
		if got.code != x.code || !strings.Contains(got.out+got.err, x.want) {
			t.Errorf("%s: exit %d\n%s%s", x.args, got.code, got.out, got.err)
		}
	}
}
