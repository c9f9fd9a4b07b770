package dsn

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/message/messagetest"
)

func full() *Report {
	at := time.Date(2026, 3, 2, 10, 15, 30, 0, time.FixedZone("", 3600))
	return &Report{
		EnvelopeID: "QQ 314+159", ReportingMTA: "mx.example.org", ReceivedFrom: "[192.0.2.1]", MessageID: "01k", Arrival: at,
		Recipients: []Recipient{
			{
				Original: Address{"rfc822", "Bob@Example.com"}, Final: AddressOf(mail.MustAddress("bob@example.com")),
				Action: Failed, Status: mail.Enhanced{5, 1, 1}, RemoteMTA: "mx.example.com",
				Diagnostic: "550 5.1.1 " + strings.Repeat("no such user ", 20), LastAttempt: at.Add(time.Minute),
			},
			{Final: Address{"utf-8", `jö+r\g=@bücher.example`}, Action: Delayed, Status: mail.Enhanced{4, 4, 1}, RetryUntil: at.Add(time.Hour)},
			{Original: Address{"x400", "/C=DE/"}, Final: Address{"rfc822", "c@example.com"}, Action: Relayed, Status: mail.Enhanced{2, 0, 0}},
		},
	}
}

// same compares reports by what they say; a folded text has single spaces.
func same(t *testing.T, got, want *Report) {
	t.Helper()
	for _, r := range []*Report{got, want} {
		r.Arrival = r.Arrival.UTC()
		for i := range r.Recipients {
			rcpt := &r.Recipients[i]
			rcpt.LastAttempt, rcpt.RetryUntil = rcpt.LastAttempt.UTC(), rcpt.RetryUntil.UTC()
			rcpt.Diagnostic = strings.TrimSpace(rcpt.Diagnostic)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("have %+v\nwant %+v", got, want)
	}
}

// TestRoundTrip reads what was written, RFC 3464 section 2 and RFC 6533 section
// 3.
func TestRoundTrip(t *testing.T) {
	for _, utf8Allowed := range []bool{false, true} {
		raw := full().Append(nil, utf8Allowed)
		for line := range strings.SplitSeq(string(raw), "\r\n") {
			if len(line) > 78 || !utf8Allowed && !isASCII(line) {
				t.Errorf("line %q", line)
			}
		}
		got, err := Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, full())
	}
}

// TestGolden shows the form.
func TestGolden(t *testing.T) {
	r := full()
	r.Recipients = r.Recipients[1:2]
	r.Recipients[0].Diagnostic = "nobody answers"
	r.DeliverBy = r.Arrival.Add(time.Hour)
	const want = "Original-Envelope-Id: QQ 314+159\r\nReporting-MTA: dns; mx.example.org\r\nReceived-From-MTA: dns; [192.0.2.1]\r\n" +
		"Arrival-Date: Mon, 02 Mar 2026 10:15:30 +0100\r\nDeliver-By-Date: Mon, 02 Mar 2026 11:15:30 +0100\r\nX-Plic-Message: 01k\r\n\r\n" +
		"Final-Recipient: utf-8; j\\x{F6}\\x{2B}r\\x{5C}g\\x{3D}@b\\x{FC}cher.example\r\nAction: delayed\r\nStatus: 4.4.1\r\n" +
		"Diagnostic-Code: X-Plic; nobody answers\r\nWill-Retry-Until: Mon, 02 Mar 2026 11:15:30 +0100\r\n"
	if got := string(r.Append(nil, false)); got != want {
		t.Errorf("have\n%s\nwant\n%s", got, want)
	}
}

// TestCompose reads a whole notification back.
func TestCompose(t *testing.T) {
	original := []byte("Subject: x\r\n\r\nbody ü\r\n")
	for _, c := range []struct {
		notice Notice
		types  string
	}{
		{Notice{Original: original, Full: true}, "text/plain message/delivery-status message/rfc822"},
		{Notice{Original: []byte("Subject: x\r\n")}, "text/plain message/delivery-status text/rfc822-headers"},
		{Notice{}, "text/plain message/delivery-status"},
		{Notice{Original: original, Full: true, UTF8: true}, "text/plain message/global-delivery-status message/global"},
		{Notice{Original: []byte("Subject: ü\r\n"), UTF8: true}, "text/plain message/global-delivery-status message/global-headers"},
	} {
		c.notice.Report, c.notice.Text = full(), "Grüße\n"
		c.notice.Header = []message.Field{{Name: "Subject", Value: "Grüße"}, {Name: "To", Value: "<a@example.org>"}}
		raw := c.notice.Compose()
		m, err := message.Parse(bytes.NewReader(raw), message.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		var types []string
		for _, p := range m.Root.Children {
			types = append(types, p.Type+"/"+p.Subtype)
		}
		if got := strings.Join(types, " "); got != c.types {
			t.Errorf("have %s, want %s", got, c.types)
		}
		if header := string(raw[:m.Root.Body]); !isASCII(header) {
			t.Errorf("header %s", header)
		}
		p := Part(m)
		if p == nil {
			t.Fatalf("no status in\n%s", raw)
		}
		got, err := Parse(raw[p.Body:p.End])
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, full())
	}
}

// TestForeign reads the reports of other systems.
func TestForeign(t *testing.T) {
	found := 0
	for _, s := range messagetest.All() {
		m, err := message.Parse(bytes.NewReader(s.Raw), message.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		p := Part(m)
		if p == nil {
			continue
		}
		found++
		r, err := Parse(s.Raw[p.Body:p.End])
		if err != nil || len(r.Recipients) != 1 || r.Recipients[0].Final.Type != "rfc822" || r.ReportingMTA == "" {
			t.Errorf("%s: %+v %v", s.Name, r, err)
		}
	}
	if found != 2 {
		t.Errorf("%d reports among the samples", found)
	}
	r, err := Parse([]byte("reporting-mta : DNS;a.example\n\n\n\nFINAL-RECIPIENT:RFC822;<x@y>\nAction: FAILED (really)\nStatus: 5.1.1 (no such user)\n\nAction: failed\n\n"))
	if err != nil || len(r.Recipients) != 1 || r.ReportingMTA != "a.example" || r.Recipients[0].Status != (mail.Enhanced{5, 1, 1}) {
		t.Errorf("%+v %v", r, err)
	}
}

func TestNoStatus(t *testing.T) {
	for _, body := range []string{"", "\r\n\r\n", "Reporting-MTA: dns; x\r\n", "Action: failed\r\n", "junk\r\njunk\r\n\r\nAction: failed\r\n", ":\n"} {
		if r, err := Parse([]byte(body)); err == nil {
			t.Errorf("%q: %+v", body, r)
		}
	}
	for value, want := range map[string]mail.Enhanced{
		"5.1.1": {5, 1, 1}, "5.1": {}, "5.1.x": {}, "5.1.1000": {}, "-5.1.1": {}, "5.1.1.1": {}, "": {}, "4.999.999(x)": {4, 999, 999},
	} {
		if got := parseStatus(value); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
	for text, want := range map[string]string{
		`a\x{F6}b`: "aöb", `\x{1F4A9}`: "💩", `\x{}`: `\x{}`, `\x{zz}`: `\x{zz}`, `\x{F6`: `\x{F6`, `\x{1234567890}`: `\x{1234567890}`, `\x{D800}`: "\uFFFD",
	} {
		if got := unescape(text); got != want {
			t.Errorf("%q: have %q, want %q", text, got, want)
		}
	}
}

// TestStrangersWords: no value adds a field or a group (P7).
func TestStrangersWords(t *testing.T) {
	const evil = "x\r\nAction: delivered\r\n\r\nFinal-Recipient: rfc822; y\u2028\x00"
	r := &Report{EnvelopeID: evil, ReportingMTA: evil, ReceivedFrom: evil, MessageID: evil, Recipients: []Recipient{
		{Original: Address{"rfc822", evil}, Final: Address{"rfc822", evil}, Action: Failed, RemoteMTA: evil, Diagnostic: evil},
	}}
	for _, utf8Allowed := range []bool{false, true} {
		got, err := Parse(r.Append(nil, utf8Allowed))
		if err != nil || len(got.Recipients) != 1 || got.Recipients[0].Action != Failed {
			t.Errorf("%+v %v", got, err)
		}
	}
}

// FuzzParse: what is read can be written, and is then read the same.
func FuzzParse(f *testing.F) {
	f.Add(full().Append(nil, false))
	f.Add(full().Append(nil, true))
	f.Add([]byte("\r\n\r\nFinal-Recipient: utf-8; \\x{F6\r\nAction: failed\r\nStatus: 5.1.1\r\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := Parse(body)
		if err != nil {
			return
		}
		first := r.Append(nil, true)
		again, err := Parse(first)
		if err != nil {
			return // an address of nothing but controls
		}
		if second := again.Append(nil, true); len(again.Recipients) == len(r.Recipients) && !bytes.Equal(first, second) {
			third, _ := Parse(second)
			if third == nil || !bytes.Equal(third.Append(nil, true), second) {
				t.Fatalf("%q\nis %q\nthen %q", body, first, second)
			}
		}
	})
}
