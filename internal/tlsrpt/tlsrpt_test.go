package tlsrpt

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"plic/internal/mail"
	"plic/internal/message"
)

func TestRecord(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		texts []string
		want  string
	}{
		{[]string{"v=TLSRPTv1; rua=mailto:tls@example.org"}, "mailto:tls@example.org"},
		{[]string{"v=TLSRPTv1;rua=https://r.example.org/v1?x=1,mailto:a%2Bb@example.org;"}, "https://r.example.org/v1?x=1 mailto:a+b@example.org"},
		{[]string{"x", "v=TLSRPTv1; ext=1; rua = mailto:tls@example.org , ftp://x/, http://x/"}, "mailto:tls@example.org"},
		{[]string{"v=TLSRPTv1; rua=https://user:pw@example.org/, mailto:nobody"}, ""},
		{[]string{"v=TLSRPTv1"}, ""}, {nil, ""}, {[]string{"v=TLSRPTv2; rua=mailto:a@b.test"}, ""},
		{[]string{"v=TLSRPTv1; rua=mailto:a@b.test", "v=TLSRPTv1; rua=mailto:a@b.test"}, ""},
	} {
		targets, err := ParseRecord(c.texts)
		var got []string
		for _, target := range targets {
			got = append(got, target.String())
		}
		if strings.Join(got, " ") != c.want || (err == nil) != (c.want != "") || err != nil && !errors.Is(err, ErrNoRecord) {
			t.Errorf("%q: %q %v", c.texts, got, err)
		}
	}
	if targets, _ := ParseRecord([]string{"v=TLSRPTv1; rua=" + strings.Repeat("mailto:a@b.test,", 100)}); len(targets) != mostURIs {
		t.Errorf("%d targets of one record", len(targets))
	}
}

// sample is the example of RFC 8460 appendix B in our words.
func sample() *Report {
	start := time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)
	return &Report{
		Organization: "Company", Range: Range{start, start.Add(24*time.Hour - time.Second)}, Contact: "sts@company.example", ID: "2026-11-25T00:00:00Z_example.org",
		Policies: []Findings{{
			Policy:  Policy{Type: PolicySTS, String: []string{"version: STSv1", "mode: testing"}, Domain: "example.org", MX: texts{"*.mail.example.org"}},
			Summary: Summary{5326, 303},
			Failures: []Failure{
				{Type: Expired, SendingIP: "2001:db8::1", Host: "mx1.mail.example.org", Count: 100},
				{Type: NoSTARTTLS, SendingIP: "2001:db8::2", Host: "mx2.mail.example.org", ReceivingIP: "203.0.113.56", Count: 200, Information: "https://example.org/"},
			},
		}},
	}
}

func same(t *testing.T, what string, got *Report, err error) {
	t.Helper()
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(sample())
	if err != nil || !bytes.Equal(a, b) {
		t.Errorf("%s: %v\n%s\nwant\n%s", what, err, a, b)
	}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	r := sample()
	packed, err := r.Gzip()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read(bytes.NewReader(packed))
	same(t, "the packed file", got, err)
	plain, _ := json.Marshal(r)
	got, err = Read(bytes.NewReader(append([]byte("\n "), plain...)))
	same(t, "the plain file", got, err)
	text, err := r.Message(Letter{
		From: mail.MustAddress("tls@sender.test"), To: mail.MustAddress("sts@example.org"), Submitter: "mx.sender.test",
		Domain: "example.org", Date: time.Date(2026, 11, 26, 1, 2, 3, 0, time.UTC), MessageID: "1@sender.test",
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err = Read(bytes.NewReader(text))
	same(t, "the mail", got, err)
	m, err := message.Parse(bytes.NewReader(text), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"TLS-Report-Domain": "example.org", "TLS-Report-Submitter": "mx.sender.test", "TLS-Required": "No",
		"Subject": "Report Domain: example.org Submitter: mx.sender.test Report-ID: <" + r.ID + ">", "To": "<sts@example.org>",
	} {
		if got := m.Root.Get(name); got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	file := m.Root.Children[1]
	if file.Type+"/"+file.Subtype != "application/tlsrpt+gzip" || m.Root.Param("report-type") != "tlsrpt" ||
		file.Filename() != "mx.sender.test!example.org!1795564800!1795651199!2026-11-25T00-00-00Z-example.org.json.gz" {
		t.Errorf("the file is %s/%s %q", file.Type, file.Subtype, file.Filename())
	}
}

// Some senders write one host where the list is, or send any packed file.
func TestForeign(t *testing.T) {
	t.Parallel()
	const text = `{"organization-name":"Big","date-range":{"start-datetime":"2026-11-25T00:00:00Z","end-datetime":"2026-11-25T23:59:59Z"},
		"contact-info":"x","report-id":"1","policies":[{"policy":{"policy-type":"sts","policy-domain":"example.org","mx-host":"mx.example.org"},
		"summary":{"total-successful-session-count":1,"total-failure-session-count":0}}]}`
	r, err := Read(strings.NewReader("Content-Type: application/gzip\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" + packed(t, text)))
	if err != nil || len(r.Policies[0].Policy.MX) != 1 || r.Policies[0].Summary.Success != 1 {
		t.Errorf("%+v %v", r, err)
	}
}

func packed(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	z.Write([]byte(text))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRefused(t *testing.T) {
	t.Parallel()
	good, _ := json.Marshal(sample())
	bomb := `{"organization-name":"` + strings.Repeat("a", MaxSize) + `"}`
	for what, text := range map[string]string{
		"nothing": "", "no report": "{}", "a list": "[]", "a mail without one": "Subject: x\r\n\r\ntext\r\n", "cut off": packed(t, string(good))[:40],
		"a bomb": packed(t, bomb), "too much": bomb,
		"no time":           strings.Replace(string(good), "start-datetime", "start", 1),
		"backwards":         strings.Replace(string(good), "2026-11-25T00:00:00Z", "2027-11-25T00:00:00Z", 1),
		"less than nothing": strings.Replace(string(good), "5326", "-1", 1), "no policies": strings.Replace(string(good), `"policies"`, `"x"`, 1),
	} {
		if r, err := Read(strings.NewReader(text)); err == nil {
			t.Errorf("%s is read as %+v", what, r)
		}
	}
}

func FuzzRead(f *testing.F) {
	good, _ := json.Marshal(sample())
	f.Add(good)
	f.Add([]byte("Content-Type: application/tlsrpt+json\r\n\r\n{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Read(bytes.NewReader(text))
		if err != nil {
			return
		}
		packed, err := r.Gzip()
		if err == nil {
			_, err = Read(bytes.NewReader(packed))
		}
		if err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
		ParseRecord([]string{string(text)})
	})
}
