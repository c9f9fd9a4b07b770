package tlspolicy

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"plic/internal/dns"
	"plic/internal/mail"
	"plic/internal/notebook"
	"plic/internal/tlsrpt"
)

// Reports says how domains are told of TLS with them. They are collected and
// sent if Send is there.
type Reports struct {
	From         mail.Address // of the mails
	Organization string
	Contact      string
	// Send takes a mail into custody.
	Send func(ctx context.Context, from, to mail.Address, message []byte) error
}

const (
	mostTallies  = 10000 // that wait to be written
	mostFailures = 200   // kinds of failure of one policy and day
	reportSpread = 4 * time.Hour
	reportTries  = 48 * time.Hour // after which a report is given up
	reportDays   = 30             // that are looked back, after a long stop
)

// tallyKey is a day in UTC and the domain whose mail it was.
type tallyKey struct{ day, domain string }

func (k tallyKey) key() string { return reportPrefix + k.day + "/" + k.domain }

// tally is what was seen of a domain on a day.
type tally struct {
	Findings []tlsrpt.Findings `json:"findings"`
	Sent     []string          `json:"sent,omitempty"` // targets that have the report
}

// count adds a session to the report of its domain; kind is why it failed, ""
// if it did not.
func (d *decider) count(o Outcome, kind string, err error) {
	p := d.p
	if p.o.Reports.Send == nil || d.want.Optional || strings.HasPrefix(d.peer.Domain, "[") {
		return
	}
	f := tlsrpt.Findings{Policy: d.found.reported(d.peer.Domain)}
	if kind == "" {
		f.Summary.Success = 1
	} else {
		f.Summary.Failure = 1
		x := tlsrpt.Failure{Type: kind, Host: d.peer.Host, Helo: o.Helo, Count: 1}
		if o.Local.IsValid() {
			x.SendingIP = o.Local.Addr().Unmap().String()
		}
		if o.Remote.IsValid() {
			x.ReceivingIP = o.Remote.Addr().Unmap().String()
		}
		if err != nil {
			x.Reason = fmt.Sprintf("%.200s", err.Error())
		}
		f.Failures = []tlsrpt.Failure{x}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	at := tallyKey{p.o.Now().UTC().Format(time.DateOnly), d.peer.Domain}
	t := p.tallies[at]
	if t == nil {
		t = &tally{}
		p.tallies[at] = t
	}
	t.add(f)
	if len(p.tallies) >= mostTallies {
		select {
		case p.full <- struct{}{}:
		default:
		}
	}
}

// reported is the policy as a report names it.
func (p policy) reported(domain string) tlsrpt.Policy {
	switch p.kind {
	case foundDANE:
		return tlsrpt.Policy{Type: tlsrpt.PolicyTLSA, Domain: p.domain, String: p.text}
	case foundSTS:
		return tlsrpt.Policy{Type: tlsrpt.PolicySTS, Domain: p.domain, String: p.text, MX: p.mx}
	}
	if p.problem != "" {
		return tlsrpt.Policy{Type: tlsrpt.PolicySTS, Domain: domain}
	}
	return tlsrpt.Policy{Type: tlsrpt.NoPolicy, Domain: domain}
}

// add merges findings into the tally.
func (t *tally) add(f tlsrpt.Findings) {
	i := slices.IndexFunc(t.Findings, func(x tlsrpt.Findings) bool {
		return x.Policy.Type == f.Policy.Type && x.Policy.Domain == f.Policy.Domain && slices.Equal(x.Policy.String, f.Policy.String)
	})
	if i < 0 {
		t.Findings = append(t.Findings, f)
		return
	}
	into := &t.Findings[i]
	into.Summary.Success += f.Summary.Success
	into.Summary.Failure += f.Summary.Failure
	for _, x := range f.Failures {
		same := func(y tlsrpt.Failure) bool { x, y := x, y; x.Count, y.Count = 0, 0; return x == y }
		if j := slices.IndexFunc(into.Failures, same); j >= 0 {
			into.Failures[j].Count += x.Count
		} else if len(into.Failures) < mostFailures {
			into.Failures = append(into.Failures, x)
		}
	}
}

// flush writes what was counted.
func (p *Policies) flush(ctx context.Context) error {
	p.mu.Lock()
	taken := p.tallies
	p.tallies = map[tallyKey]*tally{}
	p.mu.Unlock()
	var notes []notebook.Note
	for k, t := range taken {
		kept, _, err := get[tally](ctx, p.o.Notes, k.key())
		if err != nil {
			p.o.Log.Error("cannot read what was counted of TLS", "domain", k.domain, "error", err)
		}
		for _, f := range t.Findings {
			kept.add(f)
		}
		if x, err := note(k.key(), kept); err == nil {
			notes = append(notes, x)
		}
	}
	slices.SortFunc(notes, func(a, b notebook.Note) int { return cmp.Compare(a.Key, b.Key) })
	if len(notes) == 0 {
		return nil
	}
	return p.o.Notes.PutNotes(ctx, notes...)
}

// due is when the report of a day goes out: after its end, and not all at once,
// RFC 8460 section 4.1.
func (p *Policies) due(k tallyKey) (time.Time, error) {
	day, err := time.Parse(time.DateOnly, k.day)
	h := fnv.New32a()
	io.WriteString(h, p.o.Hostname+" "+k.domain)
	return day.Add(24*time.Hour + time.Duration(h.Sum32())%reportSpread), err
}

// sendReports sends what is due of the days before this one, whose notes may be
// many and are not looked at.
func (p *Policies) sendReports(ctx context.Context) error {
	var ready []tallyKey
	for ago := 1; ago <= reportDays; ago++ {
		day := p.o.Now().UTC().AddDate(0, 0, -ago).Format(time.DateOnly)
		for x, err := range p.o.Notes.Notes(ctx, reportPrefix+day+"/") {
			if err != nil {
				return err
			}
			k := tallyKey{day, strings.TrimPrefix(x.Key, reportPrefix+day+"/")}
			if due, err := p.due(k); err != nil || !p.o.Now().Before(due) {
				ready = append(ready, k)
			}
		}
	}
	for _, k := range ready {
		if err := p.sendReport(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// sendReport sends one report to each target that has not got it. The note of
// it goes when all have, when the domain wants none, or when it is too late.
func (p *Policies) sendReport(ctx context.Context, k tallyKey) error {
	t, _, err := get[tally](ctx, p.o.Notes, k.key())
	if err != nil {
		return err
	}
	due, err := p.due(k)
	if err != nil || len(t.Findings) == 0 {
		return p.o.Notes.PutNotes(ctx, notebook.Note{Key: k.key()})
	}
	late := p.o.Now().Sub(due) > reportTries
	texts, _, err := p.o.Resolver.TXT(ctx, "_smtp._tls."+k.domain)
	if err != nil && !dns.IsNotFound(err) && !late {
		return nil // ask again later
	}
	targets, err := tlsrpt.ParseRecord(texts)
	if err != nil || late {
		return p.o.Notes.PutNotes(ctx, notebook.Note{Key: k.key()})
	}
	left := 0
	for _, target := range targets {
		if slices.Contains(t.Sent, target.String()) {
			continue
		}
		if err := p.deliver(ctx, k, &t, target); err != nil {
			p.o.Log.Warn("a TLS report cannot be sent now", "domain", k.domain, "day", k.day, "to", target, "error", err)
			left++
			continue
		}
		p.o.Log.Info("sent a TLS report", "domain", k.domain, "day", k.day, "to", target)
		t.Sent = append(t.Sent, target.String())
	}
	if left == 0 {
		return p.o.Notes.PutNotes(ctx, notebook.Note{Key: k.key()})
	}
	return put(ctx, p.o.Notes, k.key(), t)
}

// report makes the report of a tally.
func (p *Policies) report(k tallyKey, t *tally) *tlsrpt.Report {
	day, _ := time.Parse(time.DateOnly, k.day)
	return &tlsrpt.Report{
		Organization: p.o.Reports.Organization, Contact: p.o.Reports.Contact,
		Range:    tlsrpt.Range{Start: day, End: day.Add(24*time.Hour - time.Second)},
		ID:       fmt.Sprintf("%s.%s@%s", k.day, k.domain, p.o.Hostname),
		Policies: t.Findings,
	}
}

// deliver gives a report to one target.
func (p *Policies) deliver(ctx context.Context, k tallyKey, t *tally, to tlsrpt.Target) error {
	r := p.report(k, t)
	if to.URL == "" {
		text, err := r.Message(tlsrpt.Letter{
			From: p.o.Reports.From, To: to.Mail, Submitter: p.o.Hostname, Domain: k.domain, Date: p.o.Now(),
			MessageID: mail.NewID(p.o.Now()).String() + "@" + p.o.Hostname,
		})
		if err != nil {
			return err
		}
		return p.o.Reports.Send(ctx, p.o.Reports.From, to.Mail, text)
	}
	packed, err := r.Gzip()
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL, bytes.NewReader(packed))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/tlsrpt+gzip")
	answer, err := p.web.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		return errors.New("the host answered " + answer.Status)
	}
	return nil
}
