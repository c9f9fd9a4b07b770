package remote_test

import (
	"context"
	"io"
	"iter"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/deliver/delivertest"
	"plic/internal/deliver/remote"
	"plic/internal/mail"
	"plic/internal/queue"
)

// on does something instead of one step.
func on(step string, do func(*delivertest.Conn)) *delivertest.Remote {
	return &delivertest.Remote{Extensions: []string{"PIPELINING"}, On: func(c *delivertest.Conn, at, _ string) bool {
		if at == step {
			do(c)
		}
		return at == step
	}}
}

func reply(lines ...string) func(*delivertest.Conn) {
	return func(c *delivertest.Conn) { c.Reply(lines...) }
}

// What a refusal is about is known of each, in the words of the host or in
// ours.
func TestFaults(t *testing.T) {
	t.Parallel()
	tls := on("HANDSHAKE", (*delivertest.Conn).End)
	tls.TLS = delivertest.ServerTLS("mx.test")
	injected := on("STARTTLS", reply("220 go ahead", "250-mx.test", "250 SIZE 10000000"))
	injected.Extensions = append(injected.Extensions, "STARTTLS")
	for name, test := range map[string]struct {
		host *delivertest.Remote
		want mail.Fault
	}{
		"mailbox gone":     {on("RCPT", reply("550 5.1.1 no such user")), mail.FaultMailbox},
		"without a code":   {on("RCPT", reply("550 no")), mail.FaultMailbox},
		"after the data":   {on(".", reply("550 no")), mail.FaultPolicy},
		"spam":             {on(".", reply("554 5.7.1 this looks like spam, see policy")), mail.FaultPolicy},
		"full":             {on("RCPT", reply("452 4.2.2 full")), mail.FaultFull},
		"greylisted":       {on("RCPT", reply("451 4.7.1 greylisted, try again in 5 minutes")), mail.FaultGreylist},
		"blocklisted":      {on("CONNECT", reply("554 5.7.1 blocked using zen.spamhaus.org")), mail.FaultReputation},
		"busy":             {on("MAIL", reply("421 4.3.2 too many connections")), mail.FaultRate},
		"too large":        {&delivertest.Remote{Extensions: []string{"SIZE 10"}}, mail.FaultSize},
		"silent":           {on("DATA", (*delivertest.Conn).Wait), mail.FaultNetwork},
		"gone":             {on("MAIL", (*delivertest.Conn).End), mail.FaultNetwork},
		"another protocol": {on("CONNECT", reply("+OK POP3 ready")), mail.FaultProtocol},
		"out of turn":      {on("MAIL", reply("354 go ahead")), mail.FaultProtocol},
		"TLS breaks":       {tls, mail.FaultTLS},
		"injected":         {injected, mail.FaultTLS},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := oneHost(t, test.host)
				tr := w.transport(func(o *remote.Options) { o.NoClearRetry = true })
				item, body := to(toMX, "a")
				o := tr.Deliver(t.Context(), item, body)[0]
				w.end(tr)
				if o.Fault != test.want || o.Status.Class() == mail.Success {
					t.Errorf("%q: %v (%v) is about %q, want %q", name, o.Status, o.Err, o.Fault, test.want)
				}
				if want := map[bool]time.Duration{true: 5 * time.Minute}[name == "greylisted"]; o.After != want {
					t.Errorf("comes back after %v", o.After)
				}
			})
		})
	}
	t.Run("no host", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, nil)
			tr := w.transport(nil)
			item, body := to(toMX, "a")
			if o := tr.Deliver(t.Context(), item, body)[0]; o.Fault != mail.FaultDNS {
				t.Errorf("%v is about %q", o.Status, o.Fault)
			}
			w.end(tr)
		})
	})
}

// What was put between STARTTLS and the handshake is believed by nobody, and
// the message does not go out after it, not even in clear (CVE-2011-0411).
func TestInjection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		host := on("STARTTLS", func(c *delivertest.Conn) {
			io.WriteString(c, "220 go ahead\r\n250-mx.test\r\n250 AUTH PLAIN\r\n")
			c.Handshake()
		})
		host.TLS = delivertest.ServerTLS("mx.test")
		w := oneHost(t, host)
		tr := w.transport(nil)
		item, body := to(toMX, "a")
		o := tr.Deliver(t.Context(), item, body)[0]
		w.end(tr)
		if o.Status.Code != 451 || len(host.Messages()) != 0 {
			t.Errorf("%v, %d messages", o.Status, len(host.Messages()))
		}
	})
}

// A host that resets the connection after the final dot may have taken the
// message: it is tried again later, never at the next host.
func TestResetAfterTheDot(t *testing.T) {
	t.Parallel()
	bad := &delivertest.Remote{On: func(c *delivertest.Conn, step, _ string) bool {
		if step != "." {
			return false
		}
		c.Reset()
		return true
	}}
	good := &delivertest.Remote{}
	var addresses [2]string
	hosts := map[string]*delivertest.Remote{}
	for i, host := range []*delivertest.Remote{bad, good} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go host.Serve(conn)
			}
		}()
		addresses[i] = l.Addr().String()
	}
	w := newWorld(t, hosts, "mx.test 60 IN MX 10 a.test.", "mx.test 60 IN MX 20 b.test.", "a.test 60 IN A 192.0.2.1", "b.test 60 IN A 192.0.2.2")
	tr := w.transport(func(o *remote.Options) {
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			real := addresses[0]
			if strings.HasPrefix(address, "192.0.2.2:") {
				real = addresses[1]
			}
			return new(net.Dialer).DialContext(ctx, network, real)
		}
	})
	defer tr.Close()
	item, body := to(toMX, "a")
	o := tr.Deliver(t.Context(), item, body)[0]
	if o.Status.Code != 451 || o.Fault != mail.FaultNetwork || !strings.Contains(o.Status.Text, "may arrive twice") || good.Connections() != 0 {
		t.Errorf("%v about %q, the other host was reached %d times", o.Status, o.Fault, good.Connections())
	}
}

// slowly writes one octet a second.
func slowly(text string) func(*delivertest.Conn) {
	return func(c *delivertest.Conn) {
		for i := range len(text) {
			if _, err := io.WriteString(c, text[i:i+1]); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		c.End()
	}
}

// A host that is only slow gets its mail; one that is slow for ever does not
// hold the delivery for ever.
func TestSlowHosts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := oneHost(t, on("CONNECT", slowly("220-"+strings.Repeat("wait ", 500))))
		tr := w.transport(nil)
		item, body := to(toMX, "a")
		began := time.Now()
		o := tr.Deliver(t.Context(), item, body)[0]
		if took := time.Since(began); took > 6*time.Minute || o.Status.Code != 451 {
			t.Errorf("%v after %v", o.Status, took)
		}
		w.end(tr)
	})
	synctest.Test(t, func(t *testing.T) {
		host := &delivertest.Remote{On: func(c *delivertest.Conn, step, _ string) bool {
			time.Sleep(4 * time.Minute)
			return false
		}}
		w := oneHost(t, host)
		tr := w.transport(func(o *remote.Options) { o.Timeouts.DataStart = 5 * time.Minute })
		item, body := to(toMX, "a")
		if o := tr.Deliver(t.Context(), item, body)[0]; o.Status.Code != 250 || len(host.Messages()) != 1 {
			t.Errorf("%v, %d messages", o.Status, len(host.Messages()))
		}
		w.end(tr)
	})
}

// shelf is the custody of a queue in memory.
type shelf struct {
	mu      sync.Mutex
	items   map[mail.ID]mail.Item
	reports []string
}

func (s *shelf) Items(context.Context) iter.Seq2[mail.Item, error] {
	return func(yield func(mail.Item, error) bool) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, item := range s.items {
			if !yield(item, nil) {
				return
			}
		}
	}
}

func (s *shelf) Item(_ context.Context, id mail.ID) (mail.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if item, ok := s.items[id]; ok {
		return item, nil
	}
	return mail.Item{}, queue.ErrNotFound
}

func (s *shelf) OpenBody(context.Context, *mail.Item) (mail.Body, error) {
	return delivertest.Body(text), nil
}

func (s *shelf) Settle(_ context.Context, x queue.Settlement) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, item := range x.Put {
		s.items[item.ID] = item
	}
	for _, id := range x.Drop {
		delete(s.items, id)
	}
	for _, r := range x.Reports {
		s.reports = append(s.reports, string(r.Message))
	}
	return nil
}

// Report says what became of the first recipient.
func (s *shelf) Report(_ *mail.Item, fates []mail.Fate) (queue.Report, bool) {
	kind := map[mail.Notify]string{mail.NotifyFailure: "failure", mail.NotifyDelay: "delay"}[fates[0].Kind]
	return queue.Report{Message: []byte(kind + " " + string(fates[0].Fault))}, true
}

// Five days of a host that is bad in another way each time: the sender is told
// once of the delay and once of the end, the item knows how it was tried, and
// the host is not troubled more often than it should be. Had it mended its
// ways on the last day, the message would have been delivered.
func TestFiveDays(t *testing.T) {
	t.Parallel()
	for name, mended := range map[string]time.Duration{"never mended": 100 * 24 * time.Hour, "mended on the last day": 4*24*time.Hour + 22*time.Hour} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				ways := []func(*delivertest.Conn){
					(*delivertest.Conn).Wait, (*delivertest.Conn).End, reply("450 4.2.0 later"), reply("421 4.3.2 busy"),
					slowly(strings.Repeat("2", 3000)), reply("nonsense"),
				}
				var conns atomic.Int32
				host := &delivertest.Remote{On: func(c *delivertest.Conn, step, _ string) bool {
					if time.Since(began) >= mended {
						return false
					}
					if step == "CONNECT" {
						conns.Add(1)
					}
					n := int(conns.Load())
					if at := []string{"CONNECT", "MAIL", "RCPT", "DATA", "."}[n%5]; step != at {
						return false
					}
					ways[n%len(ways)](c)
					return true
				}}
				w := oneHost(t, host)
				tr := w.transport(nil)
				item, _ := to(toMX, "a")
				item.Due, item.Envelope.Received, item.Expires = began, began, began.Add(5*24*time.Hour)
				item.Envelope.From = mail.MustAddress("from@client.test")
				s := &shelf{items: map[mail.ID]mail.Item{item.ID: *item}}
				q := queue.New(queue.Options{Custody: s, Reporter: s, Transports: map[mail.HopKind]queue.Transport{mail.HopRemote: tr}})
				ctx, stop := context.WithCancel(t.Context())
				var run sync.WaitGroup
				run.Go(func() { q.Run(ctx) })
				time.Sleep(4*24*time.Hour + 20*time.Hour)
				s.mu.Lock()
				left := s.items[item.ID]
				s.mu.Unlock()
				if len(left.Tries) != 32 || left.Tries[0].Number != 1 || left.Tries[31].Fault == "" || left.Attempts < 90 {
					t.Errorf("after %d tries %d are remembered", left.Attempts, len(left.Tries))
				}
				time.Sleep(8 * time.Hour)
				stop()
				run.Wait()
				w.end(tr)
				reports := strings.Join(s.reports, ", ")
				delivered := len(host.Messages()) == 1
				if len(s.items) != 0 || delivered != strings.HasPrefix(name, "mended") || !strings.HasPrefix(reports, "delay ") || strings.Contains(reports, "failure ") == delivered || len(s.reports) > 2 {
					t.Errorf("%d items left, delivered %v, reports %q", len(s.items), delivered, reports)
				}
				if n := host.Connections(); n < 90 || n > 140 {
					t.Errorf("reached %d times", n)
				}
			})
		})
	}
}
