package server

import (
	"runtime"
	"strings"
	"testing"
	"time"

	"plic/internal/config"
	"plic/internal/dns/dnstest"
	"plic/internal/mail"
	"plic/internal/queue"
)

// TestFeedbackIsCounted brings mail in somebody's name; what DMARC said of it waits
// to be told.
func TestFeedbackIsCounted(t *testing.T) {
	t.Parallel()
	s := startSenders(t, func(c *config.Config) { c.Senders.Report = true },
		`_dmarc.strict.test 60 IN TXT "v=DMARC1; p=reject; rua=mailto:dmarc@strict.test"`, "strict.test 60 IN MX 10 mx.strict.test.", "other.test 60 IN MX 10 mx.other.test.")
	key := func() string { return "dmarc/seen/" + time.Now().UTC().Format(time.DateOnly) + "/strict.test" }
	before := key()
	if got := s.send("eve@other.test", "ann@here.test", "From: bob@strict.test\r\n\r\nHello!\r\n"); !strings.HasPrefix(got, "550") {
		t.Fatal(got)
	}
	if err := s.site.feedback.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	text, err := s.site.store.Notes().Get(t.Context(), before)
	if err != nil { // it was midnight
		text, err = s.site.store.Notes().Get(t.Context(), key())
	}
	if err != nil {
		t.Fatalf("it is not written down: %v", err)
	}
	for _, want := range []string{`"source":"127.0.0.1"`, `"disposition":"reject"`, `"dkim":"fail"`, `"spf":"fail"`, `"headerFrom":"strict.test"`, `"envelopeFrom":"other.test"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}

// TestFailureIsReported brings mail in somebody's name who asks for reports of such, and
// takes them at a place that has agreed; mail of ours is never reported.
func TestFailureIsReported(t *testing.T) {
	t.Parallel()
	zone := dnstest.New(t, `_dmarc.strict.test 60 IN TXT "v=DMARC1; p=reject; ruf=mailto:ruf@reports.test"`, "strict.test 60 IN MX 10 mx.strict.test.", "other.test 60 IN MX 10 mx.other.test.",
		`other.test 60 IN TXT "v=spf1 -all"`, `strict.test._report._dmarc.reports.test 60 IN TXT "v=DMARC1"`)
	zone.Fail("reports.test", dnstest.ServFail) // so that it stays in the queue
	s := startSenders(t, func(c *config.Config) { c.DNS.Servers, c.Senders.FailureReports = []string{zone.Addr()}, true })
	s.publish(zone)
	if err := s.Submit(t.Context(), mail.MustAddress("ann@here.test"), mail.MustAddress("ann@here.test"), []byte("From: bob@strict.test\r\n\r\nof ours\r\n")); err != nil {
		t.Fatal(err)
	}
	if got := s.send("eve@other.test", "ann@here.test", "From: bob@strict.test\r\nTo: Ann <ann@here.test>\r\nSubject: x\r\n\r\nsecret\r\n"); !strings.HasPrefix(got, "550") {
		t.Fatal(got)
	}
	var found []string
	for deadline := time.Now().Add(time.Minute); len(found) == 0 && time.Now().Before(deadline); {
		for l, err := range s.Operations().Queue.List(t.Context(), queue.Filter{}) {
			if err == nil {
				found = append(found, l.Hop.Host)
			}
		}
		runtime.Gosched()
	}
	if len(found) != 1 || found[0] != "reports.test" {
		t.Fatalf("the queue has mail for %q", found)
	}
	text := s.queued("reports.test")
	for _, want := range []string{"To: <ruf@reports.test>", "Feedback-Type: auth-failure", "Auth-Failure: dmarc", "Delivery-Result: reject", "Reported-Domain: strict.test", "Source-IP: 127.0.0.1",
		`SPF-DNS: txt : other.test : "v=spf1 -all"`, "From: bob@strict.test", "@here.test>", "Authentication-Results: mx.here.test; "} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if strings.Contains(text, "secret") || strings.Contains(text, "ann@") || strings.Contains(text, "Ann") {
		t.Errorf("too much is told: %s", text)
	}
}
