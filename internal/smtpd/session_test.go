package smtpd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/auth"
	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/vfs"
)

const outside = "198.51.100.7:4000"

// TestErrors is S9 and R5: answers wait from the 11th error on, the 21st ends
// the session; a message taken forgives.
func TestErrors(t *testing.T) {
	t.Parallel()
	h := open(t, MX, nil)
	defer h.close()
	c := h.dial(outside)
	c.want("220 ")
	c.say("HELO client", "250 ")
	for range 9 {
		c.say("BOGUS", "500 5.5.1 ")
	}
	deliver(c)
	c.say("MAIL FROM:<a@b.example>", "250 ")
	for range 20 {
		c.say("RCPT TO:<nobody@us.example>", "550 5.1.1 ")
	}
	if n := h.waits.count(); n != 10 {
		t.Errorf("%d answers waited, want 10", n)
	}
	c.say("RCPT TO:<nobody@us.example>", "421 4.7.0 ")
	c.gone()
}

// deliver sends a small message.
func deliver(c *client) {
	c.t.Helper()
	c.say("MAIL FROM:<a@b.example>", "250 ")
	c.say("RCPT TO:<alice@us.example>", "250 ")
	c.say("DATA", "354 ")
	c.say("x: y\r\n\r\nz\r\n.", "250 2.0.0 accepted as ")
}

// TestJunk is S9: commands that bring no mail nearer.
func TestJunk(t *testing.T) {
	t.Parallel()
	h := open(t, MX, nil)
	defer h.close()
	c := h.dial(outside)
	c.want("220 ")
	c.say("HELO client", "250 ")
	for i := range 100 {
		c.say([]string{"NOOP", "RSET", "VRFY x", "HELP", "HELO again"}[i%5], "2")
	}
	c.say("NOOP", "421 4.7.0 ")
	c.gone()
}

// TestLongLines is S9: a line that is too long is passed over as long as that
// is cheap.
func TestLongLines(t *testing.T) {
	t.Parallel()
	h := open(t, MX, nil)
	defer h.close()
	c := h.dial(outside)
	c.want("220 ")
	c.say("NOOP "+strings.Repeat("x", 4096-len("NOOP \r\n")), "250 ")
	c.say("NOOP "+strings.Repeat("x", 4097-len("NOOP \r\n")), "500 5.5.2 ")
	for _, n := range []int{8191, 8192, 8193, 60000} {
		c.say("NOOP "+strings.Repeat("x", n), "500 5.5.2 ")
	}
	c.say("NOOP", "250 ")
	var sent int
	for piece := strings.Repeat("x", 64<<10); sent < 64<<20; sent += len(piece) {
		if _, err := io.WriteString(c.c, piece); err != nil {
			break
		}
	}
	if sent > 256<<10 {
		t.Errorf("%d octets of a line without an end were read", sent)
	}
	c.want("500 5.5.2 ")
	c.gone()
}

// TestAuthLimits is A5: a response of 13 KB, and exchanges that are given up.
func TestAuthLimits(t *testing.T) {
	t.Parallel()
	h := open(t, Submission, nil)
	defer h.close()
	c := h.dial("127.0.0.1:4000")
	c.want("220 ")
	c.say("EHLO client", "250 ")
	c.say("AUTH PLAIN", "334 ")
	c.say(strings.Repeat("A", 13<<10), "500 5.5.6 ")
	c.say("AUTH PLAIN", "334 ")
	c.say(strings.Repeat("A", 12288-4), "501 5.5.2 ")
	c.say("AUTH PLAIN", "334 ")
	c.say("AGFsaWNlQHVzLmV4YW1wbGUAc2VjcmV0", "235 ")
	c.say("QUIT", "221 ")
	for range 500 {
		c := h.dial("127.0.0.1:4000")
		c.want("220 ")
		c.say("EHLO client", "250 ")
		c.say("AUTH LOGIN", "334 ")
		c.c.Close()
	}
}

// TestSecretsUnseen is A4: in the clear a password is not even looked at.
func TestSecretsUnseen(t *testing.T) {
	t.Parallel()
	var tried []string
	h := open(t, Submission, func(o *Options) { o.Auth = keys{&tried} })
	c := h.dial(outside)
	c.want("220 ")
	c.say("EHLO client", "250 ")
	c.say("AUTH PLAIN AGFsaWNlQHVzLmV4YW1wbGUAc2VjcmV0", "538 5.7.11 ")
	c.say("AUTH LOGIN", "538 5.7.11 ")
	c.c.Close()
	h.close()
	if tried != nil {
		t.Errorf("looked at %q", tried)
	}
}

// TestConnectionLimits counts by address and in all.
func TestConnectionLimits(t *testing.T) {
	t.Parallel()
	h := open(t, MX, func(o *Options) { o.Limits.PerAddress, o.Limits.Connections = 2, 7 })
	defer h.close()
	for _, step := range []struct{ from, want string }{
		{outside, "220 "}, {outside, "220 "}, {outside, "421 4.7.0 "},
		{"[2001:db8::1]:4000", "220 "}, {"[2001:db8:1::2]:4000", "220 "}, {"[2001:db8:1::3]:4000", "421 4.7.0 "},
		{"127.0.0.1:4000", "220 "}, {"127.0.0.1:4000", "220 "}, {"127.0.0.1:4000", "220 "}, {"127.0.0.1:4000", "421 4.3.2 "},
	} {
		c := h.dial(step.from)
		c.want(step.want)
		if step.want != "220 " {
			c.gone()
			continue
		}
		defer c.say("QUIT", "221 ")
	}
}

func real(o *Options) { o.Now = time.Now }

// TestTimeouts plays slow clients on the clock of a bubble.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		talk  func(c *client)
		after time.Duration
		want  string
	}{
		{"silent", func(c *client) {}, 300 * time.Second, "421 4.4.2 "},
		{"an octet now and then", func(c *client) {
			for range 6 {
				time.Sleep(50 * time.Second)
				c.send("N")
			}
		}, 300 * time.Second, "421 4.4.2 "},
		{"message stops", func(c *client) {
			envelope(c)
			c.send("x: y\r\n")
		}, 300 * time.Second, "421 4.4.2 "},
		{"message drips", func(c *client) {
			envelope(c)
			for range 7 {
				time.Sleep(40 * time.Second)
				c.send("x: y\r\n")
			}
		}, 300 * time.Second, "421 4.4.2 "},
		{"chunk drips", func(c *client) {
			c.say("MAIL FROM:<a@b.example>", "250 ")
			c.say("RCPT TO:<alice@us.example>", "250 ")
			c.send("BDAT 100000 LAST\r\n")
			for range 7 {
				time.Sleep(40 * time.Second)
				c.send("x: y\r\n")
			}
		}, 300 * time.Second, "421 4.4.2 "},
		{"slow but steady", func(c *client) {
			envelope(c)
			for range 100 {
				time.Sleep(10 * time.Second)
				c.send("x: " + strings.Repeat("y", 1000) + "\r\n")
			}
			c.send(".\r\nQUIT\r\n")
			c.want("250 2.0.0 ")
		}, 1000 * time.Second, "221 "},
		{"no message", func(c *client) {
			for i := range 15 {
				time.Sleep(299 * time.Second)
				if i == 12 {
					break
				}
				c.say("NOOP", "250 ")
			}
			c.send("NOOP\r\n")
			c.want("250 ")
		}, 13 * 299 * time.Second, "421 4.4.2 "},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := open(t, MX, real)
				c := h.dial(outside)
				c.want("220 ")
				c.say("HELO client", "250 ")
				start := time.Now()
				test.talk(c)
				if got, ok := <-c.lines; !ok || !strings.HasPrefix(got, test.want) {
					t.Errorf("got %q, want %q", got, test.want)
				}
				if took := time.Since(start); took != test.after {
					t.Errorf("after %v, want %v", took, test.after)
				}
				c.gone()
				c.c.Close()
				h.close()
			})
		})
	}
}

func envelope(c *client) {
	c.say("MAIL FROM:<a@b.example>", "250 ")
	c.say("RCPT TO:<alice@us.example>", "250 ")
	c.say("DATA", "354 ")
}

// TestDeafClient never reads: its connection ends all the same.
func TestDeafClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, MX, real)
		c := h.ring(outside)
		time.Sleep(299 * time.Second)
		if h.server.Connections() != 1 {
			t.Error("too early")
		}
		time.Sleep(2 * time.Second)
		if h.server.Connections() != 0 {
			t.Error("a client that does not read keeps its connection")
		}
		c.Close()
		h.close()
	})
}

// TestStop is the stop in two stages.
func TestStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, MX, real)
		idle, busy, stuck, stuckToo := h.dial(outside), h.dial(outside), h.dial(outside), h.dial(outside)
		for _, c := range []*client{idle, busy, stuck, stuckToo} {
			c.want("220 ")
			c.say("HELO client", "250 ")
		}
		envelope(busy)
		envelope(stuck)
		stuckToo.say("MAIL FROM:<a@b.example>", "250 ")
		synctest.Wait()
		start := time.Now()
		h.cancel()
		idle.want("421 4.3.2 ")
		idle.gone()
		if took := time.Since(start); took != 0 {
			t.Errorf("the idle one was told after %v", took)
		}
		time.Sleep(5 * time.Second)
		busy.say("x: y\r\n\r\nz\r\n.", "250 2.0.0 ")
		busy.want("421 4.3.2 ")
		busy.gone()
		stuck.gone()
		stuckToo.gone()
		if err := <-h.done; err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("stopped after %v", took)
		}
		if len(h.o.messages()) != 1 || h.o.leaks() != 0 {
			t.Errorf("%d messages, %d drafts lost", len(h.o.messages()), h.o.leaks())
		}
	})
}

// TestStopCancels reaches an intake that hangs.
func TestStopCancels(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &office{}
		h := open(t, MX, func(opts *Options) { real(opts); opts.Intake = hanging{o} })
		c := h.dial(outside)
		c.want("220 ")
		c.say("HELO client", "250 ")
		c.say("MAIL FROM:<a@b.example>", "250 ")
		c.send("RCPT TO:<alice@us.example>\r\n")
		synctest.Wait()
		start := time.Now()
		h.cancel()
		<-h.done
		if took := time.Since(start); took != 10*time.Second {
			t.Errorf("stopped after %v", took)
		}
		if got := c.next(); got != "" { // the answer may come before the end
			if !strings.HasPrefix(got, "451 ") {
				t.Errorf("got %q", got)
			}
			c.gone()
		}
	})
}

// TestStopInExchange stops while a login is being looked at: the client is not
// waited for after that.
func TestStopInExchange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := open(t, Submission, func(o *Options) { real(o); o.Auth = slowKeys{} })
		c := h.dial("127.0.0.1:4000")
		c.want("220 ")
		c.say("EHLO client", "250 ")
		c.send("AUTH LOGIN\r\n")
		synctest.Wait()
		h.cancel()
		start := time.Now()
		c.want("334 ")
		c.want("421 4.3.2 ")
		if took := time.Since(start); took != time.Second {
			t.Errorf("told after %v", took)
		}
		c.gone()
		h.close()
	})
}

// slowKeys takes a second to begin.
type slowKeys struct{ keys }

func (k slowKeys) Begin(ctx context.Context, p auth.Peer, mechanism string) (Exchange, error) {
	time.Sleep(time.Second)
	return k.keys.Begin(ctx, p, mechanism)
}

type hanging struct{ *office }

func (h hanging) Recipient(ctx context.Context, _ *mail.Envelope, _ mail.Recipient) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestLMTPOutcomes answers for each recipient what became of it.
func TestLMTPOutcomes(t *testing.T) {
	t.Parallel()
	h := open(t, LMTP, nil)
	defer h.close()
	h.o.commit = func(env *mail.Envelope) ([]mail.Outcome, error) {
		if env.From.IsNull() {
			return nil, errors.New("the disk is on fire")
		}
		return []mail.Outcome{
			{Status: mail.Reply(250, "2.1.5", "in the mailbox")},
			{Status: mail.Reply(452, "4.2.2", "mailbox full"), Err: errors.New("quota")},
		}, nil // one is missing
	}
	c := h.dial("127.0.0.1:4000")
	c.want("220 ")
	c.say("LHLO client", "250 ")
	for _, from := range []string{"a@b.example", ""} {
		c.say("MAIL FROM:<"+from+">", "250 ")
		for range 3 {
			c.say("RCPT TO:<alice@us.example>", "250 ")
		}
		c.say("DATA", "354 ")
		if from != "" {
			c.say("x\r\n.", "250 2.0.0 accepted as ")
			c.want("452 4.2.2 mailbox full")
			c.want("451 4.3.0 ")
			continue
		}
		c.say("x\r\n.", "451 4.3.0 ")
		c.want("451 4.3.0 ")
		c.want("451 4.3.0 ")
	}
	c.say("QUIT", "221 ")
}

// TestEarlyTalker is S6: octets before the banner, over a real socket.
func TestEarlyTalker(t *testing.T) {
	t.Parallel()
	for _, allow := range []bool{false, true} {
		spoken := make(chan struct{})
		h := openTCP(t, MX, func(o *Options) {
			o.AllowEarly = allow
			o.Reverse = func(context.Context, netip.Addr) string { <-spoken; return "" }
		})
		k := h.dial("")
		k.send("HELO client\r\n")
		close(spoken)
		if allow {
			k.want("220 ")
			k.want("250 ")
			k.say("QUIT", "221 ")
		} else {
			k.want("554 5.5.1 ")
		}
		k.gone()
		k.c.Close()
		h.close()
	}
}

// TestTLS looks at the handshake: no tickets on MX, no other protocol, nothing
// old.
func TestTLS(t *testing.T) {
	t.Parallel()
	start := func(kind Kind) (*house, *client) {
		h := openTCP(t, kind, withTLS)
		if kind == Submissions {
			return h, &client{t: t, c: h.ring(outside)}
		}
		c := h.dial(outside)
		c.want("220 ")
		c.say("EHLO client", "250 ")
		c.say("STARTTLS", "220 2.0.0 ")
		return h, c
	}
	for _, kind := range []Kind{MX, Submission} {
		h, c := start(kind)
		cache := &countingCache{}
		if err := c.secure(&tls.Config{InsecureSkipVerify: true, ServerName: "mx.us.example", ClientSessionCache: cache}); err != nil {
			t.Fatal(err)
		}
		c.say("EHLO client", "250 ")
		c.say("QUIT", "221 ")
		c.gone()
		if tickets := cache.n > 0; tickets != (kind == Submission) {
			t.Errorf("%v: tickets %v", kind, tickets)
		}
		h.close()
	}
	for name, config := range map[string]*tls.Config{
		"ALPN":    {InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}},
		"TLS 1.1": {InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
	} {
		h, c := start(MX)
		if c.secure(config) == nil {
			t.Errorf("%s: the handshake went through", name)
		}
		c.c.Close()
		h.close()
		h, c = start(Submissions)
		if tls.Client(c.c, config).Handshake() == nil {
			t.Errorf("%s: the handshake went through", name)
		}
		c.c.Close()
		h.close()
	}
}

type countingCache struct{ n int }

func (c *countingCache) Get(string) (*tls.ClientSessionState, bool)    { return nil, false }
func (c *countingCache) Put(_ string, session *tls.ClientSessionState) { c.n++ }

// TestJournal reads back what sessions left: reasons, but no secrets.
func TestJournal(t *testing.T) {
	t.Parallel()
	j, err := journal.Open(journal.Options{FS: vfs.NewMemory(), Dir: "j", Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	h := open(t, Submission, func(o *Options) {
		o.Journal = j
		o.Log = slog.New(slog.NewTextHandler(&log, nil))
		o.Reverse = func(context.Context, netip.Addr) string { return "localhost" }
	})
	c := h.dial("127.0.0.1:4000")
	c.want("220 ")
	c.say("EHLO client", "250 ")
	c.say("AUTH PLAIN AGFsaWNlQHVzLmV4YW1wbGUAc2VjcmV0", "235 ")
	c.say("MAIL FROM:<bob@us.example>", "553 ")
	c.say("MAIL FROM:<alice@us.example>", "250 ")
	c.say("RCPT TO:<alice@us.example>", "250 ")
	c.say("RCPT TO:<nobody@us.example>", "550 ")
	c.say("DATA", "354 ")
	c.say("Message-ID: <m@x>\r\n\r\n.", "250 ")
	c.send("MAIL FROM:<panic@b.example>\r\n")
	c.gone()
	h.close()
	var got []string
	for e, err := range j.Find(context.Background(), journal.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %s %s %s %v %.7s %s %s", e.Kind, e.Remote, e.Name, e.From, e.To, e.Status, e.Reason, e.MessageID))
		if strings.Contains(fmt.Sprint(e), "c2VjcmV0") || strings.Contains(fmt.Sprint(e), "secret ") && e.Kind != "reject" {
			t.Errorf("a secret in %+v", e)
		}
	}
	want := []string{
		"connect 127.0.0.1:4000   []   ",
		"reject 127.0.0.1:4000  bob@us.example [] 553 5.7 send: a secret reason ",
		"reject 127.0.0.1:4000  alice@us.example [nobody@us.example] 550 5.1  ",
		"accept 127.0.0.1:4000  alice@us.example [alice@us.example] 250 2.0  <m@x>",
		"panic 127.0.0.1:4000   []  a bug in the intake ",
		"disconnect 127.0.0.1:4000   []   ",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if h.server.Panics() != 1 || !strings.Contains(log.String(), "helper_test.go") {
		t.Errorf("%d panics, log %q", h.server.Panics(), log.String())
	}
}
