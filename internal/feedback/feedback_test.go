package feedback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/dmarc"
	"plic/internal/dmarcrpt"
	"plic/internal/dns"
	"plic/internal/dns/dnstest"
	"plic/internal/mail"
	"plic/internal/notebook/notebooktest"
)

// place is an Office with a clock of its own, and what it has sent.
type place struct {
	*Office
	t     *testing.T
	now   time.Time
	notes *notebooktest.Notes
	sent  map[string][]byte // by whom it went to
	froms map[string]string // who sent it, likewise
	fails bool
	names dns.Resolver
}

func newPlace(t *testing.T, records ...string) *place {
	t.Helper()
	names := dnstest.New(t, records...)
	p := &place{t: t, now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC), notes: &notebooktest.Notes{}, sent: map[string][]byte{}, froms: map[string]string{}}
	p.names = dns.New(dns.Options{Servers: []string{names.Addr()}, Now: func() time.Time { return p.now }})
	p.Office = New(Options{
		Resolver: p.names, Notes: p.notes, Host: "mx.here.test", From: mail.MustAddress("postmaster@here.test"), Organization: "here", Version: "1", Aggregate: true, Failures: Failures{Daily: 2, Redact: []byte("key")},
		Now: func() time.Time { return p.now },
		Send: func(_ context.Context, from, to mail.Address, text []byte) error {
			if p.fails {
				return errors.New("the queue is full")
			}
			p.sent[to.String()], p.froms[to.String()] = text, from.String()
			return nil
		},
	})
	return p
}

// came counts a message of an author from a host.
func (p *place) came(author, host string) {
	p.t.Helper()
	v := (&dmarc.Checker{Resolver: p.names}).Check(p.t.Context(), author, nil)
	r := dmarcrpt.Record{Identifiers: dmarcrpt.Identifiers{HeaderFrom: author}}
	r.Row.Source = host
	r.Row.Evaluated = dmarcrpt.Evaluated{Disposition: "reject", DKIM: "fail", SPF: "fail", Reasons: []dmarcrpt.Reason{{Type: "local_policy"}}}
	r.Results = dmarcrpt.Results{DKIM: []dmarcrpt.DKIM{{Domain: author, Selector: "s", Result: "fail"}}, SPF: []dmarcrpt.SPF{{Domain: author, Result: "fail"}}}
	p.Count(&v, r)
}

func (p *place) pass(d time.Duration) {
	p.t.Helper()
	p.now = p.now.Add(d)
	if err := errors.Join(p.Flush(p.t.Context()), p.send(p.t.Context())); err != nil {
		p.t.Fatal(err)
	}
}

func (p *place) targetsOf() []string { return slices.Sorted(maps.Keys(p.sent)) }

// A day's mail is counted, over restarts, and told once to those who may know.
func TestReports(t *testing.T) {
	t.Parallel()
	p := newPlace(t,
		`_dmarc.far.test 60 IN TXT "v=DMARC1; p=reject; rua=mailto:a@far.test,mailto:b@sub.far.test!10m,mailto:c@agreed.test,mailto:d@innocent.test,https://far.test/x"`,
		`far.test._report._dmarc.agreed.test 60 IN TXT "v=DMARC1"`,
		`_dmarc.quiet.test 60 IN TXT "v=DMARC1; p=reject"`,
		"far.test 60 IN A 192.0.2.1", "innocent.test 60 IN A 192.0.2.1", "agreed.test 60 IN A 192.0.2.1")
	for range 3 {
		p.came("far.test", "192.0.2.9")
		p.came("sub.far.test", "192.0.2.9")
		p.came("quiet.test", "192.0.2.9")
		p.came("nobody.test", "192.0.2.9")
		p.pass(time.Minute)
	}
	if len(p.notes.All) != 1 || len(p.sent) != 0 {
		t.Fatalf("%d notes, sent to %q", len(p.notes.All), p.targetsOf())
	}
	p.fails = true
	p.pass(12*time.Hour + reportSpread)
	p.fails = false
	p.pass(reportEvery)
	if got := p.targetsOf(); !slices.Equal(got, []string{"a@far.test", "b@sub.far.test", "c@agreed.test"}) {
		t.Fatalf("sent to %q", got)
	}
	r, err := dmarcrpt.Read(bytes.NewReader(p.sent["a@far.test"]))
	if err != nil || r.Policy.Domain != "far.test" || r.Policy.Policy != "reject" || len(r.Records) != 2 || r.Records[0].Row.Count != 3 || r.Records[0].Row.Source != "192.0.2.9" {
		t.Errorf("%+v, %v", r, err)
	}
	if day := time.Unix(r.Metadata.Begin, 0).UTC(); day.Format(time.DateTime) != "2026-11-26 00:00:00" || r.Metadata.End-r.Metadata.Begin != 86399 {
		t.Errorf("of %v to %d", day, r.Metadata.End)
	}
	clear(p.sent)
	if p.pass(time.Hour); len(p.sent) > 0 || len(p.notes.All) > 0 {
		t.Errorf("sent again to %q, %d notes", p.targetsOf(), len(p.notes.All))
	}
}

// What a domain sends is bounded, and what is not told is said.
func TestManySources(t *testing.T) {
	t.Parallel()
	p := newPlace(t, `_dmarc.far.test 60 IN TXT "v=DMARC1; p=none; rua=mailto:a@far.test"`)
	v := (&dmarc.Checker{Resolver: p.names}).Check(t.Context(), "far.test", nil)
	for i := range mostRecords + 5 {
		r := dmarcrpt.Record{}
		r.Row.Source = time.Duration(i).String()
		p.Count(&v, r)
	}
	p.pass(36 * time.Hour)
	r, err := dmarcrpt.Read(bytes.NewReader(p.sent["a@far.test"]))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Records) != mostRecords || len(r.Metadata.Errors) != 1 || !strings.HasPrefix(r.Metadata.Errors[0], "5 messages") {
		t.Errorf("%+v", r.Metadata)
	}
}

// Records that are longer than a note are left out, and do not keep those of others from
// being written down.
func TestLongRecords(t *testing.T) {
	t.Parallel()
	p := newPlace(t, `_dmarc.far.test 60 IN TXT "v=DMARC1; p=none; rua=mailto:a@far.test"`, `_dmarc.near.test 60 IN TXT "v=DMARC1; p=none; rua=mailto:a@near.test"`)
	v := (&dmarc.Checker{Resolver: p.names}).Check(t.Context(), "far.test", nil)
	v.Record.Options = strings.Repeat("\x01", 60000)
	for i := range mostRecords {
		r := dmarcrpt.Record{}
		r.Row.Source = time.Duration(i).String()
		r.Results.DKIM = slices.Repeat([]dmarcrpt.DKIM{{Domain: strings.Repeat("x", 250), Selector: strings.Repeat("x", 60), Result: "fail"}}, 10)
		p.Count(&v, r)
	}
	p.came("near.test", "192.0.2.9")
	p.pass(36 * time.Hour)
	r, err := dmarcrpt.Read(bytes.NewReader(p.sent["a@far.test"]))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Records) < 100 || len(r.Records) >= mostRecords || len(r.Metadata.Errors) != 1 || !strings.HasPrefix(r.Metadata.Errors[0], fmt.Sprint(mostRecords-len(r.Records))+" messages") {
		t.Errorf("%d records, %+v", len(r.Records), r.Metadata)
	}
	if r, err := dmarcrpt.Read(bytes.NewReader(p.sent["a@near.test"])); err != nil || len(r.Records) != 1 {
		t.Errorf("%v, %+v", err, r)
	}
}

// What could not be written down is counted with what comes later.
func TestNotWritten(t *testing.T) {
	t.Parallel()
	p := newPlace(t, `_dmarc.far.test 60 IN TXT "v=DMARC1; p=none; rua=mailto:a@far.test"`)
	p.came("far.test", "192.0.2.9")
	p.notes.Fail = errors.New("the disk is full")
	for range 2 {
		if err := p.Flush(t.Context()); err == nil {
			t.Fatal("a full disk is no fault")
		}
		p.came("far.test", "192.0.2.9")
	}
	p.notes.Fail = nil
	p.pass(36 * time.Hour)
	r, err := dmarcrpt.Read(bytes.NewReader(p.sent["a@far.test"]))
	if err != nil || len(r.Records) != 1 || r.Records[0].Row.Count != 3 {
		t.Errorf("%v, %+v", err, r)
	}
}

// A report that cannot be sent for two days is given up; so is one that nobody
// wants any more.
func TestGivenUp(t *testing.T) {
	t.Parallel()
	p := newPlace(t, `_dmarc.far.test 60 IN TXT "v=DMARC1; p=none; rua=mailto:a@far.test"`)
	p.fails = true
	p.came("far.test", "192.0.2.9")
	p.pass(36 * time.Hour)
	if len(p.notes.All) != 1 {
		t.Fatalf("%d notes", len(p.notes.All))
	}
	if p.pass(reportTries); len(p.notes.All) != 0 {
		t.Errorf("%d notes", len(p.notes.All))
	}
}
