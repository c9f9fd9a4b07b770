package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/dns"
	"plic/internal/dns/dnstest"
	"plic/internal/mail"
	"plic/internal/store"
)

func testConfig(t *testing.T) *config.Config {
	c := config.Default()
	c.Hostname = mail.MustDomain("mx.here.test")
	c.DataDir = t.TempDir()
	c.Store.Reserve = 0
	c.Auth.HashMemory, c.Auth.HashRounds = 8<<20, 1
	here := []string{"127.0.0.1:0"}
	c.Listen = config.Listen{SMTP: here, IMAP: here, POP3: here, HTTP: here}
	return c
}

// start runs a server until the test ends and gives its addresses.
func start(t *testing.T, c *config.Config) (*Server, map[string]string, func() error) {
	t.Helper()
	up, ended := make(chan struct{}), make(chan error, 1)
	s, err := New(t.Context(), Options{Config: c, Log: slog.New(slog.DiscardHandler), Up: func(*Server) { close(up) }})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-up:
	case err := <-ended:
		cancel()
		t.Fatalf("the server does not start: %v", err)
	}
	stopped := false
	stop := func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() { stop() })
	at := map[string]string{}
	for _, e := range s.Endpoints() {
		at[e.Service] = e.Address
	}
	return s, at, stop
}

func dialLine(t *testing.T, address string) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(conn)
	if _, err := r.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	return conn, r
}

func say(t *testing.T, conn net.Conn, r *bufio.Reader, line string) string {
	t.Helper()
	fmt.Fprintf(conn, "%s\r\n", line)
	answer, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return strings.TrimSpace(answer)
}

// TestReload holds a reload to its word: what is live applies to new
// connections, none is dropped, and a configuration that cannot work changes
// nothing.
func TestReload(t *testing.T) {
	c := testConfig(t)
	s, at, _ := start(t, c)
	old, oldLines := dialLine(t, at["smtp"])
	say(t, old, oldLines, "HELO me")
	size := func(conn net.Conn, r *bufio.Reader) string {
		return say(t, conn, r, "MAIL FROM:<a@there.test> SIZE=200000")
	}
	smaller := *c
	smaller.SMTP.MessageSize = 100000
	if err := s.Reload(&smaller); err != nil {
		t.Fatal(err)
	}
	next, nextLines := dialLine(t, at["smtp"])
	say(t, next, nextLines, "EHLO me")
	for line := ""; !strings.HasPrefix(line, "250 "); {
		line, _ = nextLines.ReadString('\n')
	}
	if got := size(next, nextLines); !strings.HasPrefix(got, "552") {
		t.Errorf("a new connection: %s, want the new limit", got)
	}
	if got := say(t, old, oldLines, "NOOP"); !strings.HasPrefix(got, "250") {
		t.Errorf("the old connection: %s", got)
	}
	broken := smaller
	broken.TLS.Cert, broken.TLS.Key = filepath.Join(c.DataDir, "none.pem"), filepath.Join(c.DataDir, "none.pem")
	if err := s.Reload(&broken); err == nil {
		t.Error("a certificate that is not there is no error")
	}
	if got := say(t, next, nextLines, "NOOP"); !strings.HasPrefix(got, "250") {
		t.Errorf("after a reload that failed: %s", got)
	}
	if got := get(t, "http://"+at["http"]+"/health"); !strings.Contains(got, `"status": "ok"`) {
		t.Errorf("health: %s", got)
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestSubmitAndStop sees mail of our own taken, told of in metrics and journal,
// and still there after a stop.
func TestSubmitAndStop(t *testing.T) {
	c := testConfig(t)
	s, at, stop := start(t, c)
	people := s.Operations().Directory
	if err := people.AddDomain(t.Context(), "here.test"); err != nil {
		t.Fatal(err)
	}
	if err := people.AddAccount(t.Context(), "ann@here.test", "password"); err != nil {
		t.Fatal(err)
	}
	ann := mail.MustAddress("ann@here.test")
	if err := s.Submit(t.Context(), ann, ann, []byte("Subject: x\r\n\r\nhello\r\n")); err != nil {
		t.Fatal(err)
	}
	if got := get(t, "http://"+at["http"]+"/metrics"); !strings.Contains(got, `kind="deliver",service="local"`) {
		t.Error("the delivery is not in the metrics")
	}
	if _, _, err := Offline(t.Context(), c, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a data directory was opened twice")
	}
	if err := stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	o, closer, err := Offline(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer closer.Close()
	for a, err := range o.Directory.Accounts(t.Context()) {
		if err != nil || a.Name != "ann@here.test" {
			t.Error(a, err)
		}
	}
	if _, err := os.Stat(filepath.Join(c.DataDir, "control.sock")); !os.IsNotExist(err) {
		t.Errorf("the control socket is left behind: %v", err)
	}
}

// TestReverse is iprev, RFC 8601 section 2.7.3: a name counts only if it leads
// back.
func TestReverse(t *testing.T) {
	server := dnstest.New(t,
		"1.2.0.192.in-addr.arpa. PTR honest.test.", "honest.test. A 192.0.2.1",
		"2.2.0.192.in-addr.arpa. PTR liar.test.", "liar.test. A 192.0.2.9",
		"3.2.0.192.in-addr.arpa. PTR nowhere.test.",
		"1.0.0.127.in-addr.arpa. PTR here.test.", "here.test. A 127.0.0.1",
	)
	s := &site{resolver: dns.New(dns.Options{Servers: []string{server.Addr()}})}
	for ip, want := range map[string]string{"192.0.2.1": "honest.test", "192.0.2.2": "", "192.0.2.3": "", "192.0.2.4": "", "127.0.0.1": "", "::ffff:127.0.0.1": ""} {
		if got := s.reverse(t.Context(), netip.MustParseAddr(ip)); strings.TrimSuffix(got, ".") != want {
			t.Errorf("%s is %q, want %q", ip, got, want)
		}
	}
}

// TestIndexOperations makes the search index of a site whole and asks how it is.
func TestIndexOperations(t *testing.T) {
	c := testConfig(t)
	s, _, _ := start(t, c)
	ctx := t.Context()
	o := s.Operations()
	if err := o.Directory.AddDomain(ctx, "here.test"); err != nil {
		t.Fatal(err)
	}
	a, err := s.site.store.Account(ctx, "ann@here.test")
	if err != nil {
		t.Fatal(err)
	}
	mb, err := a.Mailbox("INBOX")
	if err != nil {
		t.Fatal(err)
	}
	d, err := s.site.store.NewDraft(ctx)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(d, "Subject: one\r\n\r\ntwo three\r\n")
	if _, err := mb.Append(ctx, store.Incoming{Draft: d}); err != nil {
		t.Fatal(err)
	}
	for _, account := range []string{"ann@here.test", ""} {
		found := false
		for st, err := range o.Index.Rebuild(ctx, account) {
			if err != nil {
				t.Fatal(err)
			}
			if st.Mailbox == "INBOX" {
				if found = true; st.Account != "ann@here.test" || st.Messages != 1 || st.Indexed != 1 || st.Words != 4 {
					t.Errorf("account %q: %+v", account, st)
				}
			}
		}
		if !found {
			t.Errorf("account %q: INBOX is not told of", account)
		}
	}
	for st, err := range o.Index.Status(ctx, "nobody@here.test") {
		if !errors.Is(err, control.ErrNotFound) {
			t.Errorf("an account that is not there: %+v, %v", st, err)
		}
	}
}
