package smtpd

import (
	"strings"
	"testing"
	"time"

	"plic/internal/mail"
)

// RFC 6710, RFC 4865 and RFC 2852 are for our own senders only.
func TestTiming(t *testing.T) {
	t.Parallel()
	h := open(t, Submission, nil)
	defer h.close()
	c := h.dial("127.0.0.1:4000")
	c.want("220 ")
	for _, line := range c.ehlo() {
		for _, word := range []string{"MT-PRIORITY", "FUTURERELEASE", "DELIVERBY"} {
			if strings.Contains(line, word) {
				t.Errorf("a stranger is offered %q", line)
			}
		}
	}
	c.say("AUTH PLAIN AGFsaWNlQHVzLmV4YW1wbGUAc2VjcmV0", "235 ")
	offers := strings.Join(c.ehlo(), "\n")
	for _, word := range []string{"-MT-PRIORITY\n", "-FUTURERELEASE 2592000 20", "-DELIVERBY\n"} {
		if !strings.Contains(offers, word) {
			t.Errorf("%q is not offered in\n%s", word, offers)
		}
	}
	c.say("MAIL FROM:<alice@us.example> HOLDFOR=2592001", "501 5.5.4 ")
	c.say("MAIL FROM:<alice@us.example> HOLDUNTIL=2999-01-01T00:00:00Z", "501 5.5.4 ")
	c.say("MAIL FROM:<alice@us.example> MT-PRIORITY=4 HOLDFOR=3600 BY=7200;RT", "250 ")
	c.say("RCPT TO:<alice@us.example>", "250 ")
	c.say("DATA", "354 ")
	c.say("Subject: later\r\n\r\n.", "250 ")
	h.o.mu.Lock()
	got := h.o.got
	h.o.mu.Unlock()
	if len(got) != 1 {
		t.Fatalf("%d messages taken", len(got))
	}
	taken := got[0]
	env := taken.env
	if env.Priority != 4 || env.Release.Sub(env.Received) != time.Hour || env.By != (mail.DeliverBy{At: env.Received.Add(2 * time.Hour), Return: true, Trace: true}) {
		t.Errorf("envelope %+v", env)
	}
	if !strings.Contains(taken.trace, "\r\n\tpriority 4;") {
		t.Errorf("trace %q", taken.trace)
	}
}

// ehlo gives the lines of the answer to EHLO.
func (k *client) ehlo() (lines []string) {
	k.send("EHLO client\r\n")
	for {
		line := k.next()
		if lines = append(lines, line); len(line) < 4 || line[3] != '-' {
			return lines
		}
	}
}

func TestTimingOfStrangers(t *testing.T) {
	t.Parallel()
	h := open(t, MX, nil)
	defer h.close()
	c := h.dial(outside)
	c.want("220 ")
	c.say("EHLO client", "250 ")
	for _, parameter := range []string{"MT-PRIORITY=1", "HOLDFOR=60", "HOLDUNTIL=2999-01-01T00:00:00Z", "BY=60;N"} {
		c.say("MAIL FROM:<a@b.example> "+parameter, "555 5.5.4 ")
	}
}
