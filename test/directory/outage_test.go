package directory

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"plic/test/world"
)

// cut ends a server while mail comes in and people log in, and has it come back.
type cut struct {
	name, domain string
	down, up     func() error
}

// TestOutage kills, stops and freezes the places of accounts under load. Mail for
// their people waits, nothing comes back to its sender, others do not notice, and
// all is well again by itself.
func TestOutage(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.76.151")
	p, pg, slapd := everywhere(t, w, map[string]string{
		"route.transports": `""`, // which would concern everybody
		"source.pg.cache":  `"0s"`, "source.pg.cache_missing": `"0s"`, "source.pg.timeout": `"2s"`,
		"source.ldap.cache": `"0s"`, "source.ldap.cache_missing": `"0s"`, "source.ldap.timeout": `"2s"`,
	})
	far := w.Plic(t, world.Site{Host: "out.far.test", Domain: "far.test"})
	me := far.Account(t, "me")
	for _, domain := range []string{"pgsql.test", "ldap.test", "sqlite.test"} {
		w.MX(t, domain, 10, p.Host)
	}
	again := func() error { return pg.Start(t.Context()) }
	sent := map[string]int{}
	for _, c := range []cut{
		{"a crash", "pgsql.test", pg.Kill, again},
		{"a restart", "pgsql.test", pg.Stop, again},
		{"a kill", "ldap.test", slapd.Kill, func() error { return slapd.Start(t.Context()) }},
		{"a hang", "ldap.test", slapd.Freeze, slapd.Thaw},
	} {
		submit := func(n int) {
			s := far.Submission(t, me)
			defer s.Close()
			for range n {
				sent[c.domain]++
				to := "ann@" + c.domain
				s.Deliver(world.Letter{From: me, To: []string{to}, Text: text(me, to, fmt.Sprintf("%s-%d", c.domain, sent[c.domain]))})
			}
		}
		submit(10)
		var load sync.WaitGroup
		stop := make(chan struct{})
		load.Go(func() { guests(t, p, c.domain, stop) })
		must(t, c.down())
		denied(t, p, c)
		submit(10)
		untouched(t, p)
		must(t, c.up())
		submit(10)
		world.Wait(t, "all mail after "+c.name, func() bool {
			conn := w.Dial(t, "", p.Address+":993", p.Host)
			defer conn.Close()
			conn.Handshake()
			conn.Line()
			lines := conn.IMAP(`LOGIN ann@%s "secret of ann"`, c.domain)
			return strings.HasPrefix(lines[len(lines)-1], "OK") && strings.Contains(strings.Join(conn.IMAP("STATUS INBOX (MESSAGES)"), ""), fmt.Sprintf("MESSAGES %d", sent[c.domain]))
		})
		close(stop)
		load.Wait()
		box := login(t, p, "ann@"+c.domain, "secret of ann")
		seen := map[string]bool{}
		for _, m := range box.Messages("INBOX") {
			_, rest, _ := strings.Cut(m, "Subject: ")
			subject, _, _ := strings.Cut(rest, "\r\n")
			if seen[subject] {
				t.Errorf("after %s, %s is there twice", c.name, subject)
			}
			seen[subject] = true
		}
		box.Close()
		if len(seen) != sent[c.domain] {
			t.Errorf("after %s: %d of %d messages", c.name, len(seen), sent[c.domain])
		}
	}
	back := far.IMAP(t, me)
	if got := back.Messages("INBOX"); len(got) != 0 {
		t.Errorf("%d messages came back, the first:\n%s", len(got), got[0])
	}
	if left := far.Queue(t); len(left) != 0 {
		t.Errorf("%d messages still wait", len(left))
	}
}

// guests ask for recipients all the time, and are told yes or later; never no.
func guests(t *testing.T, p *world.Plic, domain string, stop chan struct{}) {
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for {
		select {
		case <-stop:
			return
		case <-pace.C:
		}
		c := p.SMTP(t)
		c.Must("250 ", "MAIL FROM:<x@far.test>")
		if got := c.Ask("RCPT TO:<bob@%s>", domain); !strings.HasPrefix(got, "250 ") && !strings.HasPrefix(got, "451 4.3.0 ") {
			t.Errorf("bob@%s: %s", domain, got)
		}
		if got := c.Ask("RCPT TO:<nobody@%s>", domain); !strings.HasPrefix(got, "550 5.1.1 ") && !strings.HasPrefix(got, "451 4.3.0 ") {
			t.Errorf("nobody@%s: %s", domain, got)
		}
		c.Close()
	}
}

// denied sees the answers of every protocol while a source is down.
func denied(t *testing.T, p *world.Plic, c cut) {
	t.Helper()
	smtp := p.SMTP(t)
	defer smtp.Close()
	smtp.Must("250 ", "MAIL FROM:<x@far.test>")
	smtp.Must("451 4.3.0", "RCPT TO:<ann@%s>", c.domain)
	smtp.Must("451 4.3.0", "RCPT TO:<nobody@%s>", c.domain)
	imap := p.World.Dial(t, "", p.Address+":993", p.Host)
	defer imap.Close()
	imap.Handshake()
	imap.Line()
	if got := strings.Join(imap.IMAP(`LOGIN ann@%s "secret of ann"`, c.domain), ""); !strings.HasPrefix(got, "NO [UNAVAILABLE]") {
		t.Errorf("%s: IMAP says %q", c.name, got)
	}
	pop := p.World.Dial(t, "", p.Address+":995", p.Host)
	defer pop.Close()
	pop.Handshake()
	pop.Want("+OK")
	pop.Must("+OK", "USER ann@%s", c.domain)
	pop.Must("-ERR [SYS/TEMP]", "PASS secret of ann")
	out := p.World.Dial(t, "", p.Address+":465", p.Host)
	defer out.Close()
	out.Handshake()
	out.Greet()
	out.Must("454 4.7.0", "AUTH PLAIN %s", world.Plain("ann@"+c.domain, "secret of ann"))
	if _, errs, code := p.Command(t, "", "directory", "lookup", "--fresh", "ann@"+c.domain); code != 1 || !strings.Contains(errs, "temporary trouble: source ") {
		t.Errorf("%s: plic directory lookup says %q", c.name, errs)
	}
}

// untouched sees that people of other sources go on.
func untouched(t *testing.T, p *world.Plic) {
	t.Helper()
	login(t, p, "ann@sqlite.test", "secret of ann").Close()
	c := p.SMTP(t)
	defer c.Close()
	c.Must("250 ", "MAIL FROM:<x@far.test>")
	c.Must("250 ", "RCPT TO:<bob@sqlite.test>")
}
