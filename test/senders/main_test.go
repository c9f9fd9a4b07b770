// Package senders has others check what plic signs and seals, has plic check what
// others do, and compares what they say of the same messages: OpenDKIM, Mail::DKIM and
// OpenDMARC from Debian, and mailauth from npm.
package senders

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plic/internal/arc"
	"plic/internal/check/sender"
	"plic/internal/dkim"
	"plic/internal/dns"
	"plic/internal/dns/dnstest"
	"plic/internal/mail"
	"plic/internal/message"
)

// letters are bodies and headers that canonicalisations treat differently.
func letters() []string {
	const date = "Date: Thu, 26 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n"
	return []string{
		"From: ann@example.org\r\nTo: bob@example.com\r\nSubject: plain\r\n" + date + "\r\nWords.\r\n",
		"From:  Ann \r\n\t<ann@example.org>  \r\nSUBJECT:  folded\r\n \t subject\r\nTo:bob@example.com\r\n" + date + "\r\n \r\nA \t line \r\n\r\n\r\n",
		"From: ann@example.org\r\nSubject: long\r\n" + date + "Received: by a\r\nReceived: by b\r\nX-Empty:\r\n\r\n" + strings.Repeat("A line of text.\r\n", 5000),
	}
}

// world is the keys of some domains, and the DNS that has them.
type world struct {
	dir     string
	dns     *dnstest.Server
	records map[string][]string // TXT
	rsa, ed crypto.Signer
}

func newWorld(t *testing.T) *world {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{dir: t.TempDir(), records: map[string][]string{}, rsa: key, ed: ed, dns: dnstest.New(t)}
	for _, domain := range []string{"example.org", "example.net", "one.test", "two.test", "three.test"} {
		w.text(t, "s._domainkey."+domain, record(t, key))
		w.text(t, "e._domainkey."+domain, record(t, ed))
	}
	w.write(t, "key.pem", string(pemOf(t, key)))
	return w
}

func record(t *testing.T, key crypto.Signer) string {
	t.Helper()
	text, err := dkim.Record(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func pemOf(t *testing.T, key crypto.Signer) []byte {
	t.Helper()
	if k, ok := key.(*rsa.PrivateKey); ok {
		return pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(k)})
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// text puts a text into the DNS.
func (w *world) text(t *testing.T, name, text string) {
	t.Helper()
	w.records[name] = append(w.records[name], text)
	parts := ""
	for rest := text; rest != ""; {
		n := min(len(rest), 200)
		parts += ` "` + rest[:n] + `"`
		rest = rest[n:]
	}
	if err := w.dns.Add(name + ". 60 IN TXT" + parts); err != nil {
		t.Fatal(err)
	}
}

func (w *world) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(w.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (w *world) resolver() dns.Resolver {
	return dns.New(dns.Options{Servers: []string{w.dns.Addr()}})
}

// signed is a message with our signature before it.
func (w *world) signed(t *testing.T, domain string, key crypto.Signer, header, body dkim.Canon, text string) string {
	t.Helper()
	selector := "s"
	if _, ok := key.(ed25519.PrivateKey); ok {
		selector = "e"
	}
	s := &dkim.Signer{Domain: domain, Selector: selector, Key: key, Header: header, Body: body, Now: time.Now}
	field, err := s.Sign(read(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return string(field) + text
}

// sealed is a message with our seal before it.
func (w *world) sealed(t *testing.T, domain, text string) string {
	t.Helper()
	m := read(t, text)
	chain := w.chain(t, text)
	s := &dkim.Signer{Domain: domain, Selector: "s", Key: w.rsa, Header: dkim.Relaxed, Body: dkim.Relaxed, Now: time.Now}
	set, err := arc.Seal(s, m, chain, domain+"; arc="+string(chain.Status)+"; dmarc=pass header.from=example.org")
	if err != nil {
		t.Fatal(err)
	}
	return string(set) + text
}

func read(t *testing.T, text string) *dkim.Message {
	t.Helper()
	m, err := dkim.Read(strings.NewReader(text), int64(len(text)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (w *world) chain(t *testing.T, text string) arc.Chain {
	t.Helper()
	c, err := (&arc.Verifier{Resolver: w.resolver(), Now: time.Now}).Verify(t.Context(), read(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// verified says that a message has one signature, which holds.
func (w *world) verified(t *testing.T, name, text string) {
	t.Helper()
	results, err := (&dkim.Verifier{Resolver: w.resolver(), Now: time.Now}).Verify(t.Context(), read(t, text))
	if err != nil || len(results) != 1 || results[0].Status != dkim.Pass {
		t.Errorf("%s: %v %+v in\n%.1500s", name, err, results, text)
	}
}

// examined is all that plic finds of who has sent a message.
func (w *world) examined(t *testing.T, ip, from, text string) *sender.Findings {
	t.Helper()
	c := sender.New(sender.Options{Resolver: w.resolver(), Host: "mx.test"})
	msg, err := message.Parse(strings.NewReader(text), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := c.Check(t.Context(), envelope(ip, from), msg, mail.Bytes([]byte(text)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func envelope(ip, from string) *mail.Envelope {
	return &mail.Envelope{
		From: mail.MustAddress(from), To: []mail.Recipient{{Address: mail.MustAddress("bob@example.com")}},
		Origin: mail.Origin{Service: "smtp", Helo: "mx.example.org", Remote: netip.AddrPortFrom(netip.MustParseAddr(ip), 1)},
	}
}

// run gives what a program prints, which must succeed.
func run(t *testing.T, in string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, trouble bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &out, &trouble
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", name, err, out.String(), trouble.String())
	}
	return out.String()
}

// canons are the ways to make header and body canonical.
func canons() [][2]dkim.Canon {
	return [][2]dkim.Canon{{dkim.Simple, dkim.Simple}, {dkim.Simple, dkim.Relaxed}, {dkim.Relaxed, dkim.Simple}, {dkim.Relaxed, dkim.Relaxed}}
}
