package remote_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/deliver/delivertest"
	"plic/internal/deliver/remote"
	"plic/internal/dns"
	"plic/internal/dns/dnstest"
	"plic/internal/mail"
)

const place = "192.0.2.1:25"

// oneHost is a world with one host, the MX of mx.test.
func oneHost(t *testing.T, host *delivertest.Remote) *world {
	return newWorld(t, map[string]*delivertest.Remote{place: host, "192.0.2.1:465": host, "192.0.2.1:587": host}, "mx.test 60 IN A 192.0.2.1")
}

var full = []string{"PIPELINING", "SIZE 1000000", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"}

// What is said at MAIL and RCPT follows what the host offers and the message
// needs: RFC 1870, 3461, 6152, 6531.
func TestParameters(t *testing.T) {
	t.Parallel()
	without := func(words ...string) []string {
		return slices.DeleteFunc(slices.Clone(full), func(e string) bool { return slices.Contains(words, strings.Fields(e)[0]) })
	}
	dsn := func(i *mail.Item) {
		i.Envelope.Ret, i.Envelope.EnvelopeID = "HDRS", "id+1"
		i.To[0].Notify, i.To[0].Original = mail.NotifySuccess|mail.NotifyDelay, "rfc822;orig@a.test"
	}
	for _, test := range []struct {
		name    string
		offers  []string
		to      string
		edit    func(*mail.Item)
		body    string
		mail    string
		rcpt    string
		reports bool
	}{
		{name: "nothing offered", to: "a", edit: dsn, mail: "FROM:<sender@client.test>", rcpt: "TO:<a@mx.test>"},
		{name: "all offered, nothing needed", offers: full, to: "a", mail: "FROM:<sender@client.test> SIZE=23", rcpt: "TO:<a@mx.test>", reports: true},
		{name: "DSN", offers: full, to: "a", edit: dsn, mail: "FROM:<sender@client.test> SIZE=23 RET=HDRS ENVID=id+2B1",
			rcpt: "TO:<a@mx.test> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;orig@a.test", reports: true},
		{name: "no DSN", offers: without("DSN"), to: "a", edit: dsn, mail: "FROM:<sender@client.test> SIZE=23", rcpt: "TO:<a@mx.test>"},
		{name: "null sender", offers: without("SIZE"), to: "a", edit: func(i *mail.Item) { i.Envelope.From = mail.Address{} }, mail: "FROM:<>", rcpt: "TO:<a@mx.test>", reports: true},
		{name: "8-bit", offers: full, to: "a", edit: func(i *mail.Item) { i.Envelope.Kind = mail.Body8Bit }, mail: "FROM:<sender@client.test> SIZE=23 BODY=8BITMIME", rcpt: "TO:<a@mx.test>", reports: true},
		{name: "8-bit, not offered", to: "a", edit: func(i *mail.Item) { i.Envelope.Kind = mail.Body8Bit }, body: "\r\n\xff\r\n", mail: "FROM:<sender@client.test>", rcpt: "TO:<a@mx.test>"},
		{name: "UTF-8 address", offers: full, to: "ü", mail: "FROM:<sender@client.test> SIZE=23 SMTPUTF8", rcpt: "TO:<ü@mx.test>", reports: true},
		{name: "UTF-8 header", offers: full, to: "a", body: "Subject: ü\r\n\r\n", edit: func(i *mail.Item) { i.Envelope.UTF8 = true },
			mail: "FROM:<sender@client.test> SIZE=15 SMTPUTF8", rcpt: "TO:<a@mx.test>", reports: true},
		{name: "UTF-8 allowed but not needed", offers: without("SMTPUTF8"), to: "a", edit: func(i *mail.Item) { i.Envelope.UTF8 = true }, body: "A: b\r\n\r\nü",
			mail: "FROM:<sender@client.test> SIZE=10", rcpt: "TO:<a@mx.test>", reports: true},
		{name: "quoted local part", to: `"a b"@mx.test`, mail: "FROM:<sender@client.test>", rcpt: `TO:<"a b"@mx.test>`},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host := &delivertest.Remote{Extensions: test.offers}
				w := oneHost(t, host)
				if test.body == "" {
					test.body = text
				}
				body := delivertest.Body(test.body)
				item := delivertest.Item(body, test.to)
				if item.Hop = toMX; test.edit != nil {
					test.edit(item)
				}
				tr := w.transport(nil)
				o := tr.Deliver(t.Context(), item, body)[0]
				w.end(tr)
				if o.Status.Code != 250 || o.Host != "mx.test" || o.Remote != place || o.Reports != test.reports {
					t.Errorf("outcome %+v", o)
				}
				got := host.Messages()
				if len(got) != 1 || "FROM:"+got[0].From != test.mail || "TO:"+got[0].To[0] != test.rcpt {
					t.Errorf("host has %+v; want %s, %s", got, test.mail, test.rcpt)
				}
			})
		})
	}
}

// Threat S2: whatever the body holds, the host sees CRLF only, dots stuffed,
// and one message.
func TestBodies(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("0123456789abcdef", 4096)
	for body, want := range map[string]string{
		"a\n.\nb":                       "a\r\n.\r\nb\r\n",
		"a\r.\rb":                       "a\r\n.\r\nb\r\n",
		"\r\n.\r\nMAIL FROM:<x@y>\r\n":  "\r\n.\r\nMAIL FROM:<x@y>\r\n",
		".":                             ".\r\n",
		"..\r\n":                        "..\r\n",
		"a\r\n\x00.\r\nb\r\n":           "a\r\n.\r\nb\r\n",
		"a\r\r\n.\r\r\nb":               "a\r\n\r\n.\r\n\r\nb\r\n",
		long + "\r\n." + long + "\n.\n": long + "\r\n." + long + "\r\n.\r\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			host := &delivertest.Remote{Extensions: full}
			w := oneHost(t, host)
			b := delivertest.Body(body)
			item := delivertest.Item(b, "a")
			item.Hop = toMX
			tr := w.transport(nil)
			tr.Deliver(t.Context(), item, b)
			w.end(tr)
			if got := host.Messages(); len(got) != 1 || string(got[0].Data) != want {
				t.Errorf("%.40q arrived as %+v", body, got)
			}
		})
	}
}

func TestReuse(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, host *delivertest.Remote, edit func(*remote.Options), pause time.Duration, n int) *world {
		w := oneHost(t, host)
		tr := w.transport(edit)
		for range n {
			item, body := to(toMX, "a")
			if o := tr.Deliver(t.Context(), item, body)[0]; o.Status.Code != 250 {
				t.Errorf("%v %v", o.Status, o.Err)
			}
			time.Sleep(pause)
		}
		w.end(tr)
		if got := len(host.Messages()); got != n {
			t.Errorf("%d of %d messages", got, n)
		}
		return w
	}
	for _, test := range []struct {
		name        string
		host        *delivertest.Remote
		edit        func(*remote.Options)
		pause       time.Duration
		n           int
		connections int
	}{
		{"in a row", &delivertest.Remote{Extensions: full}, nil, time.Second, 5, 1},
		{"after the time", &delivertest.Remote{}, nil, 4 * time.Second, 3, 3},
		{"not at all", &delivertest.Remote{}, func(o *remote.Options) { o.MaxIdle = -1 }, 0, 3, 3},
		{"no more than so often", &delivertest.Remote{}, nil, 0, 201, 3},
		{"MAILMAX", &delivertest.Remote{Extensions: []string{"LIMITS MAILMAX=2"}}, nil, 0, 4, 2},
		{"closed meanwhile", &delivertest.Remote{On: closeAfter("."), Extensions: full}, nil, time.Second, 3, 3},
		{"421 meanwhile", &delivertest.Remote{On: second421()}, nil, time.Second, 3, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				run(t, test.host, test.edit, test.pause, test.n)
				if got := test.host.Connections(); got != test.connections {
					t.Errorf("%d connections, want %d", got, test.connections)
				}
			})
		})
	}
}

// closeAfter takes the message and closes.
func closeAfter(step string) func(*delivertest.Conn, string, string) bool {
	return func(c *delivertest.Conn, s, _ string) bool {
		if s == step {
			c.Accept("250 2.0.0 taken")
			c.End()
		}
		return s == step
	}
}

// second421 refuses the second MAIL of each connection.
func second421() func(*delivertest.Conn, string, string) bool {
	var mu sync.Mutex
	seen := map[*delivertest.Conn]bool{}
	return func(c *delivertest.Conn, step, _ string) bool {
		mu.Lock()
		defer mu.Unlock()
		if step != "MAIL" {
			return false
		}
		if !seen[c] {
			seen[c] = true
			return false
		}
		c.Reply("421 4.7.0 that was enough")
		c.End()
		return true
	}
}

// After a transaction that did not end with its data, the next begins with
// RSET.
func TestResetBetweenTransactions(t *testing.T) {
	t.Parallel()
	for _, offers := range [][]string{nil, full} {
		synctest.Test(t, func(t *testing.T) {
			host := &delivertest.Remote{Extensions: offers, On: func(c *delivertest.Conn, step, args string) bool {
				bad := step == "RCPT" && strings.Contains(args, "<bad@")
				if bad {
					c.Reply("550 5.1.1 nobody")
				}
				return bad
			}}
			w := oneHost(t, host)
			tr := w.transport(nil)
			for name, code := range map[string]int{"bad": 550} {
				item, body := to(toMX, name)
				if o := tr.Deliver(t.Context(), item, body)[0]; o.Status.Code != code {
					t.Errorf("%s: %v", name, o.Status)
				}
			}
			item, body := to(toMX, "good")
			if o := tr.Deliver(t.Context(), item, body)[0]; o.Status.Code != 250 {
				t.Errorf("good: %v", o.Status)
			}
			w.end(tr)
			if verbs := w.verbs(place); !strings.Contains(verbs, "RSET MAIL RCPT DATA QUIT") || host.Connections() != 1 {
				t.Errorf("said %s in %d connections", verbs, host.Connections())
			}
		})
	}
}

var smart = mail.Hop{Kind: mail.HopRemote, Host: "mx.test", Port: 587, Exact: true, Login: "relay"}

func credentials(name string) (remote.Login, bool) {
	return remote.Login{User: "me", Password: delivertest.Password}, name == "relay"
}

// A smart host gets the password over good TLS only, unless told otherwise;
// threat S5. Trouble there never bounces mail.
func TestSmartHost(t *testing.T) {
	t.Parallel()
	certificate, roots := delivertest.Certificate("mx.test")
	server := &tls.Config{Certificates: []tls.Certificate{certificate}}
	clear := func(string) (remote.Login, bool) {
		return remote.Login{User: "me", Password: delivertest.Password, AllowClear: true}, true
	}
	wrong := func(string) (remote.Login, bool) { return remote.Login{User: "me", Password: "wrong"}, true }
	trust := func(o *remote.Options) { o.TLS = &tls.Config{RootCAs: roots} }
	for _, test := range []struct {
		name   string
		offers []string
		tls    *tls.Config
		login  func(string) (remote.Login, bool)
		edit   func(*remote.Options)
		hop    mail.Hop
		status string
		never  string // a verb that must not be heard
		user   string
	}{
		{name: "PLAIN", offers: []string{"AUTH LOGIN PLAIN"}, tls: server, login: credentials, edit: trust, status: "250", user: "me"},
		{name: "LOGIN", offers: []string{"AUTH LOGIN"}, tls: server, login: credentials, edit: trust, status: "250", user: "me"},
		{name: "no TLS", offers: []string{"AUTH PLAIN"}, login: credentials, edit: trust, status: "451 4.7.0", never: "AUTH"},
		{name: "no TLS, whatever the policy", offers: []string{"AUTH PLAIN SCRAM-SHA-256"}, login: credentials, status: "451 4.7.0", never: "AUTH", edit: func(o *remote.Options) {
			o.Policy = func(context.Context, remote.Peer, *mail.Envelope) remote.Requirement {
				return remote.Requirement{TLS: remote.Opportunistic}
			}
		}},
		{name: "no TLS, allowed", offers: []string{"AUTH PLAIN"}, login: clear, status: "250", user: "me"},
		{name: "unknown certificate", offers: []string{"AUTH PLAIN"}, tls: server, login: credentials, status: "451 4.7.0", never: "AUTH"},
		{name: "wrong name", offers: []string{"AUTH PLAIN"}, tls: delivertest.ServerTLS("other.test"), login: credentials, edit: trust, status: "451 4.7.0", never: "AUTH"},
		{name: "wrong password", offers: []string{"AUTH PLAIN"}, tls: server, login: wrong, edit: trust, status: "451 4.7.8", never: "MAIL"},
		{name: "no mechanism", offers: []string{"AUTH GSSAPI"}, tls: server, login: credentials, edit: trust, status: "451 4.7.0", never: "MAIL"},
		{name: "no AUTH", tls: server, login: credentials, edit: trust, status: "451 4.7.0", never: "MAIL"},
		{name: "no credentials", offers: []string{"AUTH PLAIN"}, tls: server, login: func(string) (remote.Login, bool) { return remote.Login{}, false }, edit: trust, status: "451 4.3.5", never: "MAIL"},
		{name: "policy: encrypted", hop: toMX, status: "451 4.7.0", never: "MAIL", edit: func(o *remote.Options) {
			o.Policy = func(context.Context, remote.Peer, *mail.Envelope) remote.Requirement {
				return remote.Requirement{TLS: remote.Encrypted}
			}
		}},
		{name: "policy: encrypted, by whomever", tls: server, hop: toMX, status: "250", edit: func(o *remote.Options) {
			o.Policy = func(context.Context, remote.Peer, *mail.Envelope) remote.Requirement {
				return remote.Requirement{TLS: remote.Encrypted}
			}
		}},
		{name: "policy: clear", tls: server, hop: toMX, status: "250", never: "STARTTLS", edit: func(o *remote.Options) {
			o.Policy = func(context.Context, remote.Peer, *mail.Envelope) remote.Requirement {
				return remote.Requirement{TLS: remote.Cleartext}
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host := &delivertest.Remote{Extensions: test.offers, TLS: test.tls}
				w := oneHost(t, host)
				hop := test.hop
				if hop.Host == "" {
					hop = smart
				}
				tr := w.transport(func(o *remote.Options) {
					o.Login = test.login
					if test.edit != nil {
						test.edit(o)
					}
				})
				item, body := to(hop, "a")
				o := tr.Deliver(t.Context(), item, body)[0]
				w.end(tr)
				if !strings.HasPrefix(o.Status.String(), test.status) {
					t.Errorf("%v (%v), want %s", o.Status, o.Err, test.status)
				}
				for _, c := range host.Commands() {
					if test.never != "" && strings.Contains(c, " "+test.never) {
						t.Errorf("said %q", c)
					}
				}
				if m := host.Messages(); test.status == "250" && (len(m) != 1 || m[0].User != test.user) {
					t.Errorf("host has %+v", m)
				}
				if o.Status.Code == 250 && (o.TLS == "") != (test.tls == nil || test.never == "STARTTLS") {
					t.Errorf("TLS is %q", o.TLS)
				}
			})
		})
	}
}

func TestNoClearRetry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		host := &delivertest.Remote{TLS: delivertest.ServerTLS("mx.test"), On: func(c *delivertest.Conn, step, _ string) bool {
			if step == "HANDSHAKE" {
				c.End()
			}
			return step == "HANDSHAKE"
		}}
		w := oneHost(t, host)
		tr := w.transport(func(o *remote.Options) { o.NoClearRetry = true })
		item, body := to(toMX, "a")
		if o := tr.Deliver(t.Context(), item, body)[0]; o.Status.Code != 451 || o.Status.Enhanced.String() != "4.7.5" {
			t.Errorf("%v", o.Status)
		}
		w.end(tr)
	})
}

// RFC 8314: on port 465 the handshake comes first.
func TestImplicitTLS(t *testing.T) {
	t.Parallel()
	certificate, roots := delivertest.Certificate("mx.test")
	synctest.Test(t, func(t *testing.T) {
		host := &delivertest.Remote{TLS: &tls.Config{Certificates: []tls.Certificate{certificate}}, Implicit: true, Extensions: []string{"AUTH PLAIN"}}
		w := oneHost(t, host)
		tr := w.transport(func(o *remote.Options) { o.Login, o.TLS = credentials, &tls.Config{RootCAs: roots} })
		hop := smart
		hop.Port = 465
		item, body := to(hop, "a")
		if o := tr.Deliver(t.Context(), item, body)[0]; o.Status.Code != 250 || o.TLS == "" {
			t.Errorf("%v %v", o.Status, o.Err)
		}
		w.end(tr)
	})
}

// Over real sockets: a real DNS server, a host with a port, and a reset after
// the final dot.
func TestSockets(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	host := &delivertest.Remote{Extensions: full, TLS: delivertest.ServerTLS("mx.test"), On: func(c *delivertest.Conn, step, _ string) bool {
		if step == "." && strings.Contains(strings.Join(c.To(), ""), "reset") {
			c.Reset()
			return true
		}
		return false
	}}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go host.Serve(conn)
		}
	}()
	addr := listener.Addr().(*net.TCPAddr)
	server := dnstest.New(t, "mx.test 60 IN MX 1 host.mx.test.", "host.mx.test 60 IN A 127.0.0.1")
	tr := remote.New(remote.Options{Resolver: dns.New(dns.Options{Servers: []string{server.Addr()}}), Hostname: "client.test", Port: uint16(addr.Port)})
	defer tr.Close()
	for i, code := range []int{250, 451} {
		item, body := to(toMX, []string{"a", "reset"}[i])
		o := tr.Deliver(t.Context(), item, body)[0]
		if o.Status.Code != code || o.TLS == "" || o.Remote != fmt.Sprintf("127.0.0.1:%d", addr.Port) {
			t.Errorf("%+v, want %d", o, code)
		}
	}
	if n := len(host.Messages()); n != 1 {
		t.Errorf("%d messages", n)
	}
}

// Whatever a host says, each recipient has one outcome, and success only if
// the host could have meant it.
func FuzzHost(f *testing.F) {
	f.Add("220 hi\r\n250-hi\r\n250 PIPELINING\r\n250 ok\r\n250 ok\r\n550 no\r\n354 go\r\n250 taken\r\n", uint8(2))
	f.Add("220 hi\r\n250-hi\r\n250-LIMITS RCPTMAX=1\r\n250 SIZE 1\r\n", uint8(3))
	f.Add("220 hi\r\n250-hi\r\n250 STARTTLS\r\n220 go\r\n\x16\x03\x03\x00\x01\x00", uint8(1))
	f.Add("220 hi\r\n500 what\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 \r\n", uint8(1))
	f.Add("", uint8(0))
	f.Fuzz(func(t *testing.T, script string, n uint8) {
		synctest.Test(t, func(t *testing.T) {
			var wg sync.WaitGroup
			dial := func(context.Context, string, string) (net.Conn, error) {
				near, far := net.Pipe()
				wg.Go(func() {
					buf := make([]byte, 4096)
					for {
						if _, err := far.Read(buf); err != nil {
							return
						}
					}
				})
				wg.Go(func() {
					far.Write([]byte(script))
					time.Sleep(time.Hour)
					far.Close()
				})
				return near, nil
			}
			tr := remote.New(remote.Options{Resolver: dns.New(dns.Options{Dial: dnstest.Offline(t).Dial}), Hostname: "client.test", Dial: dial})
			body := delivertest.Body(text)
			var names []string
			for i := range n % 8 {
				names = append(names, fmt.Sprintf("r%d", i))
			}
			item := delivertest.Item(body, names...)
			outcomes := tr.Deliver(t.Context(), item, body)
			tr.Close()
			wg.Wait()
			if len(outcomes) != len(names) {
				t.Fatalf("%d outcomes for %d recipients", len(outcomes), len(names))
			}
			for _, o := range outcomes {
				switch o.Status.Class() {
				case mail.Success:
					if !strings.Contains(script, "354") || strings.Count(script, "250") < 3 {
						t.Fatalf("success from %q", script)
					}
				case mail.Transient, mail.Permanent:
				default:
					t.Fatalf("status %v", o.Status)
				}
			}
		})
	})
}

// RFC 2852 section 4.1: a message that shall come back unless it is delivered in
// time goes only where that is promised; one whose sender only wants to know goes
// anywhere, and its time goes with it where it can.
func TestDeliverBy(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name  string
		offer string
		back  bool
		code  int
		mail  string
	}{
		{"not offered, to be returned", "", true, 554, ""},
		{"not offered, to be told", "", false, 250, "FROM:<sender@client.test>"},
		{"not offered, to be told, with reports", "DSN", false, 250, "FROM:<sender@client.test>"},
		{"offered, to be returned", "DELIVERBY", true, 250, "FROM:<sender@client.test> BY=3600;R"},
		{"offered, to be told", "DELIVERBY", false, 250, "FROM:<sender@client.test> BY=3600;N"},
		{"time enough", "DELIVERBY 3000", true, 250, "FROM:<sender@client.test> BY=3600;R"},
		{"too little time", "DELIVERBY 7200", true, 554, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host := &delivertest.Remote{Extensions: []string{test.offer}}
				w := oneHost(t, host)
				item, body := to(toMX, "a")
				item.Envelope.By = mail.DeliverBy{At: time.Now().Add(time.Hour), Return: test.back}
				tr := w.transport(nil)
				o := tr.Deliver(t.Context(), item, body)[0]
				w.end(tr)
				got := ""
				if m := host.Messages(); len(m) > 0 {
					got = m[0].From
					if told := strings.HasSuffix(m[0].To[0], " NOTIFY=FAILURE,DELAY"); told != (test.offer == "DSN") {
						t.Errorf("RCPT TO:%s", m[0].To[0])
					}
				}
				if o.Status.Code == 554 && o.Status.Enhanced.String() != "5.4.7" || o.Timed != (strings.HasPrefix(test.offer, "DELIVERBY") && test.code == 250) {
					t.Errorf("%+v", o)
				}
				if o.Status.Code != test.code || test.mail != "" && "FROM:"+got != test.mail || test.mail == "" && got != "" {
					t.Errorf("%v, MAIL %q", o.Status, got)
				}
			})
		})
	}
}
