// Package internet tests how hosts exchange mail: plic as it is served with
// itself and with real Postfix, Exim and OpenSMTPD, over a little internet with
// MX records and certificates, through hosts that are dead, slow or hostile.
package internet

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"plic/internal/journal"
	"plic/test/world"
)

var binary string

func TestMain(m *testing.M) { os.Exit(world.Main(m, &binary)) }

// net is what most tests share: two sites with plic and one with Postfix.
type net struct {
	*world.World
	one, two *world.Plic
	peer     *world.MTA
}

func TestInternet(t *testing.T) {
	t.Parallel()
	n := &net{World: world.New(t, binary, "127.80.1")}
	n.one = n.Plic(t, world.Site{Host: "mx.one.test", Domain: "one.test"})
	n.two = n.Plic(t, world.Site{Host: "mx.two.test", Domain: "two.test"})
	n.peer = n.Postfix(t, "mx.peer.test", "peer.test", []string{"bob", "list", "sender", "sender1", "jürgen"}, "")
	for _, x := range []struct {
		name string
		test func(*testing.T, *net)
	}{
		{"Whole", whole}, {"Postfix", withPostfix}, {"Preference", preference}, {"NoMX", noMX}, {"Company", company}, {"DeadHost", deadHost},
		{"BrokenTLS", brokenTLS}, {"Retry", retry}, {"Greylist", greylist}, {"Bounce", bounces}, {"BounceToPeer", bounceToPeer}, {"NullMX", nullMX}, {"NoDomain", noDomain},
		{"UnknownUser", unknownUser}, {"Alias", alias}, {"AliasLoop", aliasLoop}, {"OwnMX", ownMX}, {"Hops", hops},
		{"Recipients", recipients}, {"SplitRecipients", splitRecipients}, {"UTF8", wideAddresses}, {"UTF8Refused", utf8Refused},
		{"Delivered", delivered}, {"Relayed", relayed}, {"Expanded", expanded}, {"Never", never},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			x.test(t, n)
		})
	}
}

// text is a message with a subject that no other has.
func text(from, to, subject string) string {
	return fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n"+
		"Message-ID: <%s@test>\r\n\r\nHello.\r\n.\r\n..dots\r\n", from, to, subject, subject)
}

// send submits a message from an account of a site and gives its id and text.
func send(t *testing.T, p *world.Plic, from, subject string, to ...string) (id, sent string) {
	t.Helper()
	c := p.Submission(t, from)
	defer c.Close()
	sent = text(from, to[0], subject)
	return c.Deliver(world.Letter{From: from, To: to, Text: sent}), sent
}

// has fails unless a text holds all the parts.
func has(t *testing.T, what, got string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(got, part) {
			t.Errorf("%s lacks %q:\n%s", what, part, got)
		}
	}
}

// relayedTo fails unless the journal says that a message went to a host, over
// TLS or not.
func relayedTo(t *testing.T, p *world.Plic, id, host string, tls bool) {
	t.Helper()
	if e := p.WaitJournal(t, id, journal.Relayed); e.Host != host {
		t.Errorf("the journal says that %s went to %q, not %s", id, e.Host, host)
	}
	for _, e := range p.Journal(t, id) {
		if e.Kind == journal.Attempt && e.Status == "" && e.Host == host {
			if tls != strings.HasPrefix(e.TLS, "TLS 1.") {
				t.Errorf("the attempt was made with TLS %q: %+v", e.TLS, e)
			}
			return
		}
	}
	t.Errorf("the journal has no good attempt at %s for %s: %+v", host, id, p.Journal(t, id))
}

// A message goes from submission to another site's IMAP and POP3 byte for byte,
// over TLS, and both journals tell its way.
func whole(t *testing.T, n *net) {
	ann, bea := n.one.Account(t, "ann"), n.two.Account(t, "bea")
	id, sent := send(t, n.one, ann, "whole", bea)
	got := n.two.WaitMail(t, bea, "Subject: whole")
	if !strings.HasSuffix(got, "\r\n"+sent) {
		t.Errorf("the text has changed:\n%q\nwas\n%q", got, sent)
	}
	has(t, "the message", got, "Return-Path: <"+ann+">\r\nDelivered-To: "+bea+"\r\n",
		"by mx.two.test with ESMTPS id ", "by mx.one.test with ESMTPSA id "+id, "(TLS1.3) tls TLS_", "from mx.one.test ")
	relayedTo(t, n.one, id, "mx.two.test", true)

	// The same message is known to both journals by its Message-ID.
	kinds := map[string]bool{}
	for _, e := range n.two.Journal(t, "<whole@test>") {
		kinds[e.Kind] = true
		if e.Kind == journal.Accept && (!strings.HasPrefix(e.TLS, "TLS 1.3") || e.From != ann || e.Helo != "mx.one.test") {
			t.Errorf("two's journal: %+v", e)
		}
		if e.Kind == journal.Deliver && (e.Account != bea || e.Mailbox != "INBOX" || e.UID == 0) {
			t.Errorf("two's journal: %+v", e)
		}
	}
	if !kinds[journal.Accept] || !kinds[journal.Deliver] {
		t.Errorf("two's journal has only %v", kinds)
	}
	for _, line := range []string{"relayed", "mx.two.test", bea} {
		has(t, "plic journal", n.one.Run(t, "journal", id), line)
	}

	pop := n.two.Dial(t, 995)
	pop.Handshake()
	for _, command := range []string{"", "USER " + bea, "PASS " + world.Password, "RETR 1"} {
		if command != "" {
			pop.Send(command + "\r\n")
		}
		if line := pop.Line(); !strings.HasPrefix(line, "+OK") {
			t.Fatalf("%q: %q", command, line)
		}
	}
	var lines []string
	for line := pop.Line(); line != "."; line = pop.Line() {
		lines = append(lines, strings.TrimPrefix(line, "."))
	}
	if pulled := strings.Join(lines, "\r\n") + "\r\n"; pulled != got {
		t.Errorf("POP3 gives\n%q\nIMAP\n%q", pulled, got)
	}
}

// Mail goes to real Postfix and comes from it, over TLS.
func withPostfix(t *testing.T, n *net) {
	ann := n.one.Account(t, "to.postfix")
	id, sent := send(t, n.one, ann, "to-postfix", "bob@peer.test")
	got := n.peer.WaitMail(t, "bob", "Subject: to-postfix")
	if !strings.HasSuffix(strings.ReplaceAll(got, "\n", "\r\n"), sent) {
		t.Errorf("the text has changed:\n%q\nwas\n%q", got, sent)
	}
	has(t, "the message", got, "(using TLSv1.3 with cipher", "from mx.one.test ", "by mx.peer.test (Postfix) with ESMTPS id")
	relayedTo(t, n.one, id, "mx.peer.test", true)

	n.peer.Dial(t).Deliver(world.Letter{From: "bob@peer.test", To: []string{ann}, Text: text("bob@peer.test", ann, "from-postfix")})
	got = n.one.WaitMail(t, ann, "Subject: from-postfix")
	has(t, "the message", got, "Return-Path: <bob@peer.test>\r\n", "from mx.peer.test ",
		"by mx.one.test with ESMTPS id ", "(TLS1.3) tls TLS_", "by mx.peer.test (Postfix)")
	accept := n.one.WaitJournal(t, "<from-postfix@test>", journal.Accept)
	if !strings.HasPrefix(accept.TLS, "TLS 1.3") || accept.Helo != "mx.peer.test" {
		t.Errorf("the journal: %+v", accept)
	}
	n.one.WaitJournal(t, "<from-postfix@test>", journal.Deliver)
}
