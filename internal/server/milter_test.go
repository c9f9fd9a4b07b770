package server

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plic/internal/config"
	"plic/internal/dkim"
	"plic/internal/dns"
	"plic/internal/dns/dnstest"
	"plic/test/peers"
)

// opendkim runs Debian's milter, which signs the mail of a domain that comes from
// anywhere, and gives where it is and the record of its key.
func opendkim(t *testing.T, domain string) (address, record string) {
	t.Helper()
	program, err := exec.LookPath("opendkim")
	if err != nil {
		program = "/usr/sbin/opendkim"
	}
	if _, err := os.Stat(program); err != nil {
		t.Fatal("opendkim is not installed: make test sees to it")
	}
	dir := t.TempDir()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	record, err = dkim.Record(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	address = peers.Loopback() + ":8891"
	host, port, _ := net.SplitHostPort(address)
	for name, text := range map[string]string{
		"key":   string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})),
		"hosts": "0.0.0.0/0\n",
		"conf": fmt.Sprintf("Mode s\nDomain %s\nSelector s\nKeyFile %s\nInternalHosts %s\nSocket inet:%s@%s\nBackground no\nSyslog no\nRequireSafeKeys no\nCanonicalization relaxed/relaxed\nPidFile %s\n",
			domain, filepath.Join(dir, "key"), filepath.Join(dir, "hosts"), port, host, filepath.Join(dir, "pid")),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, "-f", "-x", filepath.Join(dir, "conf"))
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill() })
	until, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	for {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return address, record
		}
		select {
		case <-ended:
			t.Fatalf("opendkim has ended: %s", out.String())
		case <-until.Done():
			t.Fatal("opendkim does not answer")
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// TestOpenDKIM has a real milter sign what passes, by SMTP and from a program of
// this host; what it has made of it verifies.
func TestOpenDKIM(t *testing.T) {
	t.Parallel()
	address, record := opendkim(t, "there.test")
	s := startSenders(t, func(c *config.Config) {
		c.SMTP.Milters = []string{"inet:" + address}
		c.Senders.Check = false
	})
	if got := s.send("x@there.test", "ann@here.test", "From: x@there.test\r\nTo: ann@here.test\r\nDate: Thu, 26 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@there.test>\r\nSubject: signed\r\n by a milter\r\n\r\n.."+
		strings.Repeat("a line of text\r\n", 10000)); !strings.HasPrefix(got, "250") {
		t.Fatal(got)
	}
	inbox := s.box("INBOX")
	if len(inbox) != 1 || !strings.Contains(inbox[0], "DKIM-Signature:") || !strings.Contains(inbox[0], "d=there.test") {
		t.Fatalf("%d messages: %.2000q", len(inbox), inbox)
	}
	names := dnstest.New(t, fmt.Sprintf("s._domainkey.there.test 60 IN TXT %s", quoted(record)))
	v := &dkim.Verifier{Resolver: dns.New(dns.Options{Servers: []string{names.Addr()}}), Now: time.Now}
	m, err := dkim.Read(strings.NewReader(inbox[0]), int64(len(inbox[0])))
	if err != nil {
		t.Fatal(err)
	}
	results, err := v.Verify(t.Context(), m)
	if err != nil || len(results) != 1 || results[0].Status != dkim.Pass {
		t.Errorf("%v: %+v", err, results)
	}
}

// quoted is a TXT record in pieces that fit.
func quoted(text string) string {
	var parts []string
	for len(text) > 0 {
		n := min(len(text), 250)
		parts = append(parts, fmt.Sprintf("%q", text[:n]))
		text = text[n:]
	}
	return strings.Join(parts, " ")
}

// TestMilterIsDown puts mail off while a milter cannot be asked, or lets it pass.
func TestMilterIsDown(t *testing.T) {
	t.Parallel()
	for down, want := range map[string]string{"tempfail": "451 4.7.1", "accept": "220 "} {
		s := startSenders(t, func(c *config.Config) { c.SMTP.Milters = []string{"unix:/nonexistent/milter down=" + down} })
		conn, err := net.Dial("tcp", s.at["smtp"])
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		b := make([]byte, 9)
		if _, err := conn.Read(b); err != nil || !strings.HasPrefix(string(b), want) {
			t.Errorf("%s: %q, %v", down, b, err)
		}
	}
}
