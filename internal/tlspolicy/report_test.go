package tlspolicy

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/dns"
	"plic/internal/dns/dnstest"
	"plic/internal/mail"
	"plic/internal/notebook/notebooktest"
	"plic/internal/tlsrpt"
)

// Sessions are counted by day, policy and failure, survive the process, and go
// out by mail and HTTPS when the day is over.
func TestReports(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "_smtp._tls.example.test 60 IN TXT \"v=TLSRPTv1; rua=mailto:tls@example.test,https://reports.test/v1\"", "reports.test 60 IN A 192.0.2.1")
	w.now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	var posted []*tlsrpt.Report
	status := http.StatusServiceUnavailable
	w.https(t, func(rw http.ResponseWriter, r *http.Request) {
		report, err := tlsrpt.Read(r.Body)
		if err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/tlsrpt+gzip" || r.URL.Path != "/v1" {
			t.Errorf("%s %s %s: %v", r.Method, r.URL, r.Header, err)
		}
		rw.WriteHeader(status)
		if status == http.StatusOK {
			posted = append(posted, report)
		}
	}, "reports.test")
	good := Outcome{Offered: true, TLS: state(w.certificate(t, "mx.example.test"))}
	bad := Outcome{Local: netip.MustParseAddrPort("192.0.2.9:1"), Remote: netip.MustParseAddrPort("192.0.2.1:25"), Helo: "mx"}
	for range 3 { // three lives of the process
		p := w.policies(func(o *Options) { o.Memory = -1 })
		p.Decide(t.Context(), plain, Demand{}).Done(good)
		p.Decide(t.Context(), plain, Demand{}).Done(bad)
		p.Decide(t.Context(), plain, Demand{Optional: true}).Done(bad) // not counted
		silent := plain
		silent.Domain = "silent.test"
		p.Decide(t.Context(), silent, Demand{}).Done(good)
		if err := p.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	p := w.policies(nil)
	run := func() {
		t.Helper()
		if err := p.sendReports(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	run()
	if len(w.sent) != 0 || len(w.notes.All) != 2 {
		t.Errorf("sent within the day: %v, kept %v", w.sent, w.notes.All)
	}
	w.now = time.Date(2026, 11, 26, 5, 0, 0, 0, time.UTC)
	run()
	run()
	if len(w.sent) != 1 || len(w.notes.All) != 1 {
		t.Fatalf("sent %d mails, kept %v", len(w.sent), w.notes.All)
	}
	status = http.StatusOK
	run()
	if len(w.sent) != 1 || len(w.notes.All) != 0 || len(posted) != 1 {
		t.Fatalf("sent %d mails and %d posts, kept %v", len(w.sent), len(posted), w.notes.All)
	}
	to, text, _ := strings.Cut(w.sent[0], "\n")
	report, err := tlsrpt.Read(strings.NewReader(text))
	if err != nil || to != "to tls@example.test" || !strings.Contains(text, "TLS-Required: No\r\n") {
		t.Fatalf("%s: %v\n%s", to, err, text)
	}
	for _, r := range []*tlsrpt.Report{report, posted[0]} {
		f := r.Policies[0]
		if len(r.Policies) != 1 || f.Policy.Type != tlsrpt.NoPolicy || f.Policy.Domain != "example.test" || f.Summary != (tlsrpt.Summary{Success: 3, Failure: 3}) ||
			len(f.Failures) != 1 || f.Failures[0].Type != tlsrpt.NoSTARTTLS || f.Failures[0].Count != 3 || f.Failures[0].SendingIP != "192.0.2.9" || f.Failures[0].ReceivingIP != "192.0.2.1" ||
			!r.Range.Start.Equal(time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC)) || r.Organization != "Client" {
			t.Errorf("the report says %+v", r)
		}
	}
}

// What cannot be sent is given up after two days, and a resolver that does not
// answer is asked again until then.
func TestReportsGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	w.dns.Fail("_smtp._tls.example.test", dnstest.ServFail)
	p := w.policies(func(o *Options) { o.Memory = -1 })
	p.Decide(t.Context(), plain, Demand{}).Done(Outcome{})
	if err := p.flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		after time.Duration
		kept  int
	}{{0, 1}, {28 * time.Hour, 1}, {30 * time.Hour, 1}, {60 * time.Hour, 0}} {
		w.now = w.now.Add(c.after)
		if err := p.sendReports(t.Context()); err != nil || len(w.notes.All) != c.kept {
			t.Errorf("after %v more: %d kept, %v", c.after, len(w.notes.All), err)
		}
	}
}

// Run writes in time and at its end.
func TestRun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := dnstest.Offline(t)
		w := &world{dns: server, notes: &notebooktest.Notes{All: map[string][]byte{}}}
		p := New(Options{Resolver: dns.New(dns.Options{Dial: server.Dial}), Notes: w.notes, Hostname: "client.test", Memory: -1, Reports: Reports{Send: nobody}})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- p.Run(ctx) }()
		p.Decide(ctx, plain, Demand{}).Done(Outcome{})
		time.Sleep(flushEvery + time.Second)
		synctest.Wait()
		if len(w.notes.All) != 1 {
			t.Errorf("after %v there are %v", flushEvery, w.notes.All)
		}
		other := plain
		other.Domain = "other.test"
		p.Decide(ctx, other, Demand{}).Done(Outcome{})
		stop()
		if err := <-ended; err != nil || len(w.notes.All) != 2 {
			t.Errorf("at the end there are %v, %v", w.notes.All, err)
		}
	})
}

func nobody(context.Context, mail.Address, mail.Address, []byte) error { return nil }
