package server

import (
	"strings"
	"testing"
	"time"

	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/mail"
	"plic/internal/tlsrpt"
)

// A TLS report in mail to its address is read as it comes in, once, and is
// delivered as any mail; what is none, and what is too large unpacked, harms
// nothing. RFC 8460 section 5.3.
func TestReportsByMail(t *testing.T) {
	t.Parallel()
	s := startSenders(t, func(c *config.Config) { c.TLSRPT.Receive = mail.MustAddress("TLS@here.test") })
	if err := s.Operations().Directory.AddAlias(t.Context(), control.Alias{Address: "tls@here.test", Targets: []string{"ann@here.test"}}); err != nil {
		t.Fatal(err)
	}
	day := time.Now().UTC().Truncate(24 * time.Hour)
	letter := func(id, organization string) string {
		r := &tlsrpt.Report{Organization: organization, ID: id, Range: tlsrpt.Range{Start: day, End: day.Add(24*time.Hour - time.Second)},
			Policies: []tlsrpt.Findings{{Policy: tlsrpt.Policy{Type: tlsrpt.PolicySTS, Domain: "here.test"}, Summary: tlsrpt.Summary{Success: 7, Failure: 2}}}}
		text, err := r.Message(tlsrpt.Letter{From: mail.MustAddress("tls@big.test"), To: mail.MustAddress("tls@here.test"), Submitter: "big.test", Domain: "here.test", Date: day, MessageID: id + "@big.test"})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	bomb := letter("bomb", strings.Repeat("x", tlsrpt.MaxSize))
	if len(bomb) > 1<<20 {
		t.Fatalf("the bomb has %d octets", len(bomb))
	}
	for _, x := range []struct{ to, text string }{
		{"tls@here.test", letter("1", "Big")}, {"tls@here.test", letter("1", "Big")}, {"tls@here.test", bomb},
		{"tls@here.test", "From: x@big.test\r\nSubject: no report\r\n\r\nhello\r\n"}, {"ann@here.test", letter("elsewhere", "Big")},
		{"tls@here.test", strings.Replace(letter("2", "Big"), "multipart/report", "multipart/mixed", 1)},
	} {
		if got := s.send("tls@big.test", x.to, x.text); !strings.HasPrefix(got, "250 ") {
			t.Errorf("answered %s", got)
		}
	}
	var ids []string
	for r, err := range s.Operations().TLS.Reports(t.Context(), 30) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.Report.ID)
		if r.From != "tls@big.test" || r.Report.Policies[0].Summary.Success != 7 || len(r.Signed) != 0 || time.Since(r.At) > time.Hour {
			t.Errorf("kept %+v", r)
		}
	}
	if len(ids) != 2 || len(s.box("INBOX")) != 6 {
		t.Errorf("reports %v, %d messages", ids, len(s.box("INBOX")))
	}
	for r := range s.Operations().TLS.Reports(t.Context(), 0) {
		t.Errorf("of no day there is %+v", r)
	}
}
