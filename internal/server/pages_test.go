package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/dns/dnstest"
	"plic/internal/mail"
	"plic/internal/mtasts"
	"plic/internal/queue"
	"plic/internal/tlsrpt"
)

// browser asks the web server of a site, trusting its authority, for pages of a
// kind.
func browser(t *testing.T, s *Server, at, kind string) func(host, path string) (int, string) {
	t.Helper()
	ca, err := os.ReadFile(s.CA())
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return func(host, path string) (int, string) {
		t.Helper()
		c := http.Client{Timeout: time.Minute, Transport: &http.Transport{
			DisableKeepAlives: true, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots},
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", at)
			},
		}}
		answer, err := c.Get("https://" + host + path)
		if err != nil {
			return 0, err.Error()
		}
		defer answer.Body.Close()
		text, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode == http.StatusOK && answer.Header.Get("Content-Type") != kind {
			t.Errorf("%s%s: %v, %v", host, path, answer.Header, err)
		}
		return answer.StatusCode, string(text)
	}
}

// Our own policy is served for our domains and no others, follows a reload, and
// its id follows the policy.
func TestPolicyIsServed(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.Listen.HTTPS = []string{"127.0.0.1:0"}
	c.MTASTS.Mode = config.STSEnforce
	s, at, _ := start(t, c)
	o := s.Operations()
	if err := o.Directory.AddDomain(t.Context(), "here.test"); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(c); err != nil { // the certificate has the new name
		t.Fatal(err)
	}
	get := browser(t, s, at["https"], "text/plain")
	const path = "/.well-known/mta-sts.txt"
	code, text := get("mta-sts.here.test", path)
	p, err := mtasts.Parse([]byte(text))
	if code != 200 || err != nil || p.Mode != mtasts.Enforce || !p.Matches("mx.here.test") || p.Matches("other.test") || p.MaxAge != 7*24*time.Hour {
		t.Errorf("%d %q: %+v %v", code, text, p, err)
	}
	for _, x := range [][2]string{{"mx.here.test", path}, {"localhost", path}, {"mta-sts.here.test", "/"}, {"mta-sts.here.test", "/.well-known/acme-challenge/x"}} {
		if code, text := get(x[0], x[1]); code != 404 {
			t.Errorf("%s%s: %d %q", x[0], x[1], code, text)
		}
	}
	id := recordOf(t, o, "TXT")
	testing := *c
	testing.MTASTS.Mode, testing.MTASTS.MX = config.STSTesting, []string{"*.here.test"}
	if err := s.Reload(&testing); err != nil {
		t.Fatal(err)
	}
	if code, text := get("mta-sts.here.test", path); code != 200 || !strings.Contains(text, "mode: testing\r\nmx: *.here.test\r\n") {
		t.Errorf("after a reload: %d %q", code, text)
	}
	if other := recordOf(t, o, "TXT"); other.Value == id.Value || !strings.HasPrefix(other.Value, "v=STSv1; id=") || other.Name != "_mta-sts.here.test" {
		t.Errorf("the record was %+v, is %+v", id, other)
	}
	off := *c
	off.MTASTS.Mode = config.STSOff
	if err := s.Reload(&off); err != nil {
		t.Fatal(err)
	}
	if code, _ := get("mta-sts.here.test", path); code != 404 {
		t.Errorf("a policy that is off is served: %d", code)
	}
}

// Threats N4 and N5: the web server speaks no TLS of old, shows its one
// certificate for whatever name, and proves nothing to an authority that it
// never asked.
func TestWebTLS(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.Listen.HTTPS = []string{"127.0.0.1:0"}
	s, at, _ := start(t, c)
	dial := func(o *tls.Config) (*tls.ConnectionState, error) {
		o.InsecureSkipVerify = true
		conn, err := tls.Dial("tcp", at["https"], o)
		if err != nil {
			return nil, err
		}
		defer conn.Close()
		state := conn.ConnectionState()
		return &state, nil
	}
	for _, old := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		if _, err := dial(&tls.Config{MinVersion: old, MaxVersion: old, ServerName: "mx.here.test"}); err == nil {
			t.Errorf("%s is spoken", tls.VersionName(old))
		}
	}
	for _, proto := range []string{"acme-tls/1", "imap", "smtp"} {
		if _, err := dial(&tls.Config{NextProtos: []string{proto}, ServerName: "mx.here.test"}); err == nil {
			t.Errorf("%s is spoken", proto)
		}
	}
	for i := range 100 {
		name := fmt.Sprintf("x%d.attacker.test", i)
		state, err := dial(&tls.Config{ServerName: name})
		if err != nil || !state.PeerCertificates[0].Equal(s.keys.leaf("")) {
			t.Fatalf("%s: %v", name, err)
		}
	}
}

// Threat L2: strangers at the web server do not take the file descriptors that mail
// needs, and when they have gone others are served.
func TestWebConnections(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.Listen.HTTPS = []string{"127.0.0.1:0"}
	_, at, _ := start(t, c)
	const more = 20
	var all []net.Conn
	defer func() {
		for _, nc := range all {
			nc.Close()
		}
	}()
	for range webConnections + more {
		nc, err := net.Dial("tcp", at["https"])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, nc)
	}
	for i, nc := range all[webConnections:] {
		nc.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := nc.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("connection %d is not closed: %v", webConnections+i, err)
		}
	}
	for _, nc := range all {
		nc.Close()
	}
	for deadline := time.Now().Add(time.Minute); ; {
		nc, err := tls.Dial("tcp", at["https"], &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			nc.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// recordOf gives the last record of a type.
func recordOf(t *testing.T, o control.Operations, kind string) control.Record {
	t.Helper()
	var last control.Record
	for r, err := range o.TLS.Records(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if r.Type == kind {
			last = r
		}
	}
	return last
}

// The key changes only to one that was published, without a restart, and the
// records tell of it beforehand; a site that is not running tells the same.
func TestRotation(t *testing.T) {
	t.Parallel()
	server := dnstest.New(t)
	c := testConfig(t)
	c.DNS.Servers = []string{server.Addr()}
	s, _, stop := start(t, c)
	o := s.Operations()
	records := func(o control.Operations) []control.Record {
		t.Helper()
		var list []control.Record
		for r, err := range o.TLS.Records(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, r)
		}
		return list
	}
	before := records(o)
	if len(before) != 2 || before[0].Name != "_25._tcp.mx.here.test" || before[0].Value == before[1].Value || before[0].Published || !strings.HasPrefix(before[0].Value, "3 1 1 ") {
		t.Fatalf("records %+v", before)
	}
	if err := server.Add(before[0].Name + " 1 IN TLSA " + before[0].Value); err != nil {
		t.Fatal(err)
	}
	shown := s.keys.leaf("")
	if err := o.TLS.Rotate(t.Context(), false); err == nil || !strings.Contains(err.Error(), before[1].Value) {
		t.Errorf("a key that nobody knows is taken: %v", err)
	}
	if err := o.TLS.Rotate(t.Context(), true); err != nil {
		t.Errorf("a forced rotation: %v", err)
	}
	after := records(o)
	if after[0].Value != before[1].Value || after[1].Value == before[1].Value || bytes.Equal(s.keys.leaf("").Raw, shown.Raw) {
		t.Errorf("records were %+v, are %+v", before, after)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	offline, closer, err := Offline(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	if again := records(offline); again[0].Value != after[0].Value || again[1].Value != after[1].Value {
		t.Errorf("without a server the records are %+v, not %+v", again, after)
	}
}

// A policy that is none is found at the start.
func TestBadPolicies(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.Remote.TLSPolicies = []string{"inline:{a.test=verify, b.test=strict}"}
	s, err := New(t.Context(), Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), `remote.tls_policies: b.test: "strict" is no TLS policy`) {
		t.Errorf("%v %v", s, err)
	}
}

// The decision about a domain can be asked for, with its evidence.
func TestPolicyIsTold(t *testing.T) {
	t.Parallel()
	server := dnstest.New(t, "signed.test 60 IN MX 10 mx.signed.test.", "mx.signed.test 60 IN A 192.0.2.1",
		"_25._tcp.mx.signed.test 60 IN TLSA 3 1 1 "+strings.Repeat("ab", 32), "plain.test 60 IN MX 10 mx.plain.test.", "mx.plain.test 60 IN A 192.0.2.2", "sub.bank.test 60 IN MX 10 mx.sub.bank.test.", "mx.sub.bank.test 60 IN A 192.0.2.3")
	server.Authentic("*", true)
	c := testConfig(t)
	c.DNS.Servers, c.DNS.Trusted = []string{server.Addr()}, true
	c.Remote.TLSPolicies = []string{`inline:{.bank.test=verify, bank.test=none, other.test="fingerprint sha256:` + strings.Repeat("00", 32) + `"}`}
	s, _, _ := start(t, c)
	for domain, want := range map[string][]string{
		"signed.test":   {"dane: 1 TLSA of mx.signed.test", "TLS with the right certificate", "TLSA of _25._tcp.mx.signed.test, validated: 3 1 1 abab"},
		"sub.bank.test": {"verify: by this site's table", "TLS with a good certificate for mx.sub.bank.test", "this site's table has verify for sub.bank.test"},
		"plain.test":    {"may: the domain asks for nothing", "nothing: TLS is used if it is offered", "TLSA of _25._tcp.mx.plain.test: none"},
	} {
		n := 0
		for p, err := range s.Operations().TLS.Policy(t.Context(), domain) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			if p.Policy != want[0] || p.Needs != want[1] || !strings.Contains(strings.Join(p.Evidence, "\n"), want[2]) || p.Host != "mx."+domain {
				t.Errorf("%s: %+v", domain, p)
			}
		}
		if n != 1 {
			t.Errorf("%s: %d hosts", domain, n)
		}
	}
	for _, err := range s.Operations().TLS.Policy(t.Context(), "nowhere.test") {
		if err == nil || !strings.Contains(err.Error(), "does not exist") {
			t.Errorf("a domain that is not there: %v", err)
		}
	}
	if err := s.Operations().TLS.Forget(t.Context(), "signed.test"); err != nil {
		t.Error(err)
	}
}

// A report goes into the queue as any mail, and arrives even where TLS fails.
func TestReportIsSent(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.TLSRPT.Send = true
	names := dnstest.New(t)
	names.Fail("far.test", dnstest.ServFail) // so that it stays in the queue
	c.DNS.Servers = []string{names.Addr()}
	s, _, _ := start(t, c)
	day := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	r := &tlsrpt.Report{Organization: "x", ID: "1", Range: tlsrpt.Range{Start: day, End: day.Add(time.Hour)}}
	from, to := mail.MustAddress("postmaster@mx.here.test"), mail.MustAddress("tls@far.test")
	text, err := r.Message(tlsrpt.Letter{From: from, To: to, Submitter: "mx.here.test", Domain: "far.test", MessageID: "1@mx.here.test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.site.submit(t.Context(), from, to, text); err != nil {
		t.Fatal(err)
	}
	n := 0
	for item, err := range s.Operations().Queue.List(t.Context(), queue.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; !item.Envelope.TLSOptional || item.Envelope.From != from || item.To[0].Address != to {
			t.Errorf("%+v", item)
		}
	}
	if n != 1 {
		t.Errorf("%d items", n)
	}
}
