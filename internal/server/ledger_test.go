package server

import (
	"strings"
	"testing"
	"time"

	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/dmarcrpt"
	"plic/internal/journal"
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

// A DMARC report in mail to its address is read as it comes in, once, also where TLS
// reports come to the same address; one about others is only mail.
func TestDMARCReportsByMail(t *testing.T) {
	t.Parallel()
	s := startSenders(t, func(c *config.Config) {
		c.Senders.ReceiveReports, c.TLSRPT.Receive = mail.MustAddress("ann@here.test"), mail.MustAddress("ann@here.test")
	})
	day := time.Now().UTC().Truncate(24 * time.Hour)
	letter := func(id, about string) string {
		r := &dmarcrpt.Report{Metadata: dmarcrpt.Metadata{Organization: "Big", ID: id, Begin: day.Unix(), End: day.Unix() + 86399}, Policy: dmarcrpt.Policy{Domain: about, Policy: "reject"}}
		r.Records = make([]dmarcrpt.Record, 1)
		r.Records[0].Row = dmarcrpt.Row{Source: "192.0.2.1", Count: 7, Evaluated: dmarcrpt.Evaluated{Disposition: "none", DKIM: "pass", SPF: "fail"}}
		text, err := r.Message(dmarcrpt.Letter{From: mail.MustAddress("dmarc@big.test"), To: mail.MustAddress("ann@here.test"), Submitter: "big.test", Date: day, MessageID: id + "@big.test"})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	tls, err := (&tlsrpt.Report{Organization: "Big", ID: "tls", Range: tlsrpt.Range{Start: day, End: day.Add(time.Hour)},
		Policies: []tlsrpt.Findings{{Policy: tlsrpt.Policy{Type: tlsrpt.PolicySTS, Domain: "here.test"}}}}).Message(
		tlsrpt.Letter{From: mail.MustAddress("tls@big.test"), To: mail.MustAddress("ann@here.test"), Submitter: "big.test", Domain: "here.test", Date: day, MessageID: "tls@big.test"})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		letter("1", "here.test"), letter("1", "here.test"), letter("2", "sub.here.test"), letter("3", "other.test"), letter("4", "nothere.test"), string(tls),
		"From: x@big.test\r\nSubject: no report\r\n\r\nhello\r\n", "From: x@big.test\r\nContent-Type: application/gzip\r\n\r\nbroken\r\n",
	} {
		if got := s.send("dmarc@big.test", "ann@here.test", text); !strings.HasPrefix(got, "250 ") {
			t.Errorf("answered %s", got)
		}
	}
	got := map[string]control.DMARCReport{}
	for r, err := range s.Operations().DMARC.Reports(t.Context(), 30) {
		if err != nil {
			t.Fatal(err)
		}
		got[r.Report.Metadata.ID] = r
	}
	if one := got["1"]; len(got) != 2 || got["2"].Report.Policy.Domain != "sub.here.test" || one.From != "dmarc@big.test" || one.Report.Records[0].Row.Count != 7 || time.Since(one.At) > time.Hour {
		t.Errorf("kept %+v", got)
	}
	kinds := 0
	for range s.Operations().TLS.Reports(t.Context(), 30) {
		kinds++
	}
	if kinds != 1 || len(s.box("INBOX")) != 8 {
		t.Errorf("%d TLS reports, %d messages", kinds, len(s.box("INBOX")))
	}
	var told []string
	for e, err := range s.Operations().Journal.Find(t.Context(), journal.Query{}) {
		if err == nil && e.Kind == journal.Error && (e.Service == "dmarc" || e.Service == "tlsrpt") {
			told = append(told, e.Reason)
		}
	}
	if text := strings.Join(told, "; "); !strings.Contains(text, "about other.test, which is no domain of ours") || !strings.Contains(text, "about nothere.test") || strings.Contains(text, "about here.test") {
		t.Errorf("the journal says %s", text)
	}
	for r := range s.Operations().DMARC.Reports(t.Context(), 0) {
		t.Errorf("of no day there is %+v", r)
	}
}
