package internet

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"strings"
	"syscall"
	"testing"
	"time"

	"plic/internal/acme/acmetest"
	"plic/test/world"
)

// A site without any certificate gets one from a real authority while it runs,
// for its name and those of its policy hosts, and shows it on every port; a
// domain that is added later is in the next one, with the same key. The key
// changes only to the one that was named beforehand.
func TestACME(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.80.21")
	address := w.Address()
	own, err := w.CA.Issue([]string{address}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	url := acmetest.Start(t, acmetest.Options{Address: address + ":14000", Cert: own, DNS: w.Resolver + ":53", PagePort: 80, CertPort: 443})
	p := w.NewPlic(t, world.Site{Host: "mx.acme.test", Domain: "acme.test"})
	p.Configure(t, map[string]string{
		"tls.cert": `""`, "tls.key": `""`, "acme.directory": `"` + url + `"`, "acme.contact": `"postmaster@acme.test"`, "mta_sts.mode": `"enforce"`,
	})
	p.Start(t)
	shown := func() *x509.Certificate {
		t.Helper()
		c, err := tls.Dial("tcp", p.Address+":993", &tls.Config{InsecureSkipVerify: true}) // who signed it is what is asked
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		cert := c.ConnectionState().PeerCertificates[0]
		return cert
	}
	byAuthority := func(c *x509.Certificate) bool { return strings.Contains(c.Issuer.CommonName, "Pebble") }
	var first *x509.Certificate
	world.Wait(t, "a certificate of the authority", func() bool { first = shown(); return byAuthority(first) })
	if err := first.VerifyHostname("mx.acme.test"); err != nil {
		t.Error(err)
	}
	if records := p.Run(t, "tls", "records"); !strings.Contains(records, "_25._tcp.mx.acme.test.") {
		t.Errorf("records:\n%s", records)
	}
	if told := p.Run(t, "tls", "show"); !strings.Contains(told, "the authority "+url) || !strings.Contains(told, "the authority asks for it between") {
		t.Errorf("the certificate:\n%s", told)
	}
	w.Record(t, "mta-sts.acme.test. 60 IN A "+p.Address)
	p.Domain(t, "acme.test")
	p.Signal(t, syscall.SIGHUP)
	var second *x509.Certificate
	world.Wait(t, "a certificate with the new name", func() bool {
		second = shown()
		return second.VerifyHostname("mta-sts.acme.test") == nil && byAuthority(second)
	})
	if !bytes.Equal(second.RawSubjectPublicKeyInfo, first.RawSubjectPublicKeyInfo) {
		t.Error("a new certificate came with a new key")
	}
	p.Run(t, "tls", "rotate", "--force")
	if third := shown(); bytes.Equal(third.RawSubjectPublicKeyInfo, first.RawSubjectPublicKeyInfo) || !byAuthority(third) {
		t.Error("the key did not change")
	}
	has(t, "the log", p.Log(), "got a certificate")
}
