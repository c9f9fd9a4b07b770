package abuse

import (
	"fmt"
	"strings"
	"testing"

	"plic/test/world"
)

// sequences are what one server or another took for the end of the data
// (CVE-2023-51764, -51765, -51766, CVE-2023-52354).
var sequences = []string{
	"\n.\n", "\n.\r", "\r.\n", "\r.\r", "\n.\r\n", "\r.\r\n", "\r\n\x00.\r\n", "\r\n.\n", "\r\n.\r\r\n", "\r\r\n.\r\r\n",
}

// second is a transaction that hides behind a sequence. Its own end is that of
// the message.
const second = "MAIL FROM:<admin@one.test>\r\nRCPT TO:<eve@one.test>\r\nDATA\r\nSubject: smuggled\r\n\r\nsmuggled\r\n.\r\n"

// ways are the ways to send a text: each gives its pieces. At an edge, the
// sequence lies across an octet where a buffer may end.
func ways() map[string]func(head, sequence string) []string {
	whole := func(head, sequence string) string { return head + "x" + sequence + second }
	all := map[string]func(head, sequence string) []string{
		"whole": func(head, sequence string) []string { return []string{whole(head, sequence)} },
		"bytes": func(head, sequence string) []string { return strings.Split(whole(head, sequence), "") },
	}
	for _, edge := range []int{4095, 4096, 4097, 8191, 8192, 8193} {
		all[fmt.Sprint(edge)] = func(head, sequence string) []string {
			filler := strings.Repeat("filler, filler, filler\r\n", edge/24+1)
			inside := 1 + len(sequence)/2 // of "x" and the sequence, before the edge
			for need := edge - inside - len(head); need > 0; need = edge - inside - len(head) {
				if need < 100 {
					head += strings.Repeat("y", need)
				} else {
					head += filler[:24]
				}
			}
			text := whole(head, sequence)
			return []string{text[:edge], text[edge:]}
		}
	}
	return all
}

func bare(text string) bool {
	rest := strings.ReplaceAll(text, "\r\n", "")
	return strings.ContainsAny(rest, "\r\n\x00")
}

// attack sends a message with a second one in it, after 354, and gives all that
// the server says until QUIT is answered.
func attack(c *world.Conn, pieces []string) string {
	for _, piece := range pieces {
		c.Send(piece)
	}
	c.Send("QUIT\r\n")
	return c.Rest()
}

// TestSmuggling: threat S1. On each port the message gets one reply, a refusal,
// and nobody gets anything; where bare newlines are normalised, one message is
// stored, without them.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	for i, policy := range []string{"refuse", "normalise"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			x := newTarget(t, fmt.Sprintf("127.80.%d", 100+i), map[string]string{"smtp.bare_newline": `"` + policy + `"`})
			open := map[string]func() *world.Conn{
				"smtp": func() *world.Conn { return x.SMTP(t) },
				"lmtp": func() *world.Conn {
					c := x.Dial(t, 24)
					c.Want("220 ")
					c.Must("250", "LHLO client.test")
					return c
				},
				"submission": func() *world.Conn {
					c := x.Dial(t, 587).Greet() // loopback may do without TLS, which keeps the pieces apart
					c.Must("235", "AUTH PLAIN %s", world.Plain(x.ann, world.Password))
					return c
				},
			}
			sent := 0
			for port, dial := range open {
				for n, sequence := range sequences {
					for way, pieces := range ways() {
						if way == "bytes" && port == "lmtp" {
							continue // it is the same code, and slow
						}
						name := fmt.Sprintf("%s %q %s", port, sequence, way)
						subject := fmt.Sprintf("first-%s-%d-%s", port, n, way)
						c := dial()
						c.Envelope(world.Letter{From: x.ann, To: []string{x.ann}})
						c.Must("354", "DATA")
						said := attack(c, pieces(text(x.ann, x.ann, subject), sequence))
						c.Close()
						lines := strings.Split(said, "\r\n")
						first := "550 5.6.0 "
						if policy == "normalise" {
							first = "250 2.0.0 "
							sent++
						}
						if len(lines) != 3 || !strings.HasPrefix(lines[0], first) || !strings.HasPrefix(lines[1], "221 ") {
							t.Errorf("%s: the server says %q", name, said)
						}
					}
				}
			}
			got := x.Inbox(t, x.ann)
			if len(got) != sent {
				t.Errorf("%d messages are stored, not %d", len(got), sent)
			}
			for _, m := range got {
				if bare(m) || !strings.Contains(m, "MAIL FROM:<admin@one.test>\r\n") {
					t.Errorf("stored: %q", m)
				}
			}
			if got := x.Inbox(t, x.eve); len(got) > 0 {
				t.Errorf("smuggled: %q", got)
			}
		})
	}
}

// TestSmugglingOut: threat S2. What was submitted with bare newlines, by DATA
// or BDAT, is refused, or goes out without them, as one message.
func TestSmugglingOut(t *testing.T) {
	t.Parallel()
	for i, policy := range []string{"refuse", "normalise"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			x := newTarget(t, fmt.Sprintf("127.80.%d", 102+i), map[string]string{"smtp.bare_newline": `"` + policy + `"`})
			sent := 0
			for n, sequence := range sequences {
				c := x.Submission(t, x.ann)
				for _, verb := range []string{"DATA", "BDAT", "BDATS"} {
					subject := fmt.Sprintf("out-%d-%s", n, verb)
					head := text(x.ann, "carl@far.test", subject) + "x"
					body := head + sequence + strings.TrimSuffix(second, ".\r\n")
					c.Envelope(world.Letter{From: x.ann, To: []string{"carl@far.test"}})
					reply := submit(c, verb, body, len(head)+len(sequence)/2)
					if policy == "normalise" {
						want(t, subject, reply, "250 2.0.0 ")
						sent++
						continue
					}
					if !strings.HasPrefix(reply, "550 5.6.0 ") && !(verb == "BDATS" && strings.HasPrefix(reply, "503 ")) {
						t.Errorf("%s: %q", subject, reply)
					}
				}
				c.Close()
			}
			x.far.Wait(t, sent)
			world.Wait(t, "an empty queue", func() bool { return len(x.Queue(t)) == 0 })
			if got := len(x.far.Messages()); got != sent {
				t.Errorf("%d messages went out, not %d", got, sent)
			}
			for _, m := range x.far.Messages() {
				if bare(string(m.Data)) || !strings.Contains(string(m.Data), "RCPT TO:<eve@one.test>\r\n") {
					t.Errorf("this went out: %q", m.Data)
				}
			}
			for _, line := range x.far.Commands() {
				no(t, "a command at the other host", line, "admin@one.test", "eve@one.test")
			}
		})
	}
}

// submit sends a message in one of three ways, in two chunks that are cut
// somewhere for BDATS, and gives the last reply.
func submit(c *world.Conn, verb, body string, cut int) string {
	switch verb {
	case "DATA":
		c.Must("354", "DATA")
		c.Send(body + ".\r\n")
	case "BDAT":
		c.Send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(body), body))
	default:
		c.Send(fmt.Sprintf("BDAT %d\r\n%s", cut, body[:cut]))
		c.Reply()
		c.Send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(body)-cut, body[cut:]))
	}
	return c.Reply()
}
