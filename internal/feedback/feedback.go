// Package feedback tells domains what came in their name: it counts what DMARC said
// of each message, and sends a report of each day to where the domain wants it, if
// that place has agreed to get it.
//
// RFC 9990 (aggregate reports), RFC 9991 (failure reports).
package feedback

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"plic/internal/dmarc"
	"plic/internal/dmarcrpt"
	"plic/internal/dns"
	"plic/internal/mail"
	"plic/internal/notebook"
)

// Options are what an Office works with.
type Options struct {
	Resolver     dns.Resolver
	Notes        notebook.Notes
	Host         string // our name
	From         mail.Address
	Organization string
	Version      string
	Now          func() time.Time
	Log          *slog.Logger
	// Send takes a mail into custody.
	Send func(ctx context.Context, from, to mail.Address, message []byte) error
	// Aggregate has reports of each day sent.
	Aggregate bool
	Failures  Failures
}

const (
	prefix       = "dmarc/seen/" // and the day, "/" and the domain
	mostTallies  = 5000          // that wait to be written
	mostRecords  = 2000          // of a domain and day
	mostTargets  = 5
	reportSpread = 4 * time.Hour
	reportTries  = 48 * time.Hour
	reportDays   = 14
	flushEvery   = 10 * time.Second
	reportEvery  = 10 * time.Minute
)

// Office counts and reports. Its methods may be called at the same time.
type Office struct {
	o    Options
	full chan struct{}
	// failed are messages that wait to be reported.
	failed chan Incident

	writing sync.Mutex // of one at a time who changes notes
	mu      sync.Mutex
	tallies map[tallyKey]*tally
	quotas  map[string]*quota // of failure reports, by domain, and by "@" and place
}

// New makes an Office.
func New(o Options) *Office {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Office{o: o, full: make(chan struct{}, 1), failed: make(chan Incident, mostWaiting), tallies: map[tallyKey]*tally{}, quotas: map[string]*quota{}}
}

// tallyKey is a day in UTC and the domain whose policy it was.
type tallyKey struct{ day, domain string }

func (k tallyKey) key() string { return prefix + k.day + "/" + k.domain }

// tally is what came in the name of a domain on a day.
type tally struct {
	Policy  dmarcrpt.Policy   `json:"policy"`
	Records []dmarcrpt.Record `json:"records"`
	Lost    int64             `json:"lost,omitempty"` // messages beyond mostRecords
	Sent    []string          `json:"sent,omitempty"` // targets that have the report
}

// Count adds a message: by the policy that was found for its author, and what came
// of it. A domain that wants no reports is not counted.
func (f *Office) Count(v *dmarc.Verdict, r dmarcrpt.Record) {
	if !f.o.Aggregate || len(v.Record.Aggregate) == 0 || v.PolicyDomain == "" {
		return
	}
	r.Row.Count = 1
	at := tallyKey{f.o.Now().UTC().Format(time.DateOnly), v.PolicyDomain}
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.tallies[at]
	if t == nil {
		if len(f.tallies) >= 2*mostTallies {
			return // they cannot be written, and memory has an end
		}
		t = &tally{Policy: published(v)}
		f.tallies[at] = t
	}
	t.add(r)
	if len(f.tallies) >= mostTallies {
		select {
		case f.full <- struct{}{}:
		default:
		}
	}
}

func published(v *dmarc.Verdict) dmarcrpt.Policy {
	mode := map[bool]string{true: "s", false: "r"}
	testing := ""
	if v.Record.Testing {
		testing = "y"
	}
	options := v.Record.Options
	notebook.Cut(&options)
	return dmarcrpt.Policy{
		Domain: v.PolicyDomain, Policy: string(v.Record.Policy), Subdomains: string(v.Record.Subdomains), Absent: string(v.Record.Absent),
		DKIM: mode[v.Record.StrictDKIM], SPF: mode[v.Record.StrictSPF], Discovery: "treewalk", Options: options, Testing: testing,
	}
}

// add merges a record into the tally.
func (t *tally) add(r dmarcrpt.Record) {
	if x := slices.IndexFunc(t.Records, func(x dmarcrpt.Record) bool { return alike(&x, &r) }); x >= 0 {
		t.Records[x].Row.Count += r.Row.Count
	} else if len(t.Records) < mostRecords {
		t.Records = append(t.Records, r)
	} else {
		t.Lost += r.Row.Count
	}
}

// alike says that records differ in their numbers at most.
func alike(x, y *dmarcrpt.Record) bool {
	a, b := &x.Row.Evaluated, &y.Row.Evaluated
	return x.Row.Source == y.Row.Source && x.Identifiers == y.Identifiers &&
		a.Disposition == b.Disposition && a.DKIM == b.DKIM && a.SPF == b.SPF && slices.Equal(a.Reasons, b.Reasons) &&
		slices.Equal(x.Results.DKIM, y.Results.DKIM) && slices.Equal(x.Results.SPF, y.Results.SPF)
}

// merge adds a newer tally of the same domain and day.
func (t *tally) merge(newer *tally) {
	t.Policy = newer.Policy
	for _, r := range newer.Records {
		t.add(r)
	}
	t.Lost += newer.Lost
}

// Run writes down what was counted and sends reports when they are due, until ctx
// ends.
func (f *Office) Run(ctx context.Context) error {
	flush, report := time.NewTicker(flushEvery), time.NewTicker(reportEvery)
	defer flush.Stop()
	defer report.Stop()
	for {
		select {
		case <-ctx.Done():
			within, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			return f.Flush(within)
		case <-flush.C:
			f.try(ctx, "write down what was counted of DMARC", f.Flush)
		case <-f.full:
			f.try(ctx, "write down what was counted of DMARC", f.Flush)
		case in := <-f.failed:
			f.try(ctx, "send a DMARC failure report", func(ctx context.Context) error { return f.tellFailure(ctx, &in) })
		case <-report.C:
			f.try(ctx, "send DMARC reports", f.send)
			f.try(ctx, "forget whom DMARC failure reports went to", f.forget)
		}
	}
}

func (f *Office) try(ctx context.Context, what string, do func(context.Context) error) {
	if err := do(ctx); err != nil && ctx.Err() == nil {
		f.o.Log.Error("cannot "+what, "error", err)
	}
}

// Flush writes down what was counted. What cannot be written is kept for the next
// time.
func (f *Office) Flush(ctx context.Context) error {
	f.writing.Lock()
	defer f.writing.Unlock()
	f.mu.Lock()
	taken := f.tallies
	f.tallies = map[tallyKey]*tally{}
	f.mu.Unlock()
	err := f.write(ctx, taken)
	if err != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		for k, t := range taken {
			if newer := f.tallies[k]; newer != nil {
				t.merge(newer)
			}
			f.tallies[k] = t
		}
	}
	return err
}

// write adds tallies to those that are written down.
func (f *Office) write(ctx context.Context, taken map[tallyKey]*tally) error {
	var notes []notebook.Note
	for k, t := range taken {
		kept, err := f.tally(ctx, k)
		if err != nil {
			return err
		}
		kept.merge(t)
		lost := int64(0)
		kept.Records, lost = fit(kept.Records)
		kept.Lost += lost
		text, err := json.Marshal(kept)
		if err != nil {
			return err
		}
		notes = append(notes, notebook.Note{Key: k.key(), Value: text})
	}
	if len(notes) == 0 {
		return nil
	}
	slices.SortFunc(notes, func(a, b notebook.Note) int { return cmp.Compare(a.Key, b.Key) })
	return f.o.Notes.PutNotes(ctx, notes...)
}

func (f *Office) tally(ctx context.Context, k tallyKey) (t tally, err error) {
	text, err := f.o.Notes.Note(ctx, k.key())
	if err != nil || text == nil {
		return t, err
	}
	if json.Unmarshal(text, &t) != nil {
		return tally{}, nil // it is none of ours
	}
	return t, nil
}

// due is when the report of a day goes out: after its end, and not all at once.
func (f *Office) due(k tallyKey) (time.Time, error) {
	day, err := time.Parse(time.DateOnly, k.day)
	h := fnv.New32a()
	io.WriteString(h, f.o.Host+" "+k.domain)
	return day.Add(24*time.Hour + time.Duration(h.Sum32())%reportSpread), err
}

// send sends what is due of the days before this one.
func (f *Office) send(ctx context.Context) error {
	var ready []tallyKey
	for ago := 1; ago <= reportDays; ago++ {
		day := f.o.Now().UTC().AddDate(0, 0, -ago).Format(time.DateOnly)
		for x, err := range f.o.Notes.Notes(ctx, prefix+day+"/") {
			if err != nil {
				return err
			}
			k := tallyKey{day, strings.TrimPrefix(x.Key, prefix+day+"/")}
			if due, err := f.due(k); err != nil || !f.o.Now().Before(due) {
				ready = append(ready, k)
			}
		}
	}
	for _, k := range ready {
		if err := f.report(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// report sends one report to each target that has not got it. The note of it goes
// when all have, when the domain wants none any more, or when it is too late.
func (f *Office) report(ctx context.Context, k tallyKey) error {
	t, err := f.tally(ctx, k)
	if err != nil {
		return err
	}
	due, err := f.due(k)
	if err != nil || len(t.Records) == 0 || f.o.Now().Sub(due) > reportTries {
		return f.o.Notes.PutNotes(ctx, notebook.Note{Key: k.key()})
	}
	targets, later := f.targets(ctx, k.domain)
	for _, to := range targets {
		if slices.Contains(t.Sent, to.Key()) {
			continue
		}
		text, err := f.made(k, &t).Message(dmarcrpt.Letter{
			From: f.o.From, To: to, Submitter: f.o.Host, Date: f.o.Now(), MessageID: mail.NewID(f.o.Now()).String() + "@" + f.o.Host,
		})
		if err == nil {
			err = f.o.Send(ctx, f.o.From, to, text)
		}
		if err != nil {
			f.o.Log.Warn("a DMARC report cannot be sent now", "domain", k.domain, "day", k.day, "to", to, "error", err)
			later = true
			continue
		}
		f.o.Log.Info("sent a DMARC report", "domain", k.domain, "day", k.day, "to", to)
		t.Sent = append(t.Sent, to.Key())
	}
	if !later {
		return f.o.Notes.PutNotes(ctx, notebook.Note{Key: k.key()})
	}
	text, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return f.o.Notes.PutNotes(ctx, notebook.Note{Key: k.key(), Value: text})
}

// made is the report of a tally.
func (f *Office) made(k tallyKey, t *tally) *dmarcrpt.Report {
	day, _ := time.Parse(time.DateOnly, k.day)
	r := &dmarcrpt.Report{
		Version: "1.0", Policy: t.Policy, Records: t.Records,
		Metadata: dmarcrpt.Metadata{
			Organization: f.o.Organization, Email: f.o.From.String(), ID: k.day + "." + k.domain + "@" + f.o.Host,
			Begin: day.Unix(), End: day.Unix() + 86399, Generator: "plic " + f.o.Version,
		},
	}
	if t.Lost > 0 {
		r.Metadata.Errors = []string{fmt.Sprintf("%d messages more are not in this report", t.Lost)}
	}
	return r
}

// targets are where the reports of a domain go: what its record says now, and of
// those elsewhere only who has agreed, RFC 9990 section 4. later says that somebody
// could not be asked.
func (f *Office) targets(ctx context.Context, domain string) (to []mail.Address, later bool) {
	v := (&dmarc.Checker{Resolver: f.o.Resolver}).Check(ctx, domain, nil)
	if v.Result == dmarc.TempError {
		return nil, true
	}
	if v.PolicyDomain != domain {
		return nil, false
	}
	for _, text := range v.Record.Aggregate {
		a, err := mail.ParseAddress(text)
		if err != nil || len(to) == mostTargets {
			continue
		}
		agreed, err := f.agreed(ctx, domain, a.Domain.String())
		if later = later || err != nil; agreed {
			to = append(to, a)
		}
	}
	return to, later
}

// agreed says that reports about a domain may go to another: one below it or above
// it within its own organization, or one that says so itself.
func (f *Office) agreed(ctx context.Context, domain, to string) (bool, error) {
	organization := func(d string) string { return (&dmarc.Checker{Resolver: f.o.Resolver}).Check(ctx, d, nil).Organization }
	if to == domain || organization(to) == organization(domain) && organization(domain) != "" {
		return true, nil
	}
	texts, _, err := f.o.Resolver.TXT(ctx, domain+"._report._dmarc."+to)
	switch {
	case dns.IsNotFound(err):
		return false, nil
	case err != nil:
		return false, err
	}
	return slices.ContainsFunc(texts, func(t string) bool {
		version, _, _ := strings.Cut(t, ";")
		return strings.TrimSpace(version) == "v=DMARC1"
	}), nil
}
