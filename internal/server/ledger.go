package server

import (
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"plic/internal/check/sender"
	"plic/internal/control"
	"plic/internal/dkim"
	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/post"
	"plic/internal/tlspolicy"
	"plic/internal/tlsrpt"
)

// ledger reads TLS reports that come by mail.
type ledger struct {
	s   *site
	to  string
	now func() time.Time
}

// ledger is nil if no reports are received.
func (s *site) ledger(now func() time.Time) post.Ledger {
	if s.config.TLSRPT.Receive.IsNull() {
		return nil
	}
	return ledger{s, s.config.TLSRPT.Receive.Key(), now}
}

// Enter keeps the report in a message to the address for reports. A message
// without one is just a message.
func (l ledger) Enter(ctx context.Context, env *mail.Envelope, body mail.Body, found *sender.Findings) error {
	if !slices.ContainsFunc(env.To, func(to mail.Recipient) bool { return to.Address.Key() == l.to }) {
		return nil
	}
	told := func(kind, reason string) {
		l.s.journal.Record(journal.Event{Time: l.now(), Kind: kind, Service: "tlsrpt", Message: env.ID, From: env.From.String(), Reason: reason})
	}
	r, err := tlsrpt.Read(mail.Reader(body))
	if err != nil {
		if !errors.Is(err, tlsrpt.ErrNoReport) {
			told(journal.Error, err.Error())
		}
		return nil
	}
	x := tlspolicy.Received{At: l.now(), From: env.From.String(), Signed: signers(found), Report: *r}
	kept, err := l.s.policies.Receive(ctx, x)
	if err == nil && !kept {
		told(journal.Error, "too many TLS reports today; this one is not counted")
	}
	return err
}

// signers are the domains whose signatures of a message are good.
func signers(found *sender.Findings) (domains []string) {
	if found == nil {
		return nil
	}
	for _, r := range found.DKIM {
		if d := r.Domain; r.Status == dkim.Pass && !slices.Contains(domains, d) {
			domains = append(domains, d)
		}
	}
	return domains
}

// Reports gives the TLS reports that came within the last days.
func (x security) Reports(ctx context.Context, days int) iter.Seq2[control.TLSReport, error] {
	since := time.Now().AddDate(0, 0, -days)
	return func(yield func(control.TLSReport, error) bool) {
		for r, err := range x.s.policies.Received(ctx) {
			if err == nil && r.At.Before(since) {
				continue
			}
			if !yield(control.TLSReport(r), err) || err != nil {
				return
			}
		}
	}
}
