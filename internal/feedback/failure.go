package feedback

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"plic/internal/dmarc"
	"plic/internal/dns"
	"plic/internal/failrpt"
	"plic/internal/mail"
	"plic/internal/notebook"
)

const (
	failurePrefix = "dmarc/failures/" // and the domain
	mostWaiting   = 100               // messages that wait to be reported
	mostKnown     = 5000              // domains and places of which is known what they got today
	placeFactor   = 20                // how much more a place may get than one domain
)

// Failures says how messages that fail are reported one by one.
type Failures struct {
	Daily  int    // reports of a domain; 0 sends none
	Redact []byte // the key with which addresses are hidden; nil hides none
}

// Incident is a message that was looked at.
type Incident struct {
	Verdict  dmarc.Verdict
	SPF      string // the result
	SPFOf    string // the domain that was asked for it
	DKIM     []SignatureOf
	From     mail.Address // the reverse-path
	Source   netip.AddrPort
	Arrival  time.Time
	Results  string // as Authentication-Results has them
	Delivery string // what became of it
	Header   []byte
}

// SignatureOf is what one signature came to.
type SignatureOf struct {
	failrpt.Signed
	Failed bool
}

// kind is the failure to report, by what the domain asks for (fo=), RFC 9991 section 2;
// "" if there is nothing to tell.
func (in *Incident) kind() string {
	v := &in.Verdict
	if len(v.Record.Failure) == 0 || v.Result != dmarc.Pass && v.Result != dmarc.Fail {
		return ""
	}
	asked := map[string]bool{}
	for option := range strings.SplitSeq(strings.ToLower(v.Record.Options), ":") {
		asked[strings.TrimSpace(option)] = true
	}
	badly := slices.ContainsFunc(in.DKIM, func(s SignatureOf) bool { return s.Failed })
	switch all := len(v.Aligned) == 0; {
	case asked["1"] && len(in.unaligned()) > 0, all && (asked["0"] || !asked["1"] && !asked["d"] && !asked["s"]):
		return failrpt.DMARC
	case asked["d"] && badly:
		return failrpt.Signature
	case asked["s"] && (in.SPF == "fail" || in.SPF == "softfail"):
		return failrpt.SPF
	}
	return ""
}

// unaligned are the mechanisms that do not speak for the author.
func (in *Incident) unaligned() (out []string) {
	for _, method := range []string{"dkim", "spf"} {
		if !slices.ContainsFunc(in.Verdict.Aligned, func(s dmarc.Sender) bool { return s.Method == method }) {
			out = append(out, method)
		}
	}
	return out
}

// quota is what a domain, or a place, got on a day.
type quota struct {
	Day  string `json:"day"`
	Sent int    `json:"sent"`
	Left int    `json:"left,omitempty"` // messages that were not reported since the last report
}

// take says whether one more may be sent today.
func (q *quota) take(day string, most int) bool {
	if q.Day != day {
		q.Day, q.Sent = day, 0
	}
	if q.Sent >= most {
		return false
	}
	q.Sent++
	return true
}

// Fail takes in a message, to be reported if the domain of its author asks for that.
// It does not wait: where too many do, a message is counted and no more. Reports of
// others, and what programs say by themselves, are never reported: that would go round
// in a circle.
func (f *Office) Fail(in Incident, automatic bool) {
	if f.o.Failures.Daily <= 0 || automatic || in.From.IsNull() || in.kind() == "" {
		return
	}
	select {
	case f.failed <- in:
	default:
		f.leftOut(in.Verdict.PolicyDomain)
	}
}

// leftOut counts a message that is not reported.
func (f *Office) leftOut(domain string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if q := f.quotas[domain]; q != nil {
		q.Left++
	}
}

// tellFailure reports a message to each place that its domain names and that has agreed.
func (f *Office) tellFailure(ctx context.Context, in *Incident) error {
	domain := in.Verdict.PolicyDomain
	if err := f.know(ctx, domain); err != nil {
		return err
	}
	day := f.o.Now().UTC().Format(time.DateOnly)
	f.mu.Lock()
	q := f.quotas[domain]
	ok := q.take(day, f.o.Failures.Daily)
	if !ok {
		q.Left++
	}
	left := q.Left
	f.mu.Unlock()
	if !ok {
		return nil
	}
	sent := false
	for _, to := range f.places(ctx, domain, in.Verdict.Record.Failure) {
		f.mu.Lock()
		within := f.quotaOf("@"+to.Domain.String()).take(day, placeFactor*f.o.Failures.Daily)
		f.mu.Unlock()
		if !within {
			continue
		}
		text := f.failure(ctx, in, left+1).Message(failrpt.Letter{
			From: f.o.From, To: to, Submitter: f.o.Host, Date: f.o.Now(), MessageID: mail.NewID(f.o.Now()).String() + "@" + f.o.Host,
		})
		if err := f.o.Send(ctx, mail.Address{}, to, text); err != nil {
			f.o.Log.Warn("a DMARC failure report cannot be sent", "domain", domain, "to", to, "error", err)
			continue
		}
		f.o.Log.Info("sent a DMARC failure report", "domain", domain, "to", to, "incidents", left+1)
		sent = true
	}
	f.mu.Lock()
	if sent {
		q.Left -= left
	} else {
		q.Left++
	}
	text, err := json.Marshal(*q)
	f.mu.Unlock()
	if err != nil {
		return err
	}
	return f.o.Notes.PutNotes(ctx, notebook.Note{Key: failurePrefix + domain, Value: text})
}

// know reads what a domain got, when it is first asked for.
func (f *Office) know(ctx context.Context, domain string) error {
	f.mu.Lock()
	known := f.quotas[domain] != nil
	f.mu.Unlock()
	if known {
		return nil
	}
	text, err := f.o.Notes.Note(ctx, failurePrefix+domain)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	q := f.quotaOf(domain)
	if text != nil && json.Unmarshal(text, q) != nil {
		*q = quota{} // it is none of ours
	}
	return nil
}

// forget takes notes of domains away that got nothing for long: strangers choose the names.
func (f *Office) forget(ctx context.Context) error {
	oldest := f.o.Now().UTC().AddDate(0, 0, -reportDays).Format(time.DateOnly)
	var gone []notebook.Note
	for n, err := range f.o.Notes.Notes(ctx, failurePrefix) {
		var q quota
		if err != nil {
			return err
		}
		if json.Unmarshal(n.Value, &q) != nil || q.Day < oldest {
			gone = append(gone, notebook.Note{Key: n.Key})
		}
	}
	return f.o.Notes.PutNotes(ctx, gone...)
}

// quotaOf is that of a domain or a place. When too many are known, those of other days
// are forgotten, or all.
func (f *Office) quotaOf(name string) *quota {
	if q := f.quotas[name]; q != nil {
		return q
	}
	if len(f.quotas) >= mostKnown {
		day := f.o.Now().UTC().Format(time.DateOnly)
		for name, q := range f.quotas {
			if q.Day != day {
				delete(f.quotas, name)
			}
		}
		if len(f.quotas) >= mostKnown {
			clear(f.quotas)
		}
	}
	q := &quota{}
	f.quotas[name] = q
	return q
}

// failure is the report of a message.
func (f *Office) failure(ctx context.Context, in *Incident, incidents int) *failrpt.Report {
	r := &failrpt.Report{
		UserAgent: "plic/" + f.o.Version, Failure: in.kind(), Delivery: in.Delivery, MailFrom: in.From.String(), Arrival: in.Arrival, Source: in.Source,
		Domain: in.Verdict.Author, Results: in.Results, Unaligned: in.unaligned(), Incidents: incidents, Header: in.Header,
	}
	for i := range in.DKIM {
		if s := &in.DKIM[i]; s.Failed {
			r.Signed = &s.Signed
			break
		}
	}
	if in.SPFOf != "" {
		texts, _, err := f.o.Resolver.TXT(ctx, in.SPFOf)
		for _, text := range texts {
			if err == nil && (text == "v=spf1" || strings.HasPrefix(text, "v=spf1 ")) {
				r.Records = append(r.Records, failrpt.Record{Domain: in.SPFOf, Text: text})
			}
		}
	}
	if f.o.Failures.Redact != nil {
		r.Redact(f.o.Failures.Redact, in.Verdict.PolicyDomain)
	}
	return r
}

// places are those of a record's list that take reports about a domain: what cannot be
// asked now gets none, since such a report is worth nothing later.
func (f *Office) places(ctx context.Context, domain string, list []string) (to []mail.Address) {
	for _, text := range list {
		a, err := mail.ParseAddress(text)
		if err != nil || len(to) == mostTargets {
			continue
		}
		agreed, err := f.agreed(ctx, domain, a.Domain.String())
		if err != nil && !dns.IsNotFound(err) {
			f.o.Log.Warn("a DMARC failure report is not sent", "domain", domain, "to", a, "error", fmt.Errorf("ask whether it is wanted: %w", err))
		}
		if agreed {
			to = append(to, a)
		}
	}
	return to
}
