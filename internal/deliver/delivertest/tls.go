package delivertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"time"
)

// Certificate makes a self-signed certificate for names and addresses, and the
// pool of roots that trusts it.
func Certificate(names ...string) (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // the system's random source is gone
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "delivertest"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), // whatever the clock of the test
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err) // the template is ours
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots
}

// ServerTLS is a configuration with such a certificate.
func ServerTLS(names ...string) *tls.Config {
	certificate, _ := Certificate(names...)
	return &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
}

// tlsTrials are hosts that offer STARTTLS. An opportunistic delivery goes on
// without it, but not when somebody meddles.
func tlsTrials() []trial {
	config := ServerTLS("mx.test")
	inject := func(c *Conn) {
		io.WriteString(c, "220 go ahead\r\n250-mx.test\r\n250 AUTH PLAIN\r\n")
		c.Handshake()
	}
	garbage := func(c *Conn) { c.Reply("this is no TLS record, is it"); c.End() }
	return []trial{
		{name: "tls/good", remote: &Remote{TLS: config, Extensions: pipelining}, want: "2", taken: 1},
		{name: "tls/454", remote: &Remote{TLS: config, On: at("STARTTLS", say("454 4.7.0 not now"))}, want: "2", taken: 1},
		{name: "tls/garbage", remote: &Remote{TLS: config, On: at("HANDSHAKE", garbage)}, want: "2", taken: 1},
		{name: "tls/dropped", remote: &Remote{TLS: config, On: at("HANDSHAKE", (*Conn).End)}, want: "2", taken: 1},
		{name: "tls/silence", remote: &Remote{TLS: config, On: at("HANDSHAKE", (*Conn).Wait)}, want: "2", taken: 1},
		{name: "tls/injection", remote: &Remote{TLS: config, On: at("STARTTLS", inject)}, want: "4"},
		{name: "tls/421", remote: &Remote{TLS: config, On: at("STARTTLS", closing)}, want: "4"},
	}
}
