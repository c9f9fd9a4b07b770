package feedback

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"plic/internal/dmarc"
	"plic/internal/failrpt"
	"plic/internal/mail"
)

// failed is a message in the name of an author that was looked at.
func (p *place) failed(author string, senders ...dmarc.Sender) Incident {
	p.t.Helper()
	in := Incident{
		Verdict: (&dmarc.Checker{Resolver: p.names}).Check(p.t.Context(), author, senders), SPF: "fail", SPFOf: "bad.test", From: mail.MustAddress("eve@bad.test"),
		Source: netip.MustParseAddrPort("192.0.2.9:25"), Arrival: p.now, Results: "mx.here.test; dmarc=fail", Delivery: failrpt.Reject, Header: []byte("To: bob@here.test\r\n"),
	}
	for _, s := range senders {
		switch {
		case s.Method == "spf" && s.Pass:
			in.SPF = "pass"
		case s.Method == "dkim":
			in.DKIM = append(in.DKIM, SignatureOf{failrpt.Signed{Domain: s.Domain, Selector: "s"}, !s.Pass})
		}
	}
	return in
}

// report reports what waits, and gives who got something.
func (p *place) report() string {
	p.t.Helper()
	clear(p.sent)
	for len(p.Office.failed) > 0 {
		in := <-p.Office.failed
		if err := p.tellFailure(p.t.Context(), &in); err != nil {
			p.t.Fatal(err)
		}
	}
	return strings.Join(p.targetsOf(), " ")
}

// What is reported is what the domain asks for (fo=).
func TestFailureOptions(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	spf, dkim := dmarc.Sender{Method: "spf", Domain: "x.test", Pass: true}, dmarc.Sender{Method: "dkim", Domain: "x.test", Pass: true}
	stranger, broken := dmarc.Sender{Method: "dkim", Domain: "other.test", Pass: true}, dmarc.Sender{Method: "dkim", Domain: "other.test"}
	for _, x := range []struct {
		record  string
		senders []dmarc.Sender
		want    string
	}{
		{"ruf=mailto:r@x.test", nil, "dmarc"}, {"ruf=mailto:r@x.test", []dmarc.Sender{spf}, ""}, {"ruf=mailto:r@x.test", []dmarc.Sender{stranger}, "dmarc"}, {"", nil, ""},
		{"ruf=mailto:r@x.test; fo=0", []dmarc.Sender{dkim}, ""}, {"ruf=mailto:r@x.test; fo=1", []dmarc.Sender{dkim}, "dmarc"}, {"ruf=mailto:r@x.test; fo=1", []dmarc.Sender{dkim, spf}, ""},
		{"ruf=mailto:r@x.test; fo=d", []dmarc.Sender{spf, broken}, "signature"}, {"ruf=mailto:r@x.test; fo=d", []dmarc.Sender{spf}, ""}, {"ruf=mailto:r@x.test; fo=s", []dmarc.Sender{dkim}, "spf"},
		{"ruf=mailto:r@x.test; fo=s", []dmarc.Sender{spf}, ""}, {"ruf=mailto:r@x.test; fo=d:s", nil, "spf"}, {"ruf=mailto:r@x.test; fo=0: D", []dmarc.Sender{spf, broken}, "signature"},
	} {
		record, err := dmarc.ParseRecord("v=DMARC1; p=reject; " + x.record)
		if err != nil {
			t.Fatal(err)
		}
		in := p.failed("none.test", x.senders...)
		in.Verdict = dmarc.Verdict{Result: dmarc.Fail, Record: record, Author: "x.test", PolicyDomain: "x.test"}
		for _, s := range x.senders {
			if s.Pass && s.Domain == "x.test" {
				in.Verdict.Result, in.Verdict.Aligned = dmarc.Pass, append(in.Verdict.Aligned, s)
			}
		}
		if got := in.kind(); got != x.want {
			t.Errorf("%s of %v: %q, want %q", x.record, x.senders, got, x.want)
		}
		in.Verdict.Result = dmarc.TempError
		if got := in.kind(); got != "" {
			t.Errorf("%s: %q of what could not be asked for", x.record, got)
		}
	}
}

// K7: failure reports go only to places that agreed, so many a day, also over
// restarts; what is left out is counted, and told by the next one. Nothing that a
// program has sent by itself is reported.
func TestFailureReports(t *testing.T) {
	t.Parallel()
	p := newPlace(t,
		`_dmarc.far.test 60 IN TXT "v=DMARC1; p=reject; ruf=mailto:a@far.test,mailto:c@agreed.test,mailto:d@innocent.test"`,
		`far.test._report._dmarc.agreed.test 60 IN TXT "v=DMARC1"`, `_dmarc.quiet.test 60 IN TXT "v=DMARC1; p=reject; rua=mailto:a@quiet.test"`,
		`bad.test 60 IN TXT "v=spf1 -all"`, "far.test 60 IN A 192.0.2.1", "innocent.test 60 IN A 192.0.2.1", "agreed.test 60 IN A 192.0.2.1")
	const both = "a@far.test c@agreed.test"
	in := p.failed("far.test")
	p.Fail(p.failed("quiet.test"), false)
	p.Fail(in, true)
	null := in
	null.From = mail.Address{}
	p.Fail(null, false)
	if got := p.report(); got != "" {
		t.Fatalf("%s got reports", got)
	}
	p.Fail(in, false)
	if got := p.report(); got != both {
		t.Fatalf("%s got reports", got)
	}
	text := string(p.sent["a@far.test"])
	for _, want := range []string{"Auth-Failure: dmarc\r\n", `SPF-DNS: txt : bad.test : "v=spf1 -all"`, "Identity-Alignment: dkim,spf\r\n", "Delivery-Result: reject\r\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if strings.Contains(text, "bob@") || strings.Contains(text, "eve@") || strings.Contains(text, "Incidents") || p.froms["a@far.test"] != "" {
		t.Errorf("from %q: %s", p.froms["a@far.test"], text)
	}
	for range 3 { // two a day
		p.Fail(in, false)
	}
	if got := p.report(); got != both {
		t.Fatalf("%s got reports", got)
	}
	p.Fail(in, false)
	again := New(p.o) // it remembers what was sent, if not all that was left out
	p.Office = again
	p.Fail(in, false)
	if got := p.report(); got != "" {
		t.Errorf("%s got reports beyond those of a day", got)
	}
	p.now = p.now.Add(24 * time.Hour)
	p.Fail(in, false)
	if got := p.report(); got != both || !strings.Contains(string(p.sent["a@far.test"]), "Incidents: 2\r\n") {
		t.Errorf("%s got reports of the next day: %s", got, p.sent["a@far.test"])
	}
	for _, days := range []int{reportDays, 1} { // what strangers chose the name of is not kept for ever
		note, err := p.o.Notes.Note(t.Context(), failurePrefix+"far.test")
		if err != nil || note == nil {
			t.Fatalf("%s, %v", note, err)
		}
		p.now = p.now.AddDate(0, 0, days)
		if err := p.forget(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if note, err := p.o.Notes.Note(t.Context(), failurePrefix+"far.test"); err != nil || note != nil {
		t.Errorf("%s, %v after %d days", note, err, reportDays+1)
	}
	for range mostWaiting + 5 { // nobody waits for reports
		p.Fail(in, false)
	}
	if n := len(p.Office.failed); n != mostWaiting {
		t.Errorf("%d messages wait", n)
	}
}

// A place that takes reports of many domains gets no more than so many of a day.
func TestFailurePlaces(t *testing.T) {
	t.Parallel()
	var records, domains []string
	for i := range 3 * placeFactor {
		domain := fmt.Sprintf("d%d.test", i)
		domains = append(domains, domain)
		records = append(records, domain+`._report._dmarc.agreed.test 60 IN TXT "v=DMARC1"`)
	}
	p := newPlace(t, records...)
	got := 0
	for _, domain := range domains {
		in := p.failed("none.test")
		in.Verdict = dmarc.Verdict{Result: dmarc.Fail, Author: domain, PolicyDomain: domain, Record: dmarc.Record{Failure: []string{"r@agreed.test"}}}
		p.Fail(in, false)
		if p.report() != "" {
			got++
		}
	}
	if got != 2*placeFactor {
		t.Errorf("%d reports", got)
	}
}
