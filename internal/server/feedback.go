package server

import (
	"context"
	"time"

	"plic/internal/check/sender"
	"plic/internal/dmarc"
	"plic/internal/dmarcrpt"
	"plic/internal/feedback"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/post"
)

// newFeedback makes what tells other domains what came in their name; nil if
// nothing does.
func (s *site) newFeedback(now func() time.Time) *feedback.Office {
	c := s.config
	if !c.Senders.Report {
		return nil
	}
	from := c.Senders.ReportFrom
	if from.IsNull() {
		from = mail.Address{Local: "postmaster", Domain: c.Hostname}
	}
	return feedback.New(feedback.Options{
		Resolver: s.resolver, Notes: siteNotes{s.store, s.log}, Host: c.Hostname.String(), From: from,
		Organization: c.Hostname.String(), Version: Version(), Now: now, Log: s.log, Send: s.submit,
	})
}

// counted is an examiner whose findings are counted.
type counted struct {
	post.Examiner
	office *feedback.Office
}

// Check looks at a message as it came, and counts what was found.
func (c counted) Check(ctx context.Context, env *mail.Envelope, msg *message.Message, body mail.Body) (*sender.Findings, error) {
	f, err := c.Examiner.Check(ctx, env, msg, body)
	if err == nil && f.Author == nil && f.DMARC.Result != dmarc.TempError {
		c.office.Count(&f.DMARC, observed(env, f))
	}
	return f, err
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
