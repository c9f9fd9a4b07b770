package dane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// issued is a certificate and its key.
type issued struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func issue(t *testing.T, name string, parent *issued, ends time.Time) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: now.Add(-time.Hour), NotAfter: ends, BasicConstraintsValid: true,
	}
	if strings.Contains(name, ".") {
		template.DNSNames = []string{name}
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	} else {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
	}
	signer, signKey := template, key
	if parent != nil {
		signer, signKey = parent.cert, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, signer, key.Public(), signKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{cert, key}
}

// What authenticates a host, RFC 7671 section 5 and RFC 7672 section 3.
func TestVerify(t *testing.T) {
	t.Parallel()
	later := now.Add(24 * time.Hour)
	root := issue(t, "root", nil, later)
	middle := issue(t, "middle", root, later)
	host := issue(t, "mx.example.org", middle, later)
	expired := issue(t, "mx.example.org", middle, now.Add(-time.Minute))
	alone := issue(t, "mx.example.org", nil, later)
	other := issue(t, "mx.example.org", nil, later)
	chain := func(list ...*issued) []*x509.Certificate {
		var certs []*x509.Certificate
		for _, x := range list {
			certs = append(certs, x.cert)
		}
		return certs
	}
	whole := chain(host, middle, root)
	record := func(x *issued, usage, selector, matching uint8) Record { return New(x.cert, usage, selector, matching) }
	name := []string{"mx.example.org"}
	for _, c := range []struct {
		what    string
		records []Record
		chain   []*x509.Certificate
		names   []string
		ok      bool
	}{
		{"3 1 1", []Record{record(host, EE, PublicKey, SHA256)}, whole, name, true},
		{"3 0 1", []Record{record(host, EE, FullCert, SHA256)}, whole, name, true},
		{"3 0 2", []Record{record(host, EE, FullCert, SHA512)}, whole, name, true},
		{"3 0 0", []Record{record(host, EE, FullCert, Full)}, whole, name, true},
		{"3 1 0", []Record{record(host, EE, PublicKey, Full)}, whole, name, true},
		{"3 1 1 of another key", []Record{record(other, EE, PublicKey, SHA256)}, whole, name, false},
		{"3 1 1 of the anchor", []Record{record(root, EE, PublicKey, SHA256)}, whole, name, false},
		{"3 1 1 cares for neither name", []Record{record(host, EE, PublicKey, SHA256)}, whole, []string{"other.test"}, true},
		{"nor time", []Record{record(expired, EE, PublicKey, SHA256)}, chain(expired), name, true},
		{"one of two", []Record{record(other, EE, PublicKey, SHA256), record(host, EE, PublicKey, SHA256)}, whole, name, true},
		{"2 0 1", []Record{record(root, TA, FullCert, SHA256)}, whole, name, true},
		{"2 1 1 in the middle", []Record{record(middle, TA, PublicKey, SHA256)}, whole, name, true},
		{"2 1 1, next-hop domain in the certificate", []Record{record(root, TA, PublicKey, SHA256)}, whole, []string{"other.test", "mx.example.org"}, true},
		{"2 0 1, wrong name", []Record{record(root, TA, FullCert, SHA256)}, whole, []string{"other.test"}, false},
		{"2 0 1, expired", []Record{record(root, TA, FullCert, SHA256)}, chain(expired, middle, root), name, false},
		{"2 0 1, not in the chain", []Record{record(root, TA, FullCert, SHA256)}, chain(host, middle), name, false},
		{"2 0 0, not in the chain", []Record{record(root, TA, FullCert, Full)}, chain(host, middle), name, true},
		{"2 0 1 of the host's own", []Record{record(host, TA, FullCert, SHA256)}, whole, name, false},
		{"2 0 1 of one that signed itself", []Record{record(alone, TA, FullCert, SHA256)}, chain(alone), name, true},
		{"2 0 1 of an anchor that signed nothing here", []Record{record(root, TA, FullCert, SHA256)}, chain(alone, root), name, false},
		{"the stronger digest decides", []Record{record(host, EE, PublicKey, SHA256), record(other, EE, PublicKey, SHA512)}, whole, name, false},
		{"but only of the same kind", []Record{record(host, EE, PublicKey, SHA256), record(other, EE, FullCert, SHA512)}, whole, name, true},
		{"PKIX-EE is not usable", []Record{record(host, PKIXEE, PublicKey, SHA256)}, whole, name, false},
		{"no certificate", []Record{record(host, EE, PublicKey, SHA256)}, nil, name, false},
	} {
		got, err := Verify(c.records, c.chain, c.names, now)
		if (err == nil) != c.ok {
			t.Errorf("%s: %v %v", c.what, got, err)
		}
		if err == nil && !got.Usable() {
			t.Errorf("%s: matched by %v", c.what, got)
		}
	}
	if _, err := Verify([]Record{record(other, EE, PublicKey, SHA256)}, whole, name, now); !errors.Is(err, ErrNoMatch) {
		t.Errorf("no match is told as %v", err)
	}
}

func TestUsable(t *testing.T) {
	t.Parallel()
	cert := issue(t, "mx.example.org", nil, now.Add(time.Hour)).cert
	sum := make([]byte, 32)
	for _, c := range []struct {
		r    Record
		want bool
	}{
		{Record{EE, PublicKey, SHA256, sum}, true}, {Record{TA, FullCert, SHA512, append(sum, sum...)}, true},
		{Record{PKIXTA, PublicKey, SHA256, sum}, false}, {Record{PKIXEE, PublicKey, SHA256, sum}, false},
		{Record{4, PublicKey, SHA256, sum}, false}, {Record{EE, 2, SHA256, sum}, false}, {Record{EE, PublicKey, 3, sum}, false},
		{Record{EE, PublicKey, SHA256, sum[1:]}, false}, {Record{EE, PublicKey, SHA512, sum}, false},
		{Record{EE, FullCert, Full, sum}, false}, {Record{EE, PublicKey, Full, sum}, false}, {Record{EE, PublicKey, SHA256, nil}, false},
		{New(cert, TA, FullCert, Full), true}, {New(cert, EE, PublicKey, Full), true},
	} {
		if c.r.Usable() != c.want {
			t.Errorf("%v: usable %v", c.r.short(), !c.want)
		}
	}
	if got := (Record{3, 1, 1, []byte{0xab, 1}}).String(); got != "3 1 1 ab01" {
		t.Error(got)
	}
}

func FuzzVerify(f *testing.F) {
	f.Add(uint8(3), uint8(1), uint8(1), make([]byte, 32))
	f.Add(uint8(2), uint8(0), uint8(0), []byte{0x30, 0x03, 1, 2, 3})
	f.Fuzz(func(t *testing.T, usage, selector, matching uint8, data []byte) {
		r := Record{usage, selector, matching, data}
		if _, err := Verify([]Record{r}, []*x509.Certificate{{Raw: []byte("x")}}, []string{"a.test"}, now); err == nil && matching != Full {
			t.Errorf("%v matches a certificate that nobody made", r)
		}
	})
}
