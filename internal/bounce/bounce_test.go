package bounce

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/dsn"
	"plic/internal/mail"
	"plic/internal/message"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	now      = time.Date(2026, 3, 7, 12, 0, 0, 0, time.FixedZone("", 3600))
	received = now.Add(-5 * 24 * time.Hour)
)

// memory is a message in memory.
type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

// fixedID makes the same ID for the same instant.
func fixedID(at time.Time) mail.ID { return mail.FirstID(at) }

func reporter(raw string) *Reporter {
	return New(Options{
		Host: mail.MustDomain("mx.example.org"), Now: func() time.Time { return now }, NewID: fixedID,
		Open: func(context.Context, *mail.Item) (mail.Body, error) {
			if raw == "gone" {
				return nil, errors.New("gone")
			}
			return memory{bytes.NewReader([]byte(raw))}, nil
		},
	})
}

const lunch = "Received: from pc.example.org by mx.example.org; Mon, 2 Mar 2026 12:00:00 +0100\r\n" +
	"From: Alice <alice@example.org>\r\nTo: bob@example.com\r\nSubject: =?utf-8?Q?Mittagessen_f=C3=BCr_zwei?=\r\n" +
	"Message-ID: <1@example.org>\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nKommst du mit?\r\n--\r\nAlice\r\n"

func item() *mail.Item {
	return &mail.Item{
		ID: fixedID(received), Expires: now,
		Envelope: mail.Envelope{
			ID: fixedID(received), From: mail.MustAddress("alice@example.org"), EnvelopeID: "QQ314159", Received: received,
			Origin: mail.Origin{Service: "smtp", Helo: "pc.example.org"},
		},
	}
}

func rcpt(address, host string, last mail.Status, notify mail.Notify) mail.ItemRcpt {
	return mail.ItemRcpt{
		Recipient: mail.Recipient{Address: mail.MustAddress(address), Notify: notify, Original: "rfc822;" + address},
		Last:      last, Host: host, Reason: "only for us", At: now.Add(-time.Minute),
	}
}

// fates are the fates of recipients, all of a kind.
func fates(kind mail.Notify, rcpts ...mail.ItemRcpt) []mail.Fate {
	var all []mail.Fate
	for _, to := range rcpts {
		all = append(all, mail.Fate{Kind: kind, ItemRcpt: to})
	}
	return all
}

// open reads a report back, and checks what is true of every one.
func open(t *testing.T, r mail.Report) (*message.Message, *dsn.Report) {
	t.Helper()
	raw := r.Message
	if !r.Envelope.From.IsNull() || len(r.Envelope.To) != 1 || r.Envelope.To[0].Notify != mail.NotifyNever || r.Envelope.ID.IsZero() {
		t.Errorf("envelope %+v", r.Envelope)
	}
	if eight := bytes.ContainsFunc(raw, func(r rune) bool { return r >= 0x80 }); eight != (r.Envelope.Kind == mail.Body8Bit) {
		t.Errorf("8 bit %v, kind %s", eight, r.Envelope.Kind)
	}
	if bytes.Contains(raw, []byte("only for us")) {
		t.Error("it tells what only we may know")
	}
	for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
		if len(line) > 998 || bytes.ContainsAny(line, "\r\n\x00") {
			t.Errorf("line %.100q", line)
		}
	}
	m, err := message.Parse(bytes.NewReader(raw), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Root.Subtype != "report" || m.Root.Param("report-type") != "delivery-status" || m.Root.Get("Auto-Submitted") != "auto-replied" {
		t.Errorf("root is %+v", m.Root)
	}
	p := dsn.Part(m)
	if p == nil {
		t.Fatalf("no delivery status in\n%s", raw)
	}
	status, err := dsn.Parse(raw[p.Body:p.End])
	if err != nil {
		t.Fatal(err)
	}
	return m, status
}

// text gives the part that people read.
func text(t *testing.T, r mail.Report, m *message.Message) string {
	t.Helper()
	p := m.Root.Children[0]
	b, err := io.ReadAll(message.DecodeText(message.DecodeBody(bytes.NewReader(r.Message[p.Body:p.End]), p.Encoding), p.Param("charset")))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func golden(t *testing.T, name string, raw []byte) {
	t.Helper()
	path := "testdata/" + name + ".eml"
	if *update {
		if err := os.WriteFile(path, raw, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(raw, want) {
		t.Errorf("%s has changed:\n%s\nwas:\n%s", name, raw, want)
	}
}

// RFC 3464 sections 2.2 and 2.3.
func TestFailure(t *testing.T) {
	r, due := reporter(lunch).Report(item(), fates(mail.NotifyFailure,
		rcpt("bob@example.com", "mx.example.com", mail.Reply(550, "5.1.1", "<bob@example.com>: no such user here"), 0),
		rcpt("carol@example.com", "", mail.Reply(451, "4.4.1", "no host of example.com answered"), mail.NotifyFailure),
		rcpt("never@example.com", "", mail.Reply(550, "5.1.1", "x"), mail.NotifyNever),
	))
	if !due {
		t.Fatal("no report")
	}
	golden(t, "failure", r.Message)
	m, status := open(t, r)
	if len(status.Recipients) != 2 || status.EnvelopeID != "QQ314159" || status.ReportingMTA != "mx.example.org" || !status.Arrival.Equal(received) {
		t.Errorf("%+v", status)
	}
	b := status.Recipients[0]
	if b.Action != dsn.Failed || b.Status != (mail.Enhanced{5, 1, 1}) || b.RemoteMTA != "mx.example.com" || b.Final.Text != "bob@example.com" ||
		b.Original.String() != "rfc822; bob@example.com" || b.Diagnostic != "550 5.1.1 <bob@example.com>: no such user here" || !b.LastAttempt.Equal(now.Add(-time.Minute)) {
		t.Errorf("%+v", b)
	}
	if c := status.Recipients[1]; c.Action != dsn.Failed || c.Status != (mail.Enhanced{4, 4, 1}) || c.RemoteMTA != "" {
		t.Errorf("%+v", c)
	}
	if r.Envelope.To[0].Address != mail.MustAddress("alice@example.org") {
		t.Errorf("goes to %s", r.Envelope.To[0].Address)
	}
	body := text(t, r, m)
	for _, want := range []string{"mx.example.com said", "no such user here", "What to do: check the address", "Send the\r\n  message again later", "Mittagessen für zwei"} {
		if !strings.Contains(body, want) {
			t.Errorf("the text does not say %q:\n%s", want, body)
		}
	}
	last := m.Root.Children[2]
	if last.Embedded == nil || string(r.Message[last.Body:last.End]) != lunch {
		t.Errorf("the message is returned as %s/%s %q", last.Type, last.Subtype, r.Message[last.Body:last.End])
	}
	if got := message.DecodeHeader(m.Root.Get("Subject")); got != "Mail could not be delivered: Mittagessen für zwei" {
		t.Errorf("subject %q", got)
	}
	if m.Root.Get("References") != "<1@example.org>" || m.Root.Get("Message-ID") != "<"+r.Envelope.ID.String()+"@mx.example.org>" {
		t.Error("ids")
	}
}

func TestDelay(t *testing.T) {
	it := item()
	it.Expires = now.Add(24 * time.Hour)
	r, due := reporter(lunch).Report(it, fates(mail.NotifyDelay,
		rcpt("bob@example.com", "mx.example.com", mail.Reply(451, "4.7.1", "greylisted"), 0),
		rcpt("carol@example.com", "", mail.Reply(451, "4.4.1", "nobody answers"), mail.NotifyFailure),
	))
	if !due {
		t.Fatal("no report")
	}
	golden(t, "delay", r.Message)
	m, status := open(t, r)
	if len(status.Recipients) != 1 || status.Recipients[0].Action != dsn.Delayed || !status.Recipients[0].RetryUntil.Equal(it.Expires) {
		t.Errorf("%+v", status)
	}
	if p := m.Root.Children[2]; p.Type != "text" || p.Subtype != "rfc822-headers" { // RFC 3461 section 4.3
		t.Errorf("the message is returned as %s/%s", p.Type, p.Subtype)
	}
}

func TestSuccess(t *testing.T) {
	if _, due := reporter(lunch).Report(item(), fates(mail.NotifySuccess,
		rcpt("bob@example.com", "mx.example.com", mail.Reply(250, "", "ok"), 0),
		rcpt("bob@example.com", "mx.example.com", mail.Reply(250, "", "ok"), mail.NotifyFailure|mail.NotifyDelay),
	)); due {
		t.Error("nobody asked for success")
	}
	wish := mail.NotifySuccess | mail.NotifyFailure
	r, due := reporter(lunch).Report(item(), fates(mail.NotifySuccess, rcpt("bob@example.com", "mx.example.com", mail.Reply(250, "", "ok"), wish)))
	if !due {
		t.Fatal("no report")
	}
	golden(t, "relayed", r.Message)
	if _, status := open(t, r); status.Recipients[0].Action != dsn.Relayed || status.Recipients[0].Status != (mail.Enhanced{2, 0, 0}) {
		t.Errorf("%+v", status)
	}
	r, due = reporter(lunch).Report(item(), fates(mail.NotifySuccess, rcpt("carol@example.org", "", mail.Reply(250, "2.1.5", "delivered to the mailbox"), wish)))
	if !due {
		t.Fatal("no report")
	}
	golden(t, "delivered", r.Message)
	if m, status := open(t, r); status.Recipients[0].Action != dsn.Delivered || m.Root.Children[2].Subtype != "rfc822-headers" {
		t.Errorf("%+v", status)
	}
}

// RFC 6533 sections 3 to 6.
func TestUTF8(t *testing.T) {
	it := item()
	it.Envelope.From, it.Envelope.UTF8 = mail.MustAddress("jörg@bücher.example"), true
	to := rcpt("测试@例子.example", "mx.example.com", mail.Reply(550, "5.1.1", "没有这个人"), 0)
	to.Original = "utf-8;测试@例子.example"
	raw := "From: jörg@bücher.example\r\nSubject: Grüße\r\n\r\nHallo\r\n"
	r, due := reporter(raw).Report(it, fates(mail.NotifyFailure, to))
	if !due {
		t.Fatal("no report")
	}
	golden(t, "utf8", r.Message)
	m, status := open(t, r)
	if !r.Envelope.UTF8 || m.Root.Children[1].Subtype != "global-delivery-status" || m.Root.Children[2].Subtype != "global" {
		t.Errorf("%v %s %s", r.Envelope.UTF8, m.Root.Children[1].Subtype, m.Root.Children[2].Subtype)
	}
	got := status.Recipients[0]
	if got.Original.Text != "测试@例子.example" || got.Final.Type != "utf-8" || got.Diagnostic != "550 5.1.1 没有这个人" {
		t.Errorf("%+v", got)
	}
}

// TestNone: RFC 5321 section 6.1, RFC 3461 section 4.1.
func TestNone(t *testing.T) {
	bob := []mail.ItemRcpt{rcpt("bob@example.com", "", mail.Reply(550, "5.1.1", "x"), 0)}
	null, report := item(), item()
	null.Envelope.From = mail.Address{}
	report.Report = true
	foreign := "Subject: x\r\nContent-Type: multipart/report;\r\n report-type=delivery-status; boundary=x\r\n\r\n--x--\r\n"
	for name, c := range map[string]struct {
		raw   string
		item  *mail.Item
		rcpts []mail.ItemRcpt
	}{
		"null reverse-path":   {lunch, null, bob},
		"report of ours":      {lunch, report, bob},
		"report of others":    {foreign, item(), bob},
		"nobody":              {lunch, item(), nil},
		"NOTIFY=NEVER":        {lunch, item(), []mail.ItemRcpt{rcpt("bob@example.com", "", mail.Reply(550, "", "x"), mail.NotifyNever)}},
		"NOTIFY=SUCCESS":      {lunch, item(), []mail.ItemRcpt{rcpt("bob@example.com", "", mail.Reply(550, "", "x"), mail.NotifySuccess)}},
		"NOTIFY=DELAY, never": {lunch, item(), []mail.ItemRcpt{rcpt("bob@example.com", "", mail.Reply(550, "", "x"), mail.NotifyDelay)}},
	} {
		if r, due := reporter(c.raw).Report(c.item, fates(mail.NotifyFailure, c.rcpts...)); due {
			t.Errorf("%s: a report is due:\n%s", name, r.Message)
		}
	}
}

// TestReturned: how much of the message goes back.
func TestReturned(t *testing.T) {
	bob := []mail.ItemRcpt{rcpt("bob@example.com", "", mail.Reply(550, "5.1.1", "x"), 0)}
	long := "Subject: long\r\nX-A: " + strings.Repeat("a", 100) + "\r\n\r\n" + strings.Repeat("line\r\n", 10000)
	flood := "Subject: flood\r\n" + strings.Repeat("X-A: y\r\n", 10000) + "\r\nbody\r\n"
	for name, c := range map[string]struct {
		raw, ret string
		subtype  string // "" for none
		holds    string
		max      int
	}{
		"FULL":           {lunch, "FULL", "rfc822", lunch, 3000},
		"none":           {lunch, "", "rfc822", lunch, 3000},
		"HDRS":           {lunch, "HDRS", "rfc822-headers", "Message-ID: <1@example.org>", 3000},
		"hdrs":           {lunch, "hdrs", "rfc822-headers", "Message-ID: <1@example.org>", 3000},
		"too long":       {long, "FULL", "rfc822-headers", "Subject: long", 3000},
		"header flood":   {flood, "FULL", "rfc822-headers", "Subject: flood", 55000},
		"bare LF":        {"Subject: x\n\nbody\n", "FULL", "rfc822-headers", "Subject: x\r\n", 3000},
		"NUL":            {"Subject: x\r\n\r\na\x00b\r\n", "FULL", "rfc822-headers", "Subject: x\r\n", 3000},
		"line too long":  {"Subject: x\r\n\r\n" + strings.Repeat("x", 2000) + "\r\n", "FULL", "rfc822-headers", "Subject: x\r\n", 3000},
		"field too long": {"Subject: x\r\nX: " + strings.Repeat("x", 2000) + "\r\n\r\nb\r\n", "FULL", "rfc822-headers", "Subject: x\r\n", 6000},
		"empty":          {"", "FULL", "rfc822", "", 3000},
		"gone":           {"gone", "FULL", "", "", 3000},
	} {
		it := item()
		it.Envelope.Ret = c.ret
		r, due := reporter(c.raw).Report(it, fates(mail.NotifyFailure, bob...))
		if !due {
			t.Errorf("%s: no report", name)
			continue
		}
		m, _ := open(t, r)
		if c.subtype == "" {
			if len(m.Root.Children) != 2 || !strings.Contains(text(t, r, m), "could not be read") {
				t.Errorf("%s: %s", name, r.Message)
			}
			continue
		}
		p := m.Root.Children[2]
		if p.Subtype != c.subtype || !strings.Contains(string(r.Message[p.Body:p.End]), c.holds) || len(r.Message) > c.max {
			t.Errorf("%s: %d octets, returned as %s: %.200q", name, len(r.Message), p.Subtype, r.Message[p.Body:p.End])
		}
	}
}

// RFC 8689 section 5: what goes back of a message with REQUIRETLS needs it too,
// and has no body whatever was asked for.
func TestRequireTLS(t *testing.T) {
	it := item()
	it.Envelope.Ret, it.Envelope.RequireTLS = "FULL", true
	r, due := reporter(lunch).Report(it, fates(mail.NotifyFailure, rcpt("bob@example.com", "", mail.Reply(550, "5.7.30", "x"), 0)))
	if !due {
		t.Fatal("no report")
	}
	m, _ := open(t, r)
	if p := m.Root.Children[2]; !r.Envelope.RequireTLS || p.Subtype != "rfc822-headers" {
		t.Errorf("REQUIRETLS %v, returned as %s", r.Envelope.RequireTLS, p.Subtype)
	}
}

// TestStrangersWords: nothing that strangers say adds a line to the report or
// its header (P7).
func TestStrangersWords(t *testing.T) {
	evil := "x\r\nBcc: y@example.org\r\n\r\n--evil\u2028\u202e\x00\x1b[31m\xff"
	it := item()
	it.Envelope.EnvelopeID, it.Envelope.Origin.Helo = evil, evil
	to := rcpt("bob@example.com", evil, mail.Status{Code: 550, Text: evil}, 0)
	to.Original = "rfc822;" + evil
	clean, _ := reporter(lunch).Report(item(), fates(mail.NotifyFailure, rcpt("bob@example.com", "h", mail.Reply(550, "", "x"), 0)))
	r, due := reporter("Subject: =?utf-8?Q?a=0D=0ABcc:_x=0D=0A=0D=0Ab?=\r\nMessage-ID: <a\r\n b>\r\n\r\n").Report(it, fates(mail.NotifyFailure, to))
	if !due {
		t.Fatal("no report")
	}
	want, _ := open(t, clean)
	m, status := open(t, r)
	if len(m.Root.Header) != len(want.Root.Header)-2 || len(m.Root.Children) != 3 { // no usable Message-ID to refer to
		t.Errorf("%d fields, %d parts:\n%s", len(m.Root.Header), len(m.Root.Children), r.Message)
	}
	if len(status.Recipients) != 1 || status.Recipients[0].Status != (mail.Enhanced{5, 0, 0}) {
		t.Errorf("%+v", status)
	}
	if body := text(t, r, m); strings.ContainsAny(body, "\x00\x1b\u2028\u202e") || strings.Contains(body, "\nBcc") {
		t.Errorf("%q", body)
	}
}

func TestManyRecipients(t *testing.T) {
	all := make([]mail.ItemRcpt, 1000)
	for i := range all {
		all[i] = rcpt("bob@example.com", "", mail.Reply(550, "5.1.1", strings.Repeat("no ", 50)), 0)
	}
	r, _ := reporter(lunch).Report(item(), fates(mail.NotifyFailure, all...))
	m, status := open(t, r)
	if len(status.Recipients) != 1000 || !strings.Contains(text(t, r, m), "and 900 more") {
		t.Errorf("%d recipients", len(status.Recipients))
	}
}

// TestAliased: a sender who wrote to another address is told so.
func TestAliased(t *testing.T) {
	to := rcpt("bob@example.com", "", mail.Reply(550, "5.1.1", "x"), 0)
	for original, want := range map[string]bool{
		"rfc822;sales@example.com": true, "rfc822;BOB@Example.com": false, "": false, "x400;/C=DE/": true,
	} {
		to.Original = original
		r, _ := reporter(lunch).Report(item(), fates(mail.NotifyFailure, to))
		m, _ := open(t, r)
		if got := strings.Contains(text(t, r, m), "you wrote to"); got != want {
			t.Errorf("%q: told %v", original, got)
		}
	}
}

// TestEightBit: only a message that has octets above 127 makes its report so.
func TestEightBit(t *testing.T) {
	bob := []mail.ItemRcpt{rcpt("bob@example.com", "", mail.Reply(550, "5.1.1", "größer"), 0)}
	for raw, want := range map[string]mail.BodyKind{
		lunch: "", "Subject: ü\r\n\r\nü\r\n": mail.Body8Bit, "Subject: ü\r\n\r\nü\n": "",
	} {
		r, _ := reporter(raw).Report(item(), fates(mail.NotifyFailure, bob...))
		if open(t, r); r.Envelope.Kind != want {
			t.Errorf("%q: %s", raw, r.Envelope.Kind)
		}
	}
}

func TestAdvice(t *testing.T) {
	for _, c := range []struct {
		status mail.Status
		about  mail.Fault
		want   string
	}{
		{mail.Reply(550, "5.7.1", "blocked"), mail.FaultReputation, "takes nothing from this mail server"},
		{mail.Reply(550, "5.7.1", "spam"), mail.FaultContent, "for spam"},
		{mail.Reply(550, "5.4.1", "no such user"), mail.FaultMailbox, "typing mistake"},
		{mail.Reply(554, "5.4.7", "over"), mail.FaultLocal, "with more time"},
		{mail.Reply(550, "5.7.10", "encrypt"), mail.FaultTLS, "as safe as"},
		{mail.Reply(550, "5.1.1", ""), "", "typing mistake"},
		{mail.Reply(550, "", ""), "", "typing mistake"},
		{mail.Reply(556, "5.1.10", ""), "", "behind the @"},
		{mail.Reply(552, "5.2.2", ""), "", "mailbox is full"},
		{mail.Reply(552, "5.3.4", ""), "", "too large"},
		{mail.Reply(550, "5.7.1", ""), "", "by its rules"},
		{mail.Reply(550, "5.2.1", ""), "", "takes no mail now"},
		{mail.Reply(550, "5.1.8", ""), "", "your own address"},
		{mail.Reply(550, "5.6.7", ""), "", "form of the message"},
		{mail.Reply(554, "5.5.0", ""), "", "your postmaster"},
		{mail.Reply(452, "4.2.2", ""), "", "again later"},
	} {
		if got := advice(c.status, c.about); !strings.Contains(got, c.want) {
			t.Errorf("%s: %s", c.status, got)
		}
	}
}

// One report tells everything, what needs doing first.
func TestMixed(t *testing.T) {
	it := item()
	it.Expires = now.Add(24 * time.Hour)
	all := mail.NotifySuccess | mail.NotifyFailure | mail.NotifyDelay
	list := rcpt("team@example.org", "", mail.Reply(250, "2.1.5", "passed on to 3 addresses"), all)
	told := []mail.Fate{
		{Kind: mail.NotifySuccess, Expanded: true, ItemRcpt: list},
		{Kind: mail.NotifySuccess, ItemRcpt: rcpt("carol@example.org", "", mail.Reply(250, "2.1.5", "delivered to the mailbox"), all)},
		{Kind: mail.NotifyDelay, ItemRcpt: rcpt("dave@example.net", "", mail.Reply(451, "4.4.1", "nobody answers"), all)},
		{Kind: mail.NotifySuccess, ItemRcpt: rcpt("erin@example.net", "mx.example.net", mail.Reply(250, "2.0.0", "ok"), all)},
		{Kind: mail.NotifyFailure, ItemRcpt: rcpt("bob@example.com", "mx.example.com", mail.Reply(550, "5.1.1", "no such user"), all)},
		{Kind: mail.NotifyFailure, ItemRcpt: rcpt("never@example.com", "mx.example.com", mail.Reply(550, "5.1.1", "no such user"), mail.NotifyNever)},
	}
	r, due := reporter(lunch).Report(it, told)
	if !due {
		t.Fatal("no report")
	}
	golden(t, "mixed", r.Message)
	m, status := open(t, r)
	var got []string
	for _, to := range status.Recipients {
		got = append(got, string(to.Action)+" "+to.Final.Text)
	}
	want := []string{"failed bob@example.com", "delayed dave@example.net", "delivered carol@example.org", "relayed erin@example.net", "expanded team@example.org"}
	if !slices.Equal(got, want) {
		t.Errorf("told %v", got)
	}
	body, at := text(t, r, m), 0
	for _, part := range []string{"could not be delivered", "has not reached", "to the mailbox of", "will not confirm", "passed on to the members"} {
		if i := strings.Index(body, part); i < at {
			t.Errorf("%q is not in its place:\n%s", part, body)
		} else {
			at = i
		}
	}
}

// RFC 2852 section 4.1.4.2: who wants to know of delays is told that a host keeps to
// no time.
func TestUntimed(t *testing.T) {
	it := item()
	it.Envelope.By = mail.DeliverBy{At: now.Add(time.Hour)}
	f := fates(mail.NotifySuccess, rcpt("bob@example.com", "mx.example.com", mail.Reply(250, "", "ok"), 0))
	f[0].Untimed = true
	r, due := reporter(lunch).Report(it, f)
	if !due || !strings.Contains(string(r.Message), "\r\nAction: relayed\r\n") || !strings.Contains(string(r.Message), "does not keep to the time") {
		t.Errorf("%v, report:\n%s", due, r.Message)
	}
	f[0].Notify = mail.NotifyNever
	if _, due := reporter(lunch).Report(it, f); due {
		t.Error("a report to one who wants none")
	}
}

// RFC 2852: each relay reports a message that is traced.
func TestTraced(t *testing.T) {
	it := item()
	it.Envelope.By = mail.DeliverBy{At: now, Trace: true}
	to := rcpt("bob@example.com", "mx.example.com", mail.Reply(250, "", "ok"), 0)
	r, due := reporter(lunch).Report(it, fates(mail.NotifySuccess, to))
	if !due || !strings.Contains(string(r.Message), "\r\nDeliver-By-Date: "+now.Format("Mon, 02 Jan 2006")) {
		t.Errorf("no report, or no time in it:\n%s", r.Message)
	}
	to.Notify = mail.NotifyNever
	if _, due := reporter(lunch).Report(it, fates(mail.NotifySuccess, to)); due {
		t.Error("a report to one who wants none")
	}
}
