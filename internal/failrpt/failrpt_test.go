package failrpt

import (
	"bufio"
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	netmail "net/mail"
	"net/netip"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"plic/internal/mail"
	"plic/internal/message"
)

const header = "Return-Path: <Eve@bad.test>\r\nReceived: from bad.test ([192.0.2.9])\r\n\tby mx.here.test with ESMTP id 1 for <bob.secret@here.test>; Thu, 26 Nov 2026 10:00:00 +0000\r\n" +
	"DKIM-Signature: v=1; d=strict.test; i=ann@strict.test; s=s; b=abc\r\nFrom: Ann <ann@strict.test>\r\nTo: Bob Secret <bob.secret@here.test>,\r\n \"c d\"@here.test\r\nSubject: for bob.secret@here.test\r\n" +
	"X-Secret: 42\r\nList-Unsubscribe: <https://bad.test/?bob.secret>\r\nMessage-ID: <1@strict.test>\r\n"

func sample() *Report {
	return &Report{
		UserAgent: "plic/1", Failure: DMARC, Delivery: Reject, MailFrom: "Eve@bad.test", Arrival: time.Date(2026, 11, 26, 10, 0, 0, 0, time.UTC),
		Source: netip.MustParseAddrPort("192.0.2.9:2525"), Domain: "strict.test", Results: "mx.here.test;\r\n\tspf=pass smtp.mailfrom=Eve@bad.test;\r\n\tdmarc=fail header.from=strict.test",
		Unaligned: []string{"dkim", "spf"}, Signed: &Signed{"strict.test", "ann@strict.test", "s"}, Records: []Record{{"bad.test", `v=spf1 "x" -all`}}, Incidents: 3, Header: []byte(header),
	}
}

// parts reads a report by the parsers of the standard library, which know nothing of
// ours.
func parts(t *testing.T, text []byte) (top netmail.Header, words string, machine textproto.MIMEHeader, original string) {
	t.Helper()
	m, err := netmail.ReadMessage(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "feedback-report" {
		t.Fatalf("%s %v: %v", kind, params, err)
	}
	var kinds, bodies []string
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		part, err := r.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(part)
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := mime.ParseMediaType(part.Header.Get("Content-Type"))
		kinds, bodies = append(kinds, kind), append(bodies, string(body))
	}
	if got := strings.Join(kinds, " "); got != "text/plain message/feedback-report text/rfc822-headers" {
		t.Fatalf("the parts are %s", got)
	}
	machine, err = textproto.NewReader(bufio.NewReader(strings.NewReader(bodies[1] + "\r\n"))).ReadMIMEHeader()
	if err != nil {
		t.Fatal(err)
	}
	return m.Header, bodies[0], machine, bodies[2]
}

// A report has all fields that RFC 6591 and RFC 9991 want, in a mail that nobody
// answers.
func TestMessage(t *testing.T) {
	t.Parallel()
	r := sample()
	text := r.Message(Letter{From: mail.MustAddress("postmaster@here.test"), To: mail.MustAddress("ruf@strict.test"), Submitter: "mx.here.test", Date: r.Arrival, MessageID: "1@mx.here.test"})
	top, words, machine, original := parts(t, text)
	for name, want := range map[string]string{
		"Feedback-Type": "auth-failure", "User-Agent": "plic/1", "Version": "1", "Original-Mail-From": "<Eve@bad.test>", "Arrival-Date": "Thu, 26 Nov 2026 10:00:00 +0000",
		"Source-Ip": "192.0.2.9", "Source-Port": "2525", "Reported-Domain": "strict.test", "Auth-Failure": "dmarc", "Delivery-Result": "reject", "Identity-Alignment": "dkim,spf",
		"Authentication-Results": "mx.here.test; spf=pass smtp.mailfrom=Eve@bad.test; dmarc=fail header.from=strict.test",
		"Dkim-Domain":            "strict.test", "Dkim-Identity": "ann@strict.test", "Dkim-Selector": "s", "Spf-Dns": `txt : bad.test : "v=spf1 \"x\" -all"`, "Incidents": "3",
	} {
		if got := machine[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if top.Get("Auto-Submitted") != "auto-generated" || top.Get("To") != "<ruf@strict.test>" || original != header || !strings.Contains(words, "2 messages more") {
		t.Errorf("%v\n%s\n%s", top, words, original)
	}
	none := &Report{Domain: "strict.test"}
	if _, _, machine, _ := parts(t, none.Message(Letter{})); machine.Get("Identity-Alignment") != "none" || machine.Get("Original-Mail-From") != "<>" || machine.Get("Incidents") != "" {
		t.Errorf("%v", machine)
	}
}

// What is redacted tells nobody who the recipients are, but is the same each time, and
// leaves alone what is the author's.
func TestRedact(t *testing.T) {
	t.Parallel()
	r, again, other := sample(), sample(), sample()
	r.Redact([]byte("key"), "strict.test")
	again.Redact([]byte("key"), "strict.test")
	other.Redact([]byte("another"), "strict.test")
	text := string(r.Message(Letter{Submitter: "mx.here.test"}))
	for _, secret := range []string{"bob", "Bob", "Secret", "c d", "Eve", "X-Secret", "Unsubscribe"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is told:\n%s", secret, text)
		}
	}
	for _, kept := range []string{"ann@strict.test", "<1@strict.test>", "@here.test", "@bad.test", "192.0.2.9"} {
		if !strings.Contains(text, kept) {
			t.Errorf("%q is not told:\n%s", kept, text)
		}
	}
	word, _, _ := strings.Cut(r.MailFrom, "@")
	if strings.Count(text, word+"@bad.test") < 3 || again.MailFrom != r.MailFrom || other.MailFrom == r.MailFrom {
		t.Errorf("%s, %s, %s", r.MailFrom, again.MailFrom, other.MailFrom)
	}
	if sample().Signed.Identity != "ann@strict.test" {
		t.Error("what was given is changed")
	}
}

// However an address is written, its local part is not told; what only looks like one
// is left.
func TestRedactForms(t *testing.T) {
	t.Parallel()
	for _, field := range []string{
		"Subject: =?utf-8?B?Zm9yIGJvYkBoZXJlLnRlc3Q=?=", "Subject: =?utf-8?Q?for_bob=40here=2Etest?=", "Subject: =?utf-8?Q?b=6Fb?= =?us-ascii?q?=40here.test?= =?utf-8?Q?=C3=BC?=",
		"From: =?utf-8?Q?bob=40here=2Etest?= <ann@strict.test>", `From: "bob@here.test" <ann@strict.test>`, "Reply-To: bob @ here.test", "Sender: bob\r\n @here.test", `Sender: bob."x y".bob@here.test`,
		"Return-Path: <bob.bob=here.test@list.test>", "Return-Path: <SRS0=abc=de=here.test=bob@list.test>", "Received: from x\r\n\tby y for bob@here.test; Thu, 26 Nov 2026 10:00:00 +0000",
		"Received: from x by y for <@list.test:bob@here.test>; Thu, 26 Nov 2026 10:00:00 +0000", "Received-SPF: fail envelope-from=bob@here.test; client-ip=192.0.2.9",
		"DKIM-Signature: v=1; d=strict.test; z=To:Bob=20<bob=40here.test>|\r\n\tCc:bob@here.test; b=strict.test", "ARC-Message-Signature: i=1; d=strict.test;\r\n\tz=To:bob=40here.test",
		"To: bob(x)@here.test, =?utf-8?Q?bob?= <bob@here.test>",
	} {
		r := Report{Header: []byte(field + "\r\nDate: x\r\n")}
		r.Redact([]byte("key"), "strict.test")
		text := message.DecodeHeader(strings.ReplaceAll(string(r.Header), "\r\n", "\n "))
		name, _, _ := strings.Cut(field, ":")
		if strings.Contains(strings.ToLower(text), "bob") || !strings.HasPrefix(text, name+":") || !strings.Contains(text, ".test") || !strings.HasSuffix(string(r.Header), "\r\nDate: x\r\n") {
			t.Errorf("%s becomes %q", field, r.Header)
		}
	}
	const kept = "Subject: =?utf-8?Q?=C3=9Cber_uns?=\r\nFrom: =?utf-8?Q?=C3=9C?= <ann@strict.test>\r\nDKIM-Signature: v=1; d=strict.test; bh=z=; b=x\r\n"
	r := Report{Header: []byte(kept)}
	if r.Redact([]byte("key"), "strict.test"); string(r.Header) != kept {
		t.Errorf("%q", r.Header)
	}
}

// Whatever the header is, no local part of a stranger's address that stands by itself
// is left.
func FuzzRedact(f *testing.F) {
	f.Add([]byte(header))
	f.Add([]byte("To: a@b, \"x\"@y (z@w) <q=p@r>\r\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r := Report{Header: append([]byte("To: <hidden@here.test>\r\n"), text...)}
		r.Redact([]byte("key"), "strict.test")
		if bytes.HasPrefix(r.Header, []byte("To: <hidden@")) {
			t.Errorf("%q", r.Header)
		}
		r.Message(Letter{})
	})
}
