package internet

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"strings"
	"testing"

	"plic/internal/deliver/delivertest"
	"plic/internal/journal"
	"plic/internal/mail"
	"plic/test/world"
)

// bounceFor reads a report by the parsers of the standard library, which know
// nothing of ours, and gives its part for machines. It is about the message
// with the subject.
func bounceFor(t *testing.T, text, subject string) string {
	t.Helper()
	m, err := netmail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatalf("%v in %q", err, text)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("Content-Type: %s (%v)", m.Header.Get("Content-Type"), err)
	}
	if got := m.Header.Get("Return-Path"); got != "<>" {
		t.Errorf("the report comes from %q, not from the null sender", got)
	}
	if got := m.Header.Get("Auto-Submitted"); !strings.HasPrefix(got, "auto-") {
		t.Errorf("Auto-Submitted: %q", got) // RFC 3834 section 5
	}
	for _, name := range []string{"From", "To", "Date", "Message-Id", "Mime-Version", "Subject"} {
		if m.Header.Get(name) == "" {
			t.Errorf("the report has no %s", name)
		}
	}
	if _, err := m.Header.Date(); err != nil {
		t.Error(err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	var kinds, texts []string
	for {
		part, err := parts.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
		kinds, texts = append(kinds, kind), append(texts, string(content))
	}
	if len(kinds) != 3 || kinds[0] != "text/plain" || !strings.HasSuffix(kinds[1], "delivery-status") ||
		!strings.HasPrefix(kinds[2], "message/") && kinds[2] != "text/rfc822-headers" {
		t.Fatalf("the report has the parts %q", kinds)
	}
	if !strings.Contains(texts[2], "Subject: "+subject) {
		t.Errorf("the report is about\n%s", texts[2])
	}
	// RFC 3464: groups of fields, the first for the message.
	groups := bytes.Split([]byte(texts[1]), []byte("\r\n\r\n"))
	if !bytes.HasPrefix(groups[0], []byte("Reporting-MTA: dns; mx.")) && !bytes.Contains(groups[0], []byte("\nReporting-MTA: dns; mx.")) {
		t.Errorf("the first group is\n%s", groups[0])
	}
	return texts[1]
}

func find(items []mail.Item, to string) int {
	for i := range items {
		for _, r := range items[i].To {
			if r.Address.String() == to {
				return i
			}
		}
	}
	return -1
}

// A final refusal at each step of a transaction bounces: the report comes into
// the sender's INBOX, and the host is not asked again.
func bounces(t *testing.T, n *net) {
	for step, verb := range map[string]string{"connect": "CONNECT", "mail": "MAIL", "rcpt": "RCPT", "data": "DATA", "end": "."} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			ann := n.one.Account(t, "bounce."+step)
			answer, status := "554 5.7.1 never in my life", "Status: 5.7.1"
			domain := "bounce-" + step + ".test"
			sink := n.Sink(t, "mx."+domain, &delivertest.Remote{Extensions: []string{"PIPELINING"}, On: world.Always(verb, answer)})
			id, _ := send(t, n.one, ann, "bounce-"+step, "carl@"+domain)
			report := bounceFor(t, n.one.WaitMail(t, ann, "Content-Type: multipart/report"), "bounce-"+step)
			has(t, "the report", report, "Final-Recipient: rfc822; carl@"+domain, "Action: failed", status,
				"Remote-MTA: dns; mx."+domain, "Diagnostic-Code: smtp; "+answer)
			e := n.one.WaitJournal(t, id, journal.Bounce)
			if !strings.HasPrefix(e.Status, "554 5.7.1") {
				t.Errorf("the journal: %+v", e)
			}
			if find(n.one.Queue(t), "carl@"+domain) >= 0 || sink.Connections() != 1 || len(sink.Messages()) > 0 {
				t.Errorf("%d connections, %d messages", sink.Connections(), len(sink.Messages()))
			}
		})
	}
}

// The report for a sender elsewhere goes there, from the null sender.
func bounceToPeer(t *testing.T, n *net) {
	n.Sink(t, "mx.refuses.test", &delivertest.Remote{On: world.Always("RCPT", "550 5.1.1 who?")})
	n.one.Alias(t, "gone@one.test", "gone@refuses.test")
	n.peer.Dial(t).Deliver(world.Letter{From: "sender1@peer.test", To: []string{"gone@one.test"}, Text: text("sender1@peer.test", "gone@one.test", "peer-bounce")})
	got := n.peer.WaitMail(t, "sender1", "multipart/report")
	report := bounceFor(t, strings.ReplaceAll(got, "\n", "\r\n"), "peer-bounce")
	has(t, "the report", report, "Final-Recipient: rfc822; gone@refuses.test", "Action: failed", "Status: 5.1.1", "Reporting-MTA: dns; mx.one.test")
	has(t, "the report", got, "from mx.one.test ")
}

// A domain that says it takes no mail, RFC 7505.
func nullMX(t *testing.T, n *net) {
	n.Record(t, "silent.test. 60 IN MX 0 .")
	ann := n.one.Account(t, "nullmx")
	send(t, n.one, ann, "nullmx", "carl@silent.test")
	report := bounceFor(t, n.one.WaitMail(t, ann, "Content-Type: multipart/report"), "nullmx")
	has(t, "the report", report, "Final-Recipient: rfc822; carl@silent.test", "Action: failed", "Status: 5.1.10")
}

func noDomain(t *testing.T, n *net) {
	ann := n.one.Account(t, "nodomain")
	send(t, n.one, ann, "nodomain", "carl@no-such-domain.test")
	report := bounceFor(t, n.one.WaitMail(t, ann, "Content-Type: multipart/report"), "nodomain")
	has(t, "the report", report, "Action: failed", "Status: 5.1.2")
}

// A user whom the other site does not know is refused by it in session, and it
// is the sender's side that reports. The other recipient gets the message.
func unknownUser(t *testing.T, n *net) {
	ann, bea := n.one.Account(t, "unknown"), n.two.Account(t, "known")
	send(t, n.one, ann, "unknown", "nobody@two.test", bea)
	n.two.WaitMail(t, bea, "Subject: unknown")
	report := bounceFor(t, n.one.WaitMail(t, ann, "Content-Type: multipart/report"), "unknown")
	has(t, "the report", report, "Reporting-MTA: dns; mx.one.test", "Final-Recipient: rfc822; nobody@two.test", "Status: 5.1.1",
		"Remote-MTA: dns; mx.two.test", "Diagnostic-Code: smtp; 550 5.1.1 ")
	if strings.Contains(report, "known@two.test") {
		t.Errorf("the report names the one who got it:\n%s", report)
	}
	// Postfix reports for us in the same way.
	n.peer.Dial(t).Deliver(world.Letter{From: "sender@peer.test", To: []string{"nobody@two.test"}, Text: text("sender@peer.test", "nobody@two.test", "unknown-to-postfix")})
	has(t, "Postfix's report", n.peer.WaitMail(t, "sender", "unknown-to-postfix"), "550 5.1.1")
	// Ours reports what Postfix refuses.
	send(t, n.two, bea, "unknown-at-postfix", "nobody@peer.test")
	report = bounceFor(t, n.two.WaitMail(t, bea, "Content-Type: multipart/report"), "unknown-at-postfix")
	has(t, "the report", report, "Remote-MTA: dns; mx.peer.test", "Status: 5.1.1")
}

// NOTIFY=SUCCESS, RFC 3461: with a host that knows DSN it is that host that
// reports, once.
func delivered(t *testing.T, n *net) {
	ann, bea := n.one.Account(t, "success"), n.two.Account(t, "success")
	c := n.one.Submission(t, ann)
	l := world.Letter{From: ann, FromParams: "RET=HDRS ENVID=env+2Bid", To: []string{bea}, ToParams: "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;other+40two.test",
		Text: text(ann, bea, "success")}
	c.Deliver(l)
	report := bounceFor(t, n.one.WaitMail(t, ann, "Content-Type: multipart/report"), "success")
	has(t, "the report", report, "Reporting-MTA: dns; mx.two.test", "Original-Envelope-Id: env+id", "Action: delivered", "Status: 2.",
		"Original-Recipient: rfc822; other@two.test", "Final-Recipient: rfc822; "+bea)
	// One at home is reported too.
	l.To, l.Text = []string{ann}, text(ann, ann, "success-home")
	c.Deliver(l)
	has(t, "the report", n.one.WaitMail(t, ann, "Subject: success-home\r\n"), "Subject: success-home")
	world.Wait(t, "two reports and the message", func() bool { return len(n.one.Inbox(t, ann)) == 3 })
	if got := len(n.two.Inbox(t, bea)); got != 1 {
		t.Errorf("bea has %d messages", got)
	}
}

// With a host that does not, we report that we have relayed it.
func relayed(t *testing.T, n *net) {
	sink := n.Sink(t, "mx.nodsn.test", nil)
	ann := n.one.Account(t, "relayed")
	l := world.Letter{From: ann, To: []string{"carl@nodsn.test"}, ToParams: "NOTIFY=SUCCESS", Text: text(ann, "carl@nodsn.test", "relayed")}
	n.one.Submission(t, ann).Deliver(l)
	report := bounceFor(t, n.one.WaitMail(t, ann, "Content-Type: multipart/report"), "relayed")
	has(t, "the report", report, "Reporting-MTA: dns; mx.one.test", "Action: relayed", "Status: 2.", "Final-Recipient: rfc822; carl@nodsn.test")
	if m := sink.Wait(t, 1)[0]; strings.Contains(m.To[0], "NOTIFY") {
		t.Errorf("a host without DSN was told %q", m.To[0])
	}
}

// What the sender wants to be told goes through aliases, RFC 3461 section 5.2.7: one
// that leads to one address hands it on whole; of one that leads to several we say
// that it was expanded, and what becomes of the members is told by their hosts, if
// it is bad.
func expanded(t *testing.T, n *net) {
	ann := n.one.Account(t, "expanded")
	sink := n.Sink(t, "mx.members.test", &delivertest.Remote{Extensions: []string{"DSN"}, On: func(c *delivertest.Conn, step, args string) bool {
		gone := step == "RCPT" && strings.Contains(args, "gone@")
		if gone {
			c.Reply("550 5.1.1 gone")
		}
		return gone
	}})
	n.one.Alias(t, "alone@one.test", "x@members.test")
	n.one.Alias(t, "members@one.test", "y@members.test", "gone@members.test")
	post := func(to string) {
		c := n.one.Submission(t, ann)
		defer c.Close()
		c.Deliver(world.Letter{From: ann, FromParams: "RET=HDRS ENVID=env", To: []string{to}, ToParams: "NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first+40here.test", Text: text(ann, to, to)})
	}
	post("alone@one.test")
	if m := sink.Wait(t, 1)[0]; m.From != "<"+ann+"> RET=HDRS ENVID=env" || m.To[0] != "<x@members.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;first@here.test" {
		t.Errorf("one address: MAIL %q, RCPT %q", m.From, m.To)
	}
	post("members@one.test")
	if m := sink.Wait(t, 2)[1]; m.From != "<"+ann+"> RET=HDRS ENVID=env" || len(m.To) != 1 || m.To[0] != "<y@members.test> NOTIFY=FAILURE ORCPT=rfc822;first@here.test" {
		t.Errorf("several: MAIL %q, RCPT %q", m.From, m.To)
	}
	var told string
	world.Wait(t, "what became of all", func() bool {
		told = strings.Join(n.one.Inbox(t, ann), "\n")
		return strings.Contains(told, "Action: expanded") && strings.Contains(told, "Action: failed")
	})
	has(t, "the reports", told, "Original-Envelope-Id: env", "Original-Recipient: rfc822; first@here.test", "Final-Recipient: rfc822; members@one.test", "Final-Recipient: rfc822; gone@members.test")
	if strings.Contains(told, "Final-Recipient: rfc822; x@") || strings.Contains(told, "Final-Recipient: rfc822; y@") {
		t.Errorf("we speak for the other host: %s", told)
	}
}

// A sender is told once that it takes long, if he has not said otherwise, and the
// message goes on being tried.
func TestDelayed(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.80.24")
	p := w.Plic(t, world.Site{Host: "mx.one.test", Domain: "one.test", Settings: map[string]string{"queue.warn_after": `"1s"`}})
	down := w.DownSink(t, "mx.down.test", nil)
	ann, eve := p.Account(t, "ann"), p.Account(t, "eve")
	post := func(from, to, notify string) string {
		c := p.Submission(t, from)
		defer c.Close()
		return c.Deliver(world.Letter{From: from, FromParams: "RET=HDRS ENVID=slow", To: []string{to}, ToParams: "NOTIFY=" + notify + " ORCPT=rfc822;first+40down.test", Text: text(from, to, "delayed")})
	}
	quiet := post(eve, "b@down.test", "FAILURE")
	id := post(ann, "a@down.test", "DELAY,FAILURE")
	report := p.WaitMail(t, ann, "Content-Type: multipart/report")
	has(t, "the report", bounceFor(t, report, "delayed"), "Original-Envelope-Id: slow", "Final-Recipient: rfc822; a@down.test", "Original-Recipient: rfc822; first@down.test",
		"Action: delayed", "Status: 4.4.1", "Will-Retry-Until: ")
	has(t, "the report", report, "cannot connect to mx.down.test")
	world.Wait(t, "more tries of both", func() bool {
		tries := map[string]int{}
		for _, m := range []string{id, quiet} {
			for _, e := range p.Journal(t, m) {
				if e.Kind == journal.Defer {
					tries[m]++
				}
			}
		}
		return tries[id] >= 3 && tries[quiet] >= 3
	})
	down.Up(t)
	down.Wait(t, 2)
	world.Wait(t, "an empty queue", func() bool { return len(p.Queue(t)) == 0 })
	if a, e := p.Inbox(t, ann), p.Inbox(t, eve); len(a) != 1 || len(e) != 0 {
		t.Errorf("ann was told %d times, eve, who did not want it, %q", len(a), e)
	}
}

// NOTIFY=NEVER and the null sender: no report, whatever happens.
func never(t *testing.T, n *net) {
	sink := n.Sink(t, "mx.never.test", &delivertest.Remote{On: world.Always("RCPT", "550 5.1.1 who?")})
	ann := n.one.Account(t, "never")
	c := n.one.Submission(t, ann)
	id := c.Deliver(world.Letter{From: ann, To: []string{"a@never.test"}, ToParams: "NOTIFY=NEVER", Text: text(ann, "a@never.test", "never")})
	n.one.WaitJournal(t, id, journal.Bounce)
	id = c.Deliver(world.Letter{From: "", To: []string{"b@never.test"}, Text: text(ann, "b@never.test", "never-null")})
	n.one.WaitJournal(t, id, journal.Bounce)
	world.Wait(t, "both to leave the queue", func() bool {
		return find(n.one.Queue(t), "a@never.test") < 0 && find(n.one.Queue(t), "b@never.test") < 0
	})
	if got := n.one.Inbox(t, ann); len(got) != 0 {
		t.Errorf("the sender got %q", got)
	}
	if sink.Connections() < 1 {
		t.Error("the host was never asked")
	}
}
