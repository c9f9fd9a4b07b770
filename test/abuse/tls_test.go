package abuse

import (
	"crypto/tls"
	"fmt"
	"os"
	"strings"
	"testing"

	"plic/internal/deliver/delivertest"
	"plic/internal/journal"
	"plic/test/world"
)

// starting is how a protocol starts TLS.
type starting struct {
	name     string
	port     int
	greet    func(*world.Conn)
	command  string // without its line end
	injected string
	secret   string // what only an answer to the injected command has in it
	yes      string // the answer to the command
}

func startings(x *target) []starting {
	greet := func(lines ...string) func(*world.Conn) {
		return func(c *world.Conn) {
			c.Reply()
			for _, line := range lines {
				c.Ask("%s", line)
			}
		}
	}
	login := "AUTH PLAIN " + world.Plain(x.ann, world.Password)
	var all []starting
	for _, injected := range []string{"RSET", "MAIL FROM:<admin@one.test>", "NOOP", "EHLO injected", "STARTTLS", login} {
		all = append(all,
			starting{"smtp " + injected[:4], 25, greet("EHLO client.test"), "STARTTLS", injected + "\r\n", "250 ", "220 "},
			starting{"submission " + injected[:4], 587, greet("EHLO client.test"), "STARTTLS", injected + "\r\n", "235 ", "220 "},
			starting{"lmtp " + injected[:4], 24, greet("LHLO client.test"), "STARTTLS", injected + "\r\n", "250 ", "220 "})
	}
	for _, injected := range []string{"b LOGIN " + x.ann + " \"" + world.Password + "\"", "b CAPABILITY", "b NOOP", "b LOGOUT"} {
		all = append(all, starting{"imap " + injected[2:6], 143, greet(), "a STARTTLS", injected + "\r\n", "b OK", "a OK"})
	}
	for _, injected := range []string{"USER " + x.ann + "\r\nPASS " + world.Password, "CAPA", login, "QUIT"} {
		all = append(all, starting{"pop3 " + injected[:4], 110, greet(), "STLS", injected + "\r\n", "+OK", "+OK"})
	}
	return all
}

// TestStartTLSInjection: threat S3. What a man in the middle puts behind
// STARTTLS is never answered, in clear or after the handshake.
func TestStartTLSInjection(t *testing.T) {
	t.Parallel()
	x := newTarget(t, "127.80.104", nil)
	for _, s := range startings(x) {
		c := x.Dial(t, s.port)
		s.greet(c)
		c.Send(s.command + "\r\n" + s.injected)
		if said := c.Rest(); strings.Contains(said, s.secret) || strings.HasPrefix(said, s.yes) {
			t.Errorf("%s in one segment: the server says %q", s.name, said)
		}
		// In a segment of its own, when the server waits for the handshake.
		c = x.Dial(t, s.port)
		s.greet(c)
		c.Send(s.command + "\r\n")
		want(t, s.name, c.Line(), s.yes)
		c.Send(s.injected + strings.Repeat(" ", 64))
		if said := c.Rest(); strings.Contains(said, s.secret) {
			t.Errorf("%s in two segments: the server says %q", s.name, said)
		}
	}
	has := false
	for _, line := range strings.Split(x.Run(t, "journal", "--since", "1h", "--json"), "\n") {
		has = has || strings.Contains(line, "injected behind STARTTLS")
	}
	if !has {
		t.Error("the journal says nothing of it")
	}
	x.works(t)
}

// TestForgetBeforeTLS: nothing that was said in clear counts after the
// handshake, RFC 3207 section 4.2, RFC 9051 section 6.2.1, RFC 2595 section 4.
func TestForgetBeforeTLS(t *testing.T) {
	t.Parallel()
	x := newTarget(t, "127.80.105", nil)
	c := x.SMTP(t)
	c.Envelope(world.Letter{From: "a@far.test", To: []string{x.ann}})
	c.Must("220 ", "STARTTLS")
	c.Handshake()
	c.Must("503 ", "RCPT TO:<%s>", x.ann)
	c.Must("503 ", "MAIL FROM:<a@far.test>")
	if hello := c.Must("250", "EHLO again.test"); strings.Contains(hello, "STARTTLS") {
		t.Errorf("TLS is offered over TLS: %q", hello)
	}
	c.Must("503 ", "DATA")
	c.Must("503 ", "STARTTLS")

	c = x.Dial(t, 587).Greet()
	c.Must("235 ", "AUTH PLAIN %s", world.Plain(x.ann, world.Password))
	c.Must("220 ", "STARTTLS")
	c.Handshake()
	c.Must("250", "EHLO again.test")
	c.Must("530 ", "MAIL FROM:<%s>", x.ann)

	c = x.Dial(t, 110)
	c.Line()
	c.Send("USER " + x.ann + "\r\n")
	want(t, "USER", c.Line(), "+OK")
	c.Send("STLS\r\n")
	want(t, "STLS", c.Line(), "+OK")
	c.Handshake()
	c.Send("PASS " + world.Password + "\r\n")
	want(t, "PASS after STLS", c.Line(), "-ERR")

	c = x.Dial(t, 143)
	greeting := c.Line()
	if !strings.Contains(greeting, "STARTTLS") {
		t.Errorf("the greeting: %q", greeting)
	}
	c.IMAPOK("STARTTLS")
	c.Handshake()
	if lines := c.IMAPOK("CAPABILITY"); strings.Contains(lines[0], "STARTTLS") {
		t.Errorf("after the handshake: %q", lines)
	}
	want(t, "SELECT before login", c.IMAP("SELECT INBOX")[0], "BAD")
	want(t, "STARTTLS again", c.IMAP("STARTTLS")[0], "BAD")
}

// deferred fails unless a message to a domain stays in the queue with the
// status, and the host was told nothing of it.
func deferred(t *testing.T, p *world.Plic, sink *world.Sink, from, to, status string) {
	t.Helper()
	c := p.Submission(t, from)
	defer c.Close()
	id := c.Deliver(world.Letter{From: from, To: []string{to}, Text: text(from, to, "secret")})
	if e := p.WaitJournal(t, id, journal.Defer); !strings.HasPrefix(e.Status, status) {
		t.Errorf("deferred with %+v, not %s", e, status)
	}
	if sink.Connections() == 0 || sink.Said("AUTH") || sink.Said("MAIL") || sink.Said("RCPT") || len(sink.Messages()) > 0 {
		t.Errorf("%s was told %q in %d connections", sink.Host, sink.Commands(), sink.Connections())
	}
}

// TestResponseInjection: threat S4. What comes in clear behind the answer to
// STARTTLS is not taken for something that came over TLS: the mail waits.
func TestResponseInjection(t *testing.T) {
	t.Parallel()
	x := newTarget(t, "127.80.106", nil)
	inject := func(c *delivertest.Conn, step, _ string) bool {
		if step != "STARTTLS" {
			return false
		}
		c.Reply("220 ok\r\n250-mx.liar.test\r\n250 AUTH PLAIN")
		c.Handshake()
		return true
	}
	sink := x.World.Sink(t, "mx.liar.test", &delivertest.Remote{TLS: x.World.ServerTLS(t, "mx.liar.test"), On: inject})
	deferred(t, x.Plic, sink, x.ann, "carl@liar.test", "451 4.7.0")
}

// TestStrippedTLS: threat S5. Where TLS is needed, for the password of a smart
// host or by setting, nothing is said without it, or to whom cannot prove who
// it is.
func TestStrippedTLS(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.80.107")
	secret := w.Dir + "/secret"
	if err := os.WriteFile(secret, []byte(world.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	plain := []string{"PIPELINING", "AUTH PLAIN LOGIN"}
	inject := func(c *delivertest.Conn, step, _ string) bool {
		if step == "STARTTLS" {
			c.Reply("220 ok\r\n235 2.7.0 welcome\r\n250 ok")
			c.Handshake()
		}
		return step == "STARTTLS"
	}
	for i, x := range []struct {
		name   string
		remote *delivertest.Remote
	}{
		{"stripped", &delivertest.Remote{Extensions: plain}},
		{"refused", &delivertest.Remote{Extensions: append(plain, "STARTTLS"), On: world.Always("STARTTLS", "454 4.7.0 not now")}},
		{"broken", &delivertest.Remote{Extensions: append(plain, "STARTTLS"), On: world.Always("STARTTLS", "220 go\r\nthis is no handshake, is it, is it, is it")}},
		{"injected", &delivertest.Remote{Extensions: plain, TLS: w.ServerTLS(t, "mx.injected.test"), On: inject}},
		{"othername", &delivertest.Remote{Extensions: plain, TLS: w.ServerTLS(t, "mx.other.test")}},
		{"selfsigned", &delivertest.Remote{Extensions: plain, TLS: delivertest.ServerTLS("mx.selfsigned.test")}},
	} {
		host := "mx." + x.name + ".test"
		sink := w.Sink(t, host, x.remote)
		smart := w.Plic(t, world.Site{Host: fmt.Sprintf("mx.s%d.test", i), Domain: fmt.Sprintf("s%d.test", i), Settings: map[string]string{
			"remote.smart_host": `"` + host + `:25"`, "remote.smart_host_user": `"me"`, "remote.smart_host_password_file": `"` + secret + `"`,
		}})
		deferred(t, smart, sink, smart.Account(t, "ann"), "carl@elsewhere.test", "451 4.7.")
		smart.Stop(t)
	}
	strict := w.Plic(t, world.Site{Host: "mx.strict.test", Domain: "strict.test", Settings: map[string]string{"remote.tls": `"require"`}})
	sink := w.Sink(t, "mx.clear.test", nil)
	deferred(t, strict, sink, strict.Account(t, "ann"), "carl@clear.test", "451 4.7.0")
}

// TestHTTP: threat S8. What a browser can be made to send is refused at its
// first line, and nothing in it is run or sent back.
func TestHTTP(t *testing.T) {
	t.Parallel()
	x := newTarget(t, "127.80.108", nil)
	const marker = "<script>alert(1)</script>"
	commands := map[int]string{
		25:  "EHLO x\r\nMAIL FROM:<a@far.test>\r\nRCPT TO:<" + x.ann + ">\r\n",
		24:  "LHLO x\r\nMAIL FROM:<a@far.test>\r\nRCPT TO:<" + x.ann + ">\r\n",
		587: "EHLO x\r\nAUTH PLAIN " + world.Plain(x.ann, world.Password) + "\r\n",
		143: "a LOGIN " + x.ann + " \"" + world.Password + "\"\r\na LIST \"\" *\r\n",
		110: "USER " + x.ann + "\r\nPASS " + world.Password + "\r\nSTAT\r\n",
	}
	commands[465], commands[993], commands[995] = commands[587], commands[143], commands[110]
	for port, body := range commands {
		for _, first := range []string{"POST / HTTP/1.1", "GET /" + marker + " HTTP/1.1", "PUT /" + marker + " HTTP/1.0", "OPTIONS * HTTP/1.1", "CONNECT a:25 HTTP/1.1", "HEAD / HTTP/1.1"} {
			request := first + "\r\nHost: one.test\r\n\r\n" + marker + "\r\n" + body
			c := x.Dial(t, port)
			implicit := port == 465 || port == 993 || port == 995
			if implicit {
				// Without TLS there is no word in answer at all.
				c.Send(request)
				no(t, fmt.Sprint(port, " in clear"), c.Rest(), "250", "OK", "script", "220")
				c = x.Dial(t, port)
				c.Handshake()
			}
			if port == 25 {
				c.Want("220 ") // or it is an early talker
			}
			c.Send(request)
			said := c.Rest()
			no(t, fmt.Sprint(port, " ", first), said, "script", "250 ", "250-", "235 ", "a OK", "* LIST", "+OK 0", "POST", "Host:")
			if lines := strings.Count(said, "\r\n"); lines > 2 { // greeting and farewell
				t.Errorf("%d %s: the server says %q", port, first, said)
			}
		}
	}
	for _, port := range []string{"465", "993", "995"} {
		config := x.World.ClientTLS(x.Host)
		config.NextProtos = []string{"http/1.1"}
		conn, err := tls.Dial("tcp", x.Address+":"+port, config)
		if err == nil {
			t.Errorf("port %s speaks with a client of HTTP, CVE-2021-3618", port)
			conn.Close()
		}
	}
	// The port for HTTP runs nothing but HTTP, and changes nothing.
	c := x.Dial(t, 80)
	c.Send("POST /metrics HTTP/1.0\r\nContent-Length: 6\r\n\r\nQUIT\r\n")
	want(t, "POST /metrics", c.Rest(), "HTTP/1.0 405")
	c = x.Dial(t, 80)
	c.Send("EHLO x\r\nMAIL FROM:<a@far.test>\r\n\r\n")
	want(t, "SMTP to HTTP", c.Rest(), "HTTP/1.1 400")
	x.works(t)
}
