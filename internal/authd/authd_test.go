package authd

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/auth"
	"plic/internal/directory"
	"plic/internal/directory/directorytest"
	"plic/internal/journal"
	"plic/internal/sasl"
	"plic/internal/vfs"
	"plic/test/peers"
)

// book is a directory of one, and of logins that go wrong.
type book struct{ directorytest.One }

func (b book) Account(ctx context.Context, login string) (directory.Account, error) {
	switch login {
	case "trouble@plic.test":
		return directory.Account{}, errors.New("the database is down")
	case "slow@plic.test":
		time.Sleep(2 * time.Minute) // in a bubble
	case "panic@plic.test":
		panic("a bug")
	}
	return b.One.Account(ctx, login)
}

type house struct {
	journal *journal.Journal
	address string
}

// open serves at a socket until the test ends.
func open(t *testing.T, l net.Listener, o Options) *house {
	t.Helper()
	cost := directory.Cost{Memory: 64, Time: 1, Threads: 1, Iterations: sasl.MinIterations}
	secret, err := directory.NewSecret("secret", cost)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{address: l.Addr().String()}
	if h.journal, err = journal.Open(journal.Options{FS: vfs.NewMemory(), Dir: "journal", Now: time.Now}); err != nil {
		t.Fatal(err)
	}
	o.Auth = auth.New(auth.Options{Cost: cost, Directory: book{directorytest.One{Who: directory.Account{Name: "ann@plic.test", Secret: secret}}}, Journal: h.journal,
		Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }})
	ctx, stop := context.WithCancel(context.Background())
	var ended sync.WaitGroup
	ended.Go(func() {
		if err := New(o).Serve(ctx, l); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		stop()
		ended.Wait()
		h.journal.Close()
	})
	return h
}

func listen(t *testing.T, network, address string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// client is one by hand.
type client struct {
	t  *testing.T
	nc net.Conn
	r  *bufio.Reader
}

func (h *house) dial(t *testing.T) *client {
	t.Helper()
	nc, err := net.Dial("tcp", h.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	nc.SetDeadline(time.Now().Add(time.Minute))
	return &client{t, nc, bufio.NewReader(nc)}
}

func (c *client) send(lines ...string) {
	for _, line := range lines {
		fmt.Fprintf(c.nc, "%s\n", line)
	}
}

func (c *client) line() string {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return "(closed)"
	}
	return strings.TrimSuffix(line, "\n")
}

func (c *client) greeting() (lines []string) {
	for line := ""; line != "DONE" && line != "(closed)"; {
		line = c.line()
		lines = append(lines, line)
	}
	return lines
}

func b64(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

func TestGreeting(t *testing.T) {
	t.Parallel()
	h := open(t, listen(t, "tcp", "127.0.0.1:0"), Options{})
	all := strings.Join(h.dial(t).greeting(), "\n")
	for _, want := range []string{"VERSION\t1\t2\n", "\nMECH\tPLAIN\tplaintext\n", "\nMECH\tLOGIN\tplaintext\n", "\nMECH\tSCRAM-SHA-256\tmutual-auth\n", "\nSPID\t", "\nCUID\t", "\nCOOKIE\t", "\nDONE"} {
		if !strings.Contains(all+"\n", want) {
			t.Errorf("no %q in %q", want, all)
		}
	}
	if strings.Contains(all, "PLUS") || strings.Contains(all, "EXTERNAL") {
		t.Errorf("what only we could do with TLS: %q", all)
	}
}

func TestRequests(t *testing.T) {
	t.Parallel()
	h := open(t, listen(t, "tcp", "127.0.0.1:0"), Options{})
	for _, tc := range []struct{ name, request, want string }{
		{"right", "AUTH\t1\tPLAIN\tservice=smtp\tsecured\trip=192.0.2.1\tresp=" + b64("\x00ann@plic.test\x00secret"), "OK\t1\tuser=ann@plic.test"},
		{"wrong", "AUTH\t1\tPLAIN\tservice=smtp\tsecured\trip=192.0.2.1\tresp=" + b64("\x00ann@plic.test\x00guess"), "FAIL\t1"},
		{"unknown", "AUTH\t1\tPLAIN\tservice=smtp\tsecured\trip=192.0.2.1\tresp=" + b64("\x00bob@plic.test\x00secret"), "FAIL\t1"},
		{"trouble", "AUTH\t1\tPLAIN\tservice=smtp\tsecured\tresp=" + b64("\x00trouble@plic.test\x00secret"), "FAIL\t1\ttemp\tcode=temp_fail"},
		{"a bug", "AUTH\t1\tPLAIN\tservice=smtp\tsecured\tresp=" + b64("\x00panic@plic.test\x00secret"), "FAIL\t1\ttemp\tcode=temp_fail"},
		{"in the clear", "AUTH\t1\tPLAIN\tservice=smtp\trip=192.0.2.1\tresp=" + b64("\x00ann@plic.test\x00secret"), "FAIL\t1\treason=" + auth.ErrNeedTLS.Error()},
		{"on the host", "AUTH\t1\tPLAIN\tservice=smtp\tlip=192.0.2.1\trip=192.0.2.1\tresp=" + b64("\x00ann@plic.test\x00secret"), "OK\t1\tuser=ann@plic.test"},
		{"no such mechanism", "AUTH\t1\tNTLM\tservice=smtp", "FAIL\t1\treason=" + auth.ErrNoMechanism.Error()},
		{"no base64", "AUTH\t1\tPLAIN\tservice=smtp\tsecured\tresp=!", "FAIL\t1\treason=" + auth.ErrMalformed.Error()},
		{"nobody's exchange", "CONT\t9\t" + b64("x"), "FAIL\t9\treason=" + auth.ErrMalformed.Error()},
		{"asked", "AUTH\t1\tPLAIN\tservice=smtp\tsecured", "CONT\t1\t"},
		{"twice the same number", "AUTH\t1\tPLAIN\tsecured\nAUTH\t1\tPLAIN\tsecured", "at last (closed)"},
		{"a response too much", "AUTH\t1\tPLAIN", "FAIL\t1\treason=" + auth.ErrNeedTLS.Error()},
		{"no number", "AUTH\tx\tPLAIN", "(closed)"},
		{"a number too large", "AUTH\t4294967296\tPLAIN", "(closed)"},
		{"half", "AUTH\t1", "(closed)"},
		{"another protocol", "MASTER\t1", "(closed)"},
		{"endless", strings.Repeat("x", 20000), "(closed)"},
	} {
		c := h.dial(t)
		c.greeting()
		c.send("VERSION\t1\t1", "CPID\t42", tc.request)
		for _, want := range strings.Split(tc.want, "|") {
			got := c.line()
			if end, ok := strings.CutPrefix(want, "at last "); ok {
				for want = end; got != end && got != "(closed)"; {
					got = c.line()
				}
			}
			if got != want {
				t.Errorf("%s: %q, want %q", tc.name, got, want)
			}
		}
	}
	for _, hello := range []string{"VERSION\t2\t0", "CPID\t1", "GET / HTTP/1.1"} {
		c := h.dial(t)
		c.greeting()
		c.send(hello)
		if got := c.line(); got != "(closed)" {
			t.Errorf("%q: %q", hello, got)
		}
	}
}

// Exchanges of one connection go on beside each other, are bounded and cancelled.
func TestManyRequests(t *testing.T) {
	t.Parallel()
	h := open(t, listen(t, "tcp", "127.0.0.1:0"), Options{MaxRequests: 3})
	c := h.dial(t)
	c.greeting()
	c.send("VERSION\t1\t2", "CPID\t42")
	expect := func(want string) {
		t.Helper()
		if got := c.line(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for i := range 3 {
		c.send(fmt.Sprintf("AUTH\t%d\tLOGIN\tservice=smtp\tsecured\trip=192.0.2.%d", i, i))
		expect(fmt.Sprintf("CONT\t%d\t%s", i, b64("Username:")))
	}
	c.send("AUTH\t3\tLOGIN\tservice=smtp\tsecured")
	expect("FAIL\t3\ttemp\tcode=temp_fail")
	c.send("CANCEL\t0", "CONT\t2\t"+b64("ann@plic.test"))
	expect("CONT\t2\t" + b64("Password:"))
	c.send("CONT\t2\t" + b64("secret"))
	expect("OK\t2\tuser=ann@plic.test")
	c.send("CONT\t1\t" + b64("ann@plic.test"))
	expect("CONT\t1\t" + b64("Password:"))
}

// An exchange ends when nobody answers; the time for that begins with the
// challenge, however long that took us.
func TestPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := New(Options{Patience: time.Minute, Auth: auth.New(auth.Options{Directory: book{}})})
		near, far := net.Pipe()
		session := s.admit(near)
		var ended sync.WaitGroup
		ended.Go(func() { session(t.Context(), t.Context()) })
		defer ended.Wait()
		defer far.Close()
		c := &client{t, far, bufio.NewReader(far)}
		c.greeting()
		c.send("VERSION\t1\t2")
		for _, tc := range []struct {
			request string
			took    time.Duration
		}{
			{"AUTH\t1\tLOGIN\tsecured", 0},
			{"AUTH\t1\tSCRAM-SHA-256\tresp=" + b64("n,,n=slow@plic.test,r=nonce"), 2 * time.Minute},
		} {
			started := time.Now()
			c.send(tc.request)
			if got := c.line(); !strings.HasPrefix(got, "CONT\t1\t") || time.Since(started) != tc.took {
				t.Errorf("%s: %q after %v", tc.request, got, time.Since(started))
			}
			if got := c.line(); got != "FAIL\t1\ttemp\tcode=temp_fail" || time.Since(started) != tc.took+time.Minute {
				t.Errorf("%s: %q after %v", tc.request, got, time.Since(started))
			}
		}
	})
}

// TestDoveadm has Dovecot's own client log in.
func TestDoveadm(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("doveadm"); err != nil {
		peers.Missing(t, "dovecot is not installed")
	}
	dir := t.TempDir()
	conf := filepath.Join(dir, "dovecot.conf")
	if err := os.WriteFile(conf, []byte("ssl = no\nbase_dir = "+dir+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "auth")
	open(t, listen(t, "unix", socket), Options{})
	for password, want := range map[string]string{"secret": "auth succeeded", "guess": "auth failed"} {
		out, err := exec.CommandContext(t.Context(), "doveadm", "-c", conf, "auth", "test", "-a", socket, "-x", "service=smtp", "-x", "rip=127.0.0.1", "ann@plic.test", password).CombinedOutput()
		if !strings.Contains(string(out), want) {
			t.Errorf("%s: %v\n%s", password, err, out)
		}
	}
}

// TestPostfix has a real Postfix let people submit whom we know.
func TestPostfix(t *testing.T) {
	t.Parallel()
	h := open(t, listen(t, "tcp", "127.0.0.1:0"), Options{})
	dir, err := os.MkdirTemp("", "plic-authd-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &peers.Postfix{Dir: dir, Address: peers.Loopback(), Hostname: "mx.there.test", Settings: `smtpd_sasl_type = dovecot
smtpd_sasl_path = inet:` + h.address + `
smtpd_sasl_auth_enable = yes
smtpd_sasl_security_options = noanonymous
smtpd_relay_restrictions = permit_sasl_authenticated, reject
`}
	t.Cleanup(func() {
		p.Stop()
		if t.Failed() {
			t.Log(p.Log())
		}
	})
	peers.Started(t, errors.Join(os.Chmod(dir, 0o755), p.Start(t.Context())))
	for _, mechanism := range []string{sasl.Plain, sasl.Login, sasl.SCRAM} {
		for password, want := range map[string]string{"secret": "235 ", "guess": "535 "} {
			if got := submit(t, p.Address+":25", mechanism, password); !strings.HasPrefix(got, want) {
				t.Errorf("%s with %s: %s", mechanism, password, got)
			}
		}
	}
	var good, bad int
	for e, err := range h.journal.Find(t.Context(), journal.Query{}) {
		switch {
		case err != nil:
			t.Fatal(err)
		case e.Kind == journal.Auth && e.Remote == "127.0.0.1":
			good++
		case e.Kind == journal.AuthFail && e.Reason == "wrong secret":
			bad++
		}
	}
	if good != 3 || bad != 3 {
		t.Errorf("%d logins and %d failures are on record", good, bad)
	}
}

// submit logs in at Postfix, and is allowed to relay after that.
func submit(t *testing.T, address, mechanism, password string) string {
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(nc)
	line := func() string {
		for {
			text, err := r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			if len(text) > 3 && text[3] == ' ' {
				return strings.TrimSpace(text)
			}
		}
	}
	say := func(text string) string {
		fmt.Fprintf(nc, "%s\r\n", text)
		return line()
	}
	line()
	say("EHLO me.test")
	c, err := sasl.Choose([]string{mechanism}, sasl.Credentials{User: "ann@plic.test", Password: password}, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	initial, err := c.Next(nil)
	if err != nil {
		t.Fatal(err)
	}
	text := "AUTH " + mechanism
	if initial != nil {
		text += " " + base64.StdEncoding.EncodeToString(initial)
	}
	answer := say(text)
	for strings.HasPrefix(answer, "334") {
		challenge, _ := base64.StdEncoding.DecodeString(strings.TrimSpace(answer[3:]))
		response, err := c.Next(challenge)
		if err != nil {
			t.Fatal(err)
		}
		answer = say(base64.StdEncoding.EncodeToString(response))
	}
	if strings.HasPrefix(answer, "235") {
		if err := c.Finish(); err != nil {
			t.Error(err)
		}
		say("MAIL FROM:<ann@plic.test>")
		if got := say("RCPT TO:<bob@elsewhere.test>"); !strings.HasPrefix(got, "250") {
			t.Errorf("%s: logged in, and not relayed: %s", mechanism, got)
		}
	}
	say("QUIT")
	return answer
}
