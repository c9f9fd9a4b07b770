package server

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"time"

	"plic/internal/check/sender"
	"plic/internal/dkim"
	"plic/internal/dmarc"
	"plic/internal/dmarcrpt"
	"plic/internal/failrpt"
	"plic/internal/feedback"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/post"
)

// newFeedback makes what tells other domains what came in their name; nil if
// nothing does.
func (s *site) newFeedback(now func() time.Time) *feedback.Office {
	c := s.config
	if !c.Senders.Report && !c.Senders.FailureReports {
		return nil
	}
	var failures feedback.Failures
	if c.Senders.FailureReports {
		failures.Daily = c.Senders.FailureDaily
	}
	if c.Senders.FailureRedact {
		mac := hmac.New(sha256.New, s.directory.Secret())
		mac.Write([]byte("redact"))
		failures.Redact = mac.Sum(nil)
	}
	from := c.Senders.ReportFrom
	if from.IsNull() {
		from = mail.Address{Local: "postmaster", Domain: c.Hostname}
	}
	return feedback.New(feedback.Options{
		Resolver: s.resolver, Notes: siteNotes{s.store, s.log}, Host: c.Hostname.String(), From: from,
		Organization: c.Hostname.String(), Version: Version(), Now: now, Log: s.log, Send: s.submit,
		Aggregate: c.Senders.Report, Failures: failures,
	})
}

// counted is an examiner whose findings are counted.
type counted struct {
	post.Examiner
	office  *feedback.Office // nil if nobody is told
	replays *sender.Replays
	now     func() time.Time
}

// Check looks at a message as it came, and counts what was found.
func (c counted) Check(ctx context.Context, env *mail.Envelope, msg *message.Message, body mail.Body) (*sender.Findings, error) {
	f, err := c.Examiner.Check(ctx, env, msg, body)
	if err == nil {
		c.replays.Count(f, env.Origin.Remote.Addr(), c.now())
	}
	if err == nil && c.office != nil && f.Author == nil && f.DMARC.Result != dmarc.TempError {
		c.office.Count(&f.DMARC, observed(env, f))
		if len(f.DMARC.Record.Failure) > 0 {
			c.office.Fail(incident(env, f, msg, body), automatic(msg))
		}
	}
	return f, err
}

// headerOctets bounds how much of a header is reported.
const headerOctets = 64 << 10

// incident is what a report says of a message that failed.
func incident(env *mail.Envelope, f *sender.Findings, msg *message.Message, body mail.Body) feedback.Incident {
	in := feedback.Incident{
		Verdict: f.DMARC, SPF: f.From.Result.String(), SPFOf: f.From.Domain, From: env.From, Source: env.Origin.Remote, Arrival: env.Received,
		Results: f.Results.String(), Delivery: failrpt.Delivered, Header: make([]byte, min(msg.Root.Body, headerOctets)),
	}
	switch {
	case f.Refuse != nil:
		in.Delivery = failrpt.Reject
	case f.Junk != "":
		in.Delivery = failrpt.Spam
	}
	for _, d := range f.DKIM {
		in.DKIM = append(in.DKIM, feedback.SignatureOf{Signed: failrpt.Signed{Domain: d.Domain, Identity: d.Identity, Selector: d.Selector}, Failed: d.Status == dkim.Fail || d.Status == dkim.PermError})
	}
	n, err := body.ReadAt(in.Header, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		n = 0 // the report does without
	}
	in.Header = bytes.TrimRight(in.Header[:n], "\r\n")
	if len(in.Header) > 0 {
		in.Header = append(in.Header, "\r\n"...)
	}
	return in
}

// automatic says that a program has written a message by itself, RFC 3834 section 5.
func automatic(msg *message.Message) bool {
	said := strings.ToLower(strings.TrimSpace(msg.Root.Get("Auto-Submitted")))
	return said != "" && said != "no" || msg.Root.Type+"/"+msg.Root.Subtype == "multipart/report"
}

// observed is what a report says of a message.
func observed(env *mail.Envelope, f *sender.Findings) dmarcrpt.Record {
	r := dmarcrpt.Record{Identifiers: dmarcrpt.Identifiers{HeaderFrom: f.DMARC.Author, EnvelopeFrom: env.From.Domain.String()}}
	r.Row.Source = env.Origin.Remote.Addr().Unmap().WithZone("").String()
	e := &r.Row.Evaluated
	e.Disposition, e.DKIM, e.SPF = "none", "fail", "fail"
	switch {
	case f.Refuse != nil:
		e.Disposition = "reject"
	case f.Junk != "":
		e.Disposition = "quarantine"
	case f.DMARC.Result == dmarc.Pass:
		e.Disposition = "pass"
	}
	for _, a := range f.DMARC.Aligned {
		if a.Method == "dkim" {
			e.DKIM = "pass"
		} else {
			e.SPF = "pass"
		}
	}
	switch {
	case f.Pardon != "":
		e.Reasons = []dmarcrpt.Reason{{Type: "trusted_forwarder", Comment: f.Pardon}}
	case f.DMARC.Result == dmarc.Fail && f.DMARC.Disposition != f.DMARC.Policy:
		e.Reasons = []dmarcrpt.Reason{{Type: "policy_test_mode"}}
	case f.DMARC.Result == dmarc.Fail && string(f.DMARC.Disposition) != e.Disposition:
		e.Reasons = []dmarcrpt.Reason{{Type: "local_policy"}}
	}
	for _, d := range f.DKIM {
		r.Results.DKIM = append(r.Results.DKIM, dmarcrpt.DKIM{Domain: d.Domain, Selector: d.Selector, Result: string(d.Status)})
	}
	if f.From.Domain != "" {
		scope := "mfrom"
		if env.From.IsNull() {
			scope = "helo"
		}
		r.Results.SPF = []dmarcrpt.SPF{{Domain: f.From.Domain, Scope: scope, Result: f.From.Result.String()}}
	}
	return r
}
