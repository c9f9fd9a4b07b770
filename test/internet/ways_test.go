package internet

import (
	"fmt"
	"strings"
	"testing"

	"plic/internal/deliver/delivertest"
	"plic/internal/journal"
	"plic/test/world"
)

// The exchanger of the best preference is dead: the next one is used, at once.
func preference(t *testing.T, n *net) {
	good := n.Sink(t, "mx2.preferred.test", nil)
	worst := n.Sink(t, "mx3.elsewhere.test", nil)
	n.Host(t, "mx1.preferred.test")
	n.MX(t, "preferred.test", 5, "mx1.preferred.test")
	n.MX(t, "preferred.test", 20, "mx3.elsewhere.test")
	ann := n.one.Account(t, "preference")
	id, _ := send(t, n.one, ann, "preference", "carl@preferred.test")
	good.Wait(t, 1)
	relayedTo(t, n.one, id, "mx2.preferred.test", false)
	var attempts []string
	for _, e := range n.one.Journal(t, id) {
		if e.Kind == journal.Attempt {
			attempts = append(attempts, fmt.Sprint(e.Host, " ", e.Attempt, " ", e.Status[:min(9, len(e.Status))]))
		}
	}
	if got := strings.Join(attempts, ", "); got != "mx1.preferred.test 1 451 4.4.1, mx2.preferred.test 1 " {
		t.Errorf("attempts: %s", got)
	}
	if worst.Connections() > 0 {
		t.Error("the worst exchanger was reached")
	}
}

// A domain without MX is its own exchanger, RFC 5321 section 5.1.
func noMX(t *testing.T, n *net) {
	sink := n.Sink(t, "implicit.mxless", nil) // whose MX is for another domain
	ann := n.one.Account(t, "nomx")
	id, _ := send(t, n.one, ann, "nomx", "carl@implicit.mxless")
	sink.Wait(t, 1)
	relayedTo(t, n.one, id, "implicit.mxless", false)
}

// Recipients of one message in domains with the same host are one transaction
// there, and one that asks for more TLS than the host has keeps nobody.
func company(t *testing.T, n *net) {
	sink := n.Sink(t, "mx.hoster.test", &delivertest.Remote{Extensions: []string{"PIPELINING"}, On: world.Times(1, "RCPT", "451 4.3.0 not now")})
	ann := n.one.Account(t, "company")
	var to []string
	for i := range 5 {
		domain := fmt.Sprintf("customer%d.test", i)
		n.MX(t, domain, 10+i, "mx.hoster.test")
		to = append(to, "carl@"+domain)
	}
	id, _ := send(t, n.one, ann, "company", to...)
	world.Wait(t, "the first transaction", func() bool { return len(sink.Messages()) > 0 })
	if m := sink.Messages()[0]; len(m.To) != 4 {
		t.Errorf("the first transaction was for %q", m.To)
	}
	sink.Wait(t, 2)
	world.Wait(t, "the queue to forget it", func() bool { return find(n.one.Queue(t), to[0]) < 0 && find(n.one.Queue(t), to[4]) < 0 })
	if got := sink.Messages(); len(got) != 2 || len(got[1].To) != 1 || sink.Connections() > 2 {
		t.Errorf("%d transactions over %d connections: %+v", len(got), sink.Connections(), got)
	}
	relayed := 0
	for _, e := range n.one.Journal(t, id) {
		if e.Kind == journal.Relayed {
			relayed++
		}
	}
	if relayed != 5 {
		t.Errorf("the journal has %d domains relayed", relayed)
	}
}

// A host that is down is tried again, and gets the message once when it is up.
func deadHost(t *testing.T, n *net) {
	sink := n.DownSink(t, "mx.dead.test", nil)
	ann := n.one.Account(t, "dead")
	id, sent := send(t, n.one, ann, "dead", "carl@dead.test")
	e := n.one.WaitJournal(t, id, journal.Defer)
	if !strings.HasPrefix(e.Status, "451 4.4.1") {
		t.Errorf("deferred with %+v", e)
	}
	items := n.one.Queue(t)
	if i := find(items, "carl@dead.test"); i < 0 {
		t.Errorf("the queue has %+v", items)
	}
	has(t, "plic queue list", n.one.Run(t, "queue", "list", "--to", "carl@dead.test"), "cannot connect to mx.dead.test")
	sink.Up(t)
	if m := sink.Wait(t, 1)[0]; !strings.HasSuffix(string(m.Data), sent) || m.From[:len(ann)+2] != "<"+ann+">" {
		t.Errorf("it took %+v", m)
	}
	relayedTo(t, n.one, id, "mx.dead.test", false)
	world.Wait(t, "the queue to forget it", func() bool { return find(n.one.Queue(t), "carl@dead.test") < 0 })
	if got := len(sink.Messages()); got != 1 {
		t.Errorf("it came %d times", got)
	}
}

// TLS that nobody demands and that does not work is done without: a handshake
// that fails, STARTTLS refused, a certificate of nobody's.
func brokenTLS(t *testing.T, n *net) {
	ann := n.one.Account(t, "tls")
	for _, x := range []struct {
		name   string
		remote *delivertest.Remote
		tls    bool
	}{
		{"refused", &delivertest.Remote{Extensions: []string{"STARTTLS"}, On: world.Always("STARTTLS", "454 4.7.0 not now")}, false},
		{"broken", &delivertest.Remote{Extensions: []string{"STARTTLS"}, On: world.Always("STARTTLS", "220 go\r\nthis is no handshake")}, false},
		{"garbled", &delivertest.Remote{TLS: n.ServerTLS(t, "x"), On: func(c *delivertest.Conn, step, _ string) bool {
			if step == "HANDSHAKE" {
				c.Reply("this is no handshake, is it, whatever it may be")
				c.End()
			}
			return step == "HANDSHAKE"
		}}, false},
		{"selfsigned", &delivertest.Remote{TLS: delivertest.ServerTLS("whoever.test")}, true},
		{"good", &delivertest.Remote{TLS: n.ServerTLS(t, "mx.tls-good.test")}, true},
	} {
		sink := n.Sink(t, "mx.tls-"+x.name+".test", x.remote)
		id, _ := send(t, n.one, ann, "tls-"+x.name, "carl@tls-"+x.name+".test")
		if x.name == "broken" { // something was put between STARTTLS and the handshake
			if e := n.one.WaitJournal(t, id, journal.Defer); !strings.HasPrefix(e.Status, "451 4.7.0") || sink.Said("MAIL") {
				t.Errorf("%s: %+v, the host was told %q", x.name, e, sink.Commands())
			}
			n.one.Run(t, "queue", "remove", id)
			continue
		}
		if m := sink.Wait(t, 1)[0]; m.TLS != x.tls {
			t.Errorf("%s came with TLS: %v", x.name, m.TLS)
		}
		relayedTo(t, n.one, id, sink.Host, x.tls)
	}
}

// A temporary refusal at each step of a transaction is tried again.
func retry(t *testing.T, n *net) {
	ann := n.one.Account(t, "retry")
	for step, verb := range map[string]string{"connect": "CONNECT", "mail": "MAIL", "rcpt": "RCPT", "data": "DATA", "end": "."} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			answer := "451 4.3.0 not now"
			if verb == "CONNECT" {
				answer = "421 4.3.2 not now"
			}
			sink := n.Sink(t, "mx.retry-"+step+".test", &delivertest.Remote{Extensions: []string{"PIPELINING"}, On: world.Times(1, verb, answer)})
			id, sent := send(t, n.one, ann, "retry-"+step, "carl@retry-"+step+".test")
			if m := sink.Wait(t, 1)[0]; !strings.HasSuffix(string(m.Data), sent) {
				t.Errorf("it took %+v", m)
			}
			relayedTo(t, n.one, id, sink.Host, false)
			if e := n.one.WaitJournal(t, id, journal.Defer); e.Status != answer || e.Host != sink.Host {
				t.Errorf("deferred with %+v", e)
			}
			if len(sink.Messages()) != 1 || len(n.one.Inbox(t, ann)) != 0 {
				t.Error("it came twice, or somebody was told of something")
			}
		})
	}
}

// A greylisting host that knows one recipient of two gets the other later, and
// the first only once.
func greylist(t *testing.T, n *net) {
	turned := false
	sink := n.Sink(t, "mx.grey.test", &delivertest.Remote{Extensions: []string{"PIPELINING"},
		On: func(c *delivertest.Conn, step, args string) bool {
			if step == "RCPT" && strings.Contains(args, "new@") && !turned {
				turned = true
				c.Reply("450 4.7.1 greylisted, come back")
				return true
			}
			return false
		}})
	ann := n.one.Account(t, "grey")
	id, _ := send(t, n.one, ann, "grey", "known@grey.test", "new@grey.test")
	sink.Wait(t, 2)
	n.one.WaitJournal(t, id, journal.Relayed)
	got := fmt.Sprint(sink.Messages()[0].To, sink.Messages()[1].To)
	if got != "[<known@grey.test>][<new@grey.test>]" && got != "[<known@grey.test>] [<new@grey.test>]" {
		t.Errorf("transactions for %s", got)
	}
}

// Recipients at one host share a transaction, those elsewhere have their own.
func recipients(t *testing.T, n *net) {
	a, b := n.Sink(t, "mx.several-a.test", nil), n.Sink(t, "mx.several-b.test", nil)
	ann, local := n.one.Account(t, "several"), n.one.Account(t, "several.local")
	to := []string{"x@several-a.test", local, "y@several-b.test", "z@several-a.test", "bob@peer.test", ann}
	id, sent := send(t, n.one, ann, "several", to...)
	if m := a.Wait(t, 1)[0]; fmt.Sprint(m.To) != "[<x@several-a.test> <z@several-a.test>]" {
		t.Errorf("a got %v", m.To)
	}
	if m := b.Wait(t, 1)[0]; fmt.Sprint(m.To) != "[<y@several-b.test>]" || !strings.HasSuffix(string(m.Data), sent) {
		t.Errorf("b got %v", m.To)
	}
	n.peer.WaitMail(t, "bob", "Subject: several")
	for _, account := range []string{ann, local} {
		if got := n.one.Inbox(t, account); len(got) != 1 || !strings.HasSuffix(got[0], sent) {
			t.Errorf("%s has %q", account, got) // it was there before the 250
		}
	}
	world.Wait(t, "three hosts in the journal", func() bool {
		hosts := map[string]bool{}
		for _, e := range n.one.Journal(t, id) {
			if e.Kind == journal.Relayed {
				hosts[e.Host] = true
			}
		}
		return len(hosts) == 3
	})
}

// A host that takes few recipients gets the others in further transactions.
func splitRecipients(t *testing.T, n *net) {
	sink := n.Sink(t, "mx.split.test", &delivertest.Remote{Extensions: []string{"PIPELINING"},
		On: func(c *delivertest.Conn, step, _ string) bool {
			if step == "RCPT" && len(c.To()) >= 2 {
				c.Reply("452 4.5.3 too many recipients")
				return true
			}
			return false
		}})
	ann := n.one.Account(t, "split")
	var to []string
	for i := range 5 {
		to = append(to, fmt.Sprintf("r%d@split.test", i))
	}
	send(t, n.one, ann, "split", to...)
	seen := map[string]int{}
	for _, m := range sink.Wait(t, 3) {
		for _, r := range m.To {
			seen[r]++
		}
	}
	for _, r := range to {
		if seen["<"+r+">"] != 1 {
			t.Errorf("%s got it %d times", r, seen["<"+r+">"])
		}
	}
}

// An alias may lead to another host; the sender becomes one of ours, by which its own
// is reached.
func alias(t *testing.T, n *net) {
	bea := n.two.Account(t, "alias.target")
	n.one.Alias(t, "forward@one.test", bea)
	n.peer.Dial(t).Deliver(world.Letter{From: "bob@peer.test", To: []string{"forward@one.test"}, Text: text("bob@peer.test", "forward@one.test", "alias")})
	got := n.two.WaitMail(t, bea, "Subject: alias")
	has(t, "the message", got, "Return-Path: <SRS0=", "=peer.test=bob@mx.one.test>\r\nDelivered-To: "+bea, "by mx.one.test with ESMTPS", "by mx.two.test with ESMTPS")
	e := n.one.WaitJournal(t, "<alias@test>", journal.Accept)
	if e.Message.IsZero() || fmt.Sprint(e.To) != "[forward@one.test]" {
		t.Errorf("the journal: %+v", e)
	}
	relayedTo(t, n.one, e.Message.String(), "mx.two.test", true)
}

// Two aliases that lead to each other over the network: the message goes round
// until it has too many hops, and its sender is told. Nobody else gets it.
func aliasLoop(t *testing.T, n *net) {
	ann := n.one.Account(t, "loop.sender")
	n.one.Alias(t, "ping@one.test", "pong@two.test")
	n.two.Alias(t, "pong@two.test", "ping@one.test")
	send(t, n.one, ann, "alias-loop", "ping@one.test")
	report := bounceFor(t, n.one.WaitMail(t, ann, "Content-Type: multipart/report"), "alias-loop")
	has(t, "the report", report, "Action: failed", "Status: 5.4.6", "too many hops")
	if got := n.one.Inbox(t, ann); len(got) != 1 {
		t.Errorf("the sender has %d messages", len(got))
	}
}

// A domain whose exchanger is ourselves though its mail is not ours: no loop,
// a report.
func ownMX(t *testing.T, n *net) {
	n.MX(t, "astray.test", 10, "mx.one.test")
	n.MX(t, "astray.test", 20, "mx.two.test") // worse than us: it would come back
	ann := n.one.Account(t, "ownmx")
	send(t, n.one, ann, "ownmx", "carl@astray.test")
	report := bounceFor(t, n.one.WaitMail(t, ann, "Content-Type: multipart/report"), "ownmx")
	has(t, "the report", report, "Action: failed", "Status: 5.4.6", "loops back")
}

// What has gone through more hosts than we believe in is refused in session.
func hops(t *testing.T, n *net) {
	ann := n.one.Account(t, "hops")
	trace := "Received: from a by b; Mon, 23 Nov 2026 10:00:00 +0000\r\n"
	c := n.one.SMTP(t)
	l := world.Letter{From: "bob@peer.test", To: []string{ann}, Text: strings.Repeat(trace, 51) + text("bob@peer.test", ann, "hops")}
	if reply := c.Post(l); !strings.HasPrefix(reply, "554 5.4.6 ") {
		t.Errorf("51 hops: %q", reply)
	}
	l.Text = strings.Repeat(trace, 50) + text("bob@peer.test", ann, "hops")
	if reply := c.Post(l); !strings.HasPrefix(reply, "250 ") {
		t.Errorf("50 hops: %q", reply)
	}
	if got := n.one.Inbox(t, ann); len(got) != 1 {
		t.Errorf("%d messages came", len(got))
	}
}

// Addresses and headers beyond ASCII go to hosts that take them.
func wideAddresses(t *testing.T, n *net) {
	ann := n.one.Account(t, "grün")
	bea := n.two.Account(t, "blåbær")
	n.one.Alias(t, "ascii@one.test", ann)
	subject := "Grüße-utf8"
	c := n.one.Submission(t, ann)
	sent := text(ann, bea, subject)
	c.Deliver(world.Letter{From: ann, FromParams: "SMTPUTF8 BODY=8BITMIME", To: []string{bea, "jürgen@peer.test"}, Text: sent})
	got := n.two.WaitMail(t, bea, "Subject: "+subject)
	if !strings.HasSuffix(got, sent) {
		t.Errorf("the text has changed:\n%s", got)
	}
	has(t, "the message", got, "Return-Path: <"+ann+">", "with UTF8SMTPS id", "with UTF8SMTPSA id")
	got = n.peer.WaitMail(t, "jürgen", "Subject: "+subject)
	has(t, "the message", got, "Return-Path: <"+ann+">", "with UTF8SMTPS id")
	// and back
	n.peer.Dial(t).Deliver(world.Letter{From: "jürgen@peer.test", FromParams: "SMTPUTF8", To: []string{ann}, Text: text("jürgen@peer.test", ann, "back-ü")})
	has(t, "the answer", n.one.WaitMail(t, ann, "Subject: back-ü"), "Return-Path: <jürgen@peer.test>")
}

// A host that does not take them gets nothing, and the sender a report.
func utf8Refused(t *testing.T, n *net) {
	sink := n.Sink(t, "mx.ascii.test", &delivertest.Remote{Extensions: []string{"PIPELINING", "8BITMIME"}})
	ann := n.one.Account(t, "utf8refused")
	c := n.one.Submission(t, ann)
	c.Deliver(world.Letter{From: ann, FromParams: "SMTPUTF8", To: []string{"jürgen@ascii.test"}, Text: text(ann, "jürgen@ascii.test", "utf8refused")})
	report := bounceFor(t, n.one.WaitMail(t, ann, "Content-Type: multipart/report"), "utf8refused")
	has(t, "the report", report, "Action: failed", "Status: 5.6.7")
	if sink.Said("MAIL") {
		t.Errorf("the host was told %q", sink.Commands())
	}
}
