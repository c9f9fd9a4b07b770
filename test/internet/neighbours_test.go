package internet

import (
	"fmt"
	"strings"
	"testing"

	"plic/internal/journal"
	"plic/test/world"
)

// neighbour is a server of others with what it can do.
type neighbour struct {
	*world.World
	plic *world.Plic
	mta  *world.MTA

	name   string
	stored string // domain whose mail it stores with us by LMTP
	with   string // how its Received fields name a transaction under TLS; "" if it cannot take one
	gone   string // its answer to RCPT for a user whom it does not know
	chunks string // in its log, when it sent by BDAT; "" if it cannot
	wide   bool   // it takes SMTPUTF8
	whole  bool   // it does all of DSN: multipart/report, ORCPT, the reply of LMTP
}

// TestNeighbours exchanges mail with the other servers that a site may have
// for neighbours.
func TestNeighbours(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.80.22")
	p := w.Plic(t, world.Site{Host: "mx.one.test", Domain: "one.test"})
	users := []string{"bob", "list", "jürgen"}
	// OpenSMTPD 6.8 offers STARTTLS, and fails at the handshake with OpenSSL 3:
	// it gets its mail all the same. What it sends comes under TLS.
	for _, n := range []*neighbour{
		{name: "postfix", with: "with ESMTPS id", gone: "550 5.1.1 ", wide: true, whole: true},
		{name: "exim", with: "esmtps ", gone: "550 ", chunks: " K C=\"250", wide: true, whole: true},
		{name: "opensmtpd", gone: "524 5.2.4 "},
	} {
		n.World, n.plic, n.stored = w, p, n.name+"-store.test"
		p.Run(t, "domain", "add", n.stored)
		host, domain, store := "mx."+n.name+".test", n.name+".test", p.Address+":24"
		switch n.name {
		case "postfix":
			n.mta = w.Postfix(t, host, domain, users, fmt.Sprintf("relay_domains = %s\ntransport_maps = inline:{ { %[1]s = lmtp:inet:%s } }", n.stored, store))
		case "exim":
			n.mta = w.Exim(t, host, domain, users, n.stored, store)
		case "opensmtpd":
			n.mta = w.OpenSMTPD(t, host, domain, users[:2], n.stored, store)
		}
		for _, x := range []struct {
			name string
			test func(*testing.T, *neighbour)
		}{
			{"There", there}, {"Back", back}, {"EightBit", eightBit}, {"Dots", longAndDots}, {"UTF8", wideNeighbour},
			{"ReportsSuccess", reportsSuccess}, {"IsToldSuccess", isToldSuccess}, {"Refuses", refuses}, {"IsRefused", isRefused},
			{"Stores", stores},
		} {
			t.Run(n.name+"/"+x.name, func(t *testing.T) {
				t.Parallel()
				x.test(t, n)
			})
		}
	}
}

// account makes an account of ours that no other test of a neighbour has.
func (n *neighbour) account(t *testing.T, user string) string {
	t.Helper()
	return n.plic.Account(t, n.name+"."+user)
}

// post sends a message from a user of the neighbour.
func (n *neighbour) post(t *testing.T, l world.Letter) {
	t.Helper()
	c := n.mta.Dial(t)
	defer c.Close()
	c.Deliver(l)
}

// lf is a text as it is in a Maildir.
func lf(text string) string { return strings.ReplaceAll(text, "\r\n", "\n") }

func there(t *testing.T, n *neighbour) {
	ann := n.account(t, "there")
	id, sent := send(t, n.plic, ann, n.name+"-there", "bob@"+n.mta.Domain, "list@"+n.mta.Domain)
	for _, user := range []string{"bob", "list"} {
		got := n.mta.WaitMail(t, user, "Subject: "+n.name+"-there")
		if !strings.HasSuffix(got, lf(sent)) {
			t.Errorf("the text has changed:\n%q\nwas\n%q", got, sent)
		}
		has(t, "the message", got, "mx.one.test", "by "+n.mta.Hostname, n.with)
	}
	relayedTo(t, n.plic, id, n.mta.Hostname, n.with != "")
}

func back(t *testing.T, n *neighbour) {
	ann := n.account(t, "back")
	from := "bob@" + n.mta.Domain
	sent := text(from, ann, n.name+"-back")
	n.post(t, world.Letter{From: from, To: []string{ann}, Text: sent})
	got := n.plic.WaitMail(t, ann, "Subject: "+n.name+"-back")
	if !strings.HasSuffix(got, sent) {
		t.Errorf("the text has changed:\n%q\nwas\n%q", got, sent)
	}
	has(t, "the message", got, "Return-Path: <"+from+">\r\n", "from "+n.mta.Hostname+" ", "by mx.one.test with ESMTPS id ", "(TLS1.3) tls TLS_")
	if e := n.plic.WaitJournal(t, "<"+n.name+"-back@test>", journal.Accept); !strings.HasPrefix(e.TLS, "TLS 1.3") || e.Helo != n.mta.Hostname {
		t.Errorf("the journal: %+v", e)
	}
	if n.chunks != "" {
		world.Wait(t, "the log to tell of BDAT", func() bool {
			for line := range strings.Lines(n.mta.Log()) {
				if strings.Contains(line, ann) && strings.Contains(line, n.chunks) {
					return true
				}
			}
			return false
		})
	}
}

// Octets above 127 in the body come through as they are.
func eightBit(t *testing.T, n *neighbour) {
	ann := n.account(t, "eight")
	subject, from := n.name+"-eight", "bob@"+n.mta.Domain
	l := func(from, to string) world.Letter {
		head := fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <%s.%s>\r\n"+
			"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n", from, to, subject, subject, from)
		return world.Letter{From: from, FromParams: "BODY=8BITMIME", To: []string{to}, Text: head + "Grüße aus Köln\r\n"}
	}
	c := n.plic.Submission(t, ann)
	defer c.Close()
	c.Deliver(l(ann, from))
	if got := n.mta.WaitMail(t, "bob", "Subject: "+subject); !strings.HasSuffix(got, "\n\nGrüße aus Köln\n") {
		t.Errorf("the text has changed:\n%q", got)
	}
	n.post(t, l(from, ann))
	if got := n.plic.WaitMail(t, ann, "Subject: "+subject); !strings.HasSuffix(got, "\r\n\r\nGrüße aus Köln\r\n") {
		t.Errorf("the text has changed:\n%q", got)
	}
}

// Lines of dots and long ones, in a message of many buffers, are the same on
// both sides.
func longAndDots(t *testing.T, n *neighbour) {
	ann := n.account(t, "dots")
	subject, from := n.name+"-dots", "bob@"+n.mta.Domain
	body := strings.Repeat(".\r\n..\r\n.x\r\n"+strings.Repeat("y", 990)+"\r\n\r\n", 400)
	c := n.plic.Submission(t, ann)
	defer c.Close()
	sent := text(ann, from, subject) + body
	c.Deliver(world.Letter{From: ann, To: []string{from}, Text: sent})
	if got := n.mta.WaitMail(t, "bob", "Subject: "+subject); !strings.HasSuffix(got, lf(sent)) {
		t.Errorf("the text has changed: %d octets came", len(got))
	}
	sent = text(from, ann, subject) + body
	n.post(t, world.Letter{From: from, To: []string{ann}, Text: sent})
	if got := n.plic.WaitMail(t, ann, "Subject: "+subject); !strings.HasSuffix(got, sent) {
		t.Errorf("the text has changed: %d octets came", len(got))
	}
}

// Addresses beyond ASCII go to those that take them, and back; for the others
// there is a report.
func wideNeighbour(t *testing.T, n *neighbour) {
	ann := n.account(t, "grün")
	subject, there := "ü-"+n.name, "jürgen@"+n.mta.Domain
	c := n.plic.Submission(t, ann)
	defer c.Close()
	c.Deliver(world.Letter{From: ann, FromParams: "SMTPUTF8 BODY=8BITMIME", To: []string{there}, Text: text(ann, there, subject)})
	if !n.wide {
		has(t, "the report", n.plic.WaitMail(t, ann, "multipart/report"), "Action: failed", "Status: 5.6.7", "utf-8; "+there)
		return
	}
	has(t, "the message", n.mta.WaitMail(t, "jürgen", "Subject: "+subject), "<"+ann+">")
	n.post(t, world.Letter{From: there, FromParams: "SMTPUTF8 BODY=8BITMIME", To: []string{ann}, Text: text(there, ann, subject)})
	has(t, "the answer", n.plic.WaitMail(t, ann, "From: <"+there+">"), "Return-Path: <"+there+">", "with UTF8SMTPS id")
}

// The neighbour reports what it has delivered for us: the wish, the envelope's
// id and the first recipient went through, RFC 3461.
func reportsSuccess(t *testing.T, n *neighbour) {
	ann := n.account(t, "wants")
	subject, there := n.name+"-wants", "bob@"+n.mta.Domain
	c := n.plic.Submission(t, ann)
	defer c.Close()
	c.Deliver(world.Letter{From: ann, FromParams: "RET=HDRS ENVID=env+2Bid", To: []string{there},
		ToParams: "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first+40here.test", Text: text(ann, there, subject)})
	n.mta.WaitMail(t, "bob", "Subject: "+subject)
	report := n.plic.WaitMail(t, ann, "Reporting-MTA: ")
	has(t, "the report", report, "Return-Path: <>", "from "+n.mta.Hostname+" ", "Reporting-MTA: dns; "+n.mta.Hostname,
		"Final-Recipient: rfc822;", there, "Action: delivered", "Status: 2.", "Subject: "+subject)
	if n.whole { // Exim leaves the id in xtext
		has(t, "the report", strings.ToLower(report), "multipart/report", "original-envelope-id: env+", "original-recipient: rfc822;")
	}
}

// We report to a user of the neighbour what we have delivered.
func isToldSuccess(t *testing.T, n *neighbour) {
	ann := n.account(t, "gets")
	subject, from := n.name+"-gets", "list@"+n.mta.Domain
	n.post(t, world.Letter{From: from, FromParams: "RET=HDRS ENVID=env+2Bid", To: []string{ann},
		ToParams: "NOTIFY=SUCCESS ORCPT=rfc822;first+40here.test", Text: text(from, ann, subject)})
	n.plic.WaitMail(t, ann, "Subject: "+subject)
	report := n.mta.WaitMail(t, "list", "Subject: "+subject)
	if !n.whole { // it writes no Return-Path for the null sender
		report = "Return-Path: <>\n" + report
	}
	status := bounceFor(t, strings.ReplaceAll(report, "\n", "\r\n"), subject)
	has(t, "the report", status, "Reporting-MTA: dns; mx.one.test", "Original-Envelope-Id: env+id", "Action: delivered", "Final-Recipient: rfc822; "+ann)
	if n.whole {
		has(t, "the report", status, "Original-Recipient: rfc822; first@here.test")
	}
	if strings.Contains(report, "Hello.") {
		t.Errorf("the report has the text, though RET was HDRS:\n%s", report)
	}
}

// A user whom the neighbour does not know is refused in session; we report.
func refuses(t *testing.T, n *neighbour) {
	ann := n.account(t, "refused")
	subject := n.name + "-refused"
	send(t, n.plic, ann, subject, "nobody@"+n.mta.Domain, "bob@"+n.mta.Domain)
	n.mta.WaitMail(t, "bob", "Subject: "+subject)
	report := bounceFor(t, n.plic.WaitMail(t, ann, "multipart/report"), subject)
	has(t, "the report", report, "Final-Recipient: rfc822; nobody@"+n.mta.Domain, "Action: failed", "Status: 5.",
		"Remote-MTA: dns; "+n.mta.Hostname, "Diagnostic-Code: smtp; "+n.gone)
	if strings.Contains(report, "bob@") {
		t.Errorf("the report names the one who got it:\n%s", report)
	}
}

// The other way round the neighbour reports, with our words.
func isRefused(t *testing.T, n *neighbour) {
	ann := n.account(t, "beside")
	subject, from := n.name+"-beside", "bob@"+n.mta.Domain
	n.post(t, world.Letter{From: from, To: []string{n.name + ".nobody@one.test", ann}, Text: text(from, ann, subject)})
	n.plic.WaitMail(t, ann, "Subject: "+subject)
	has(t, "the report", n.mta.WaitMail(t, "bob", n.name+".nobody@one.test"), "550 5.1.1 ", "Action: failed", "Subject: "+subject)
}

// The neighbour stores mail with us by LMTP; each recipient has an answer of
// its own.
func stores(t *testing.T, n *neighbour) {
	account := "bob@" + n.stored
	if _, errs, code := n.plic.Command(t, world.Password+"\n", "account", "add", account, "--password-stdin"); code != 0 {
		t.Fatal(errs)
	}
	subject, from := n.name+"-stored", "bob@"+n.mta.Domain
	sent := text(from, account, subject)
	to := []string{account, "list@" + n.stored}
	if !n.whole { // it would try the other again, whatever we say
		to = to[:1]
	}
	n.post(t, world.Letter{From: from, To: to, Text: sent})
	got := n.plic.WaitMail(t, account, "Subject: "+subject)
	if !strings.HasSuffix(got, sent) {
		t.Errorf("the text has changed:\n%q\nwas\n%q", got, sent)
	}
	has(t, "the message", got, "Return-Path: <"+from+">\r\n", "by mx.one.test with LMTP")
	if !n.whole {
		return
	}
	has(t, "the report", n.mta.WaitMail(t, "bob", to[1]), "550 5.1.1 ", "Subject: "+subject)
}
