package abuse

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"plic/internal/journal"
	"plic/test/world"
)

// policyServer speaks Postfix's policy delegation: who is asked about a recipient
// that begins with "later" has him come back.
func policyServer(t *testing.T, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				action := "DUNNO"
				for lines := bufio.NewScanner(nc); lines.Scan(); {
					switch line := lines.Text(); {
					case strings.HasPrefix(line, "recipient=later"):
						action = "DEFER_IF_PERMIT the policy says later"
					case line == "":
						fmt.Fprintf(nc, "action=%s\n\n", action)
						action = "DUNNO"
					}
				}
			}()
		}
	}()
}

// proxy2 is a header of the PROXY protocol, version 2.
func proxy2(from string) string {
	head := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x21, 0x11, 0, 12)
	head = append(head, netip.MustParseAddr(from).AsSlice()...)
	return string(append(head, 203, 0, 113, 1, 4000>>8, 4000&255, 0, 25))
}

// TestAccess: what [access] says of strangers, whoever speaks for them: by either
// version of the PROXY protocol, or by XCLIENT. The journal says why.
func TestAccess(t *testing.T) {
	t.Parallel()
	const network = "127.80.129"
	const proxy, policy = network + ".201", network + ".202:10040"
	balancer := network + ".200"
	policyServer(t, policy)
	x := newTarget(t, network, map[string]string{
		"access.proxies": `["` + balancer + `/32"]`, "access.xclient": `["` + proxy + `/32"]`, "access.policy_server": `"` + policy + `"`,
		"access.clients": `{"198.51.100.66" = "REJECT we know you"}`, "access.helos": `{"spam.test" = "REJECT"}`,
		"access.senders": `{"far.test" = "DUNNO", "eve@far.test" = "550 5.7.1 not you"}`, "access.recipients": `{"trap@one.test" = "REJECT not her"}`,
		"access.strict_helo": "true", "access.connections": "2", "access.network_messages": "2", "access.network_recipients": "4", "access.account_messages": "1",
	})
	x.Alias(t, "trap@one.test", x.ann)
	x.Alias(t, "later@one.test", x.ann)
	ways := map[string]func(t *testing.T, ip string) *world.Conn{
		"PROXY": func(t *testing.T, ip string) *world.Conn {
			c := x.World.Dial(t, balancer, x.Address+":25", x.Host)
			c.Send("PROXY TCP4 " + ip + " 203.0.113.1 4000 25\r\n")
			return c
		},
		"PROXY2": func(t *testing.T, ip string) *world.Conn {
			c := x.World.Dial(t, balancer, x.Address+":25", x.Host)
			c.Send(proxy2(ip))
			return c
		},
		"XCLIENT": func(t *testing.T, ip string) *world.Conn {
			c := x.World.Dial(t, proxy, x.Address+":25", x.Host).Greet()
			c.Send("XCLIENT ADDR=" + ip + "\r\n")
			return c
		},
	}
	number := 0
	for way, dial := range ways {
		number++
		stranger := func(t *testing.T, n int) *world.Conn {
			return dial(t, fmt.Sprintf("198.51.%d.1", 20*number+n))
		}
		t.Run(way, func(t *testing.T) {
			dial(t, "198.51.100.66").Want("554 5.7.1 we know you")
			for n, row := range [][2]string{
				{"EHLO spam.test", "554 5.7.1"}, {"HELO desktop", "550 5.5.2"}, {"EHLO mx.one.test", "550 5.7.1 that is our name"},
				{"MAIL FROM:<eve@far.test>", "550 5.7.1 not you"}, {"MAIL FROM:<x@none.test>", "550 5.1.8"},
				{"RCPT TO:<trap@one.test>", "554 5.7.1 not her"}, {"RCPT TO:<later@one.test>", "450 4.7.1 the policy says later"}, {"RCPT TO:<nobody@one.test>", "550 5.1.1"}, {"RCPT TO:<ann+x@far.test>", "550 5.7.1"},
			} {
				c := stranger(t, n)
				c.Want("220 ")
				if strings.HasPrefix(row[0], "MAIL") || strings.HasPrefix(row[0], "RCPT") {
					c.Must("250", "EHLO mx.far.test")
				}
				if strings.HasPrefix(row[0], "RCPT") {
					c.Must("250 ", "MAIL FROM:<friend@far.test>")
				}
				if got := c.Ask("%s", row[0]); !strings.HasPrefix(got, row[1]) {
					t.Errorf("%s: %q, not %s", row[0], got, row[1])
				}
				c.Close()
			}
			// Two connections in a minute, two messages and four recipients in an hour,
			// whichever host of the network.
			c := stranger(t, 19)
			c.Greet()
			letter := world.Letter{From: "friend@far.test", To: []string{x.ann}, Text: text("friend@far.test", x.ann, way)}
			id := c.Deliver(letter)
			c.Must("250 ", "MAIL FROM:<friend@far.test>")
			for range 3 {
				c.Must("250 ", "RCPT TO:<%s>", x.ann)
			}
			c.Must("451 4.7.0 too many recipients", "RCPT TO:<%s>", x.ann)
			c.Must("250 ", "RSET")
			c.Must("451 4.7.0 too many messages", "MAIL FROM:<friend@far.test>")
			stranger(t, 19).Want("220 ")
			stranger(t, 19).Want("421 4.7.0 ")
			if e := x.WaitJournal(t, id, journal.Accept); !strings.HasPrefix(e.Remote, fmt.Sprintf("198.51.%d.1:", 20*number+19)) {
				t.Errorf("the journal has it from %q", e.Remote)
			}
		})
	}
	// Nobody else speaks for others.
	if got := x.SMTP(t).Ask("XCLIENT ADDR=198.51.98.1"); !strings.HasPrefix(got, "550 5.7.1") {
		t.Errorf("XCLIENT from anywhere: %q", got)
	}
	s := x.Submission(t, x.ann)
	s.Deliver(world.Letter{From: x.ann, To: []string{x.eve}, Text: text(x.ann, x.eve, "first")})
	s.Must("451 4.7.0 too many messages", "MAIL FROM:<%s>", x.ann)
	events := x.Run(t, "journal", "--event", journal.Reject)
	for _, why := range []string{"we know you", "not you", "not her", "the policy says later", "too many messages from your network", "too many messages from this account"} {
		if !strings.Contains(events, why) {
			t.Errorf("the journal does not say %q:\n%.3000s", why, events)
		}
	}
}
