package server

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"plic/internal/check/sender"
	"plic/internal/control"
	"plic/internal/directory"
	"plic/internal/dkim"
	"plic/internal/dmarcrpt"
	"plic/internal/feedback"
	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/post"
	"plic/internal/tlspolicy"
	"plic/internal/tlsrpt"
	"plic/internal/wrapped"
)

// ledger reads reports that come by mail.
type ledger struct {
	s     *site
	desks []desk
	now   func() time.Time
}

// desk is an address for reports of one kind.
type desk struct {
	kind, to string // the kind is also the service in the journal
	// read gives what keeps the report in a message; that says whether there was room.
	read func(in io.Reader) (keep func(context.Context, arrival) (bool, error), err error)
}

// arrival is how a report came.
type arrival struct {
	at     time.Time
	from   string
	signed []string
}

// ledger is nil if no reports are received.
func (s *site) ledger(now func() time.Time) post.Ledger {
	l := ledger{s: s, now: now}
	if to := s.config.TLSRPT.Receive; !to.IsNull() {
		l.desks = append(l.desks, desk{"tlsrpt", to.Key(), s.tlsReport})
	}
	if to := s.config.Senders.ReceiveReports; !to.IsNull() {
		l.desks = append(l.desks, desk{"dmarc", to.Key(), s.dmarcReport})
	}
	if len(l.desks) == 0 {
		return nil
	}
	return l
}

func (s *site) tlsReport(in io.Reader) (func(context.Context, arrival) (bool, error), error) {
	r, err := tlsrpt.Read(in)
	return func(ctx context.Context, a arrival) (bool, error) {
		return s.policies.Receive(ctx, tlspolicy.Received{At: a.at, From: a.from, Signed: a.signed, Report: *r})
	}, err
}

func (s *site) dmarcReport(in io.Reader) (func(context.Context, arrival) (bool, error), error) {
	r, err := dmarcrpt.Read(in)
	if err == nil && !s.concerns(r.Policy.Domain) {
		err = errors.New("a DMARC report about " + r.Policy.Domain + ", which is no domain of ours")
	}
	return func(ctx context.Context, a arrival) (bool, error) {
		return s.shelf().Receive(ctx, feedback.Received{At: a.at, From: a.from, Signed: a.signed, Report: *r})
	}, err
}

// shelf has the reports of DMARC that others sent.
func (s *site) shelf() *feedback.Shelf { return feedback.NewShelf(siteNotes{s.store, s.log}, s.now) }

// concerns says that a domain is one of ours, or above or below one: it may be that of
// the whole organization, or of a part.
func (s *site) concerns(domain string) bool {
	d, err := mail.ParseDomain(domain)
	return err == nil && slices.ContainsFunc(s.domains(), func(x directory.Domain) bool {
		own, other := "."+x.Name.String(), "."+d.String()
		return strings.HasSuffix(own, other) || strings.HasSuffix(other, own)
	})
}

// Enter keeps the report in a message to an address for reports. A message without
// one is just a message.
func (l ledger) Enter(ctx context.Context, env *mail.Envelope, body mail.Body, found *sender.Findings) error {
	var trouble []journal.Event
	for _, d := range l.desks {
		if !slices.ContainsFunc(env.To, func(to mail.Recipient) bool { return to.Address.Key() == d.to }) {
			continue
		}
		told := func(reason string) {
			trouble = append(trouble, journal.Event{Time: l.now(), Kind: journal.Error, Service: d.kind, Message: env.ID, From: env.From.String(), Reason: reason})
		}
		keep, err := d.read(mail.Reader(body))
		if err != nil {
			if !errors.Is(err, wrapped.ErrNone) {
				told(err.Error())
			}
			continue
		}
		kept, err := keep(ctx, arrival{l.now(), env.From.String(), signers(found)})
		if err != nil {
			return err
		}
		if trouble = nil; !kept { // one address may take reports of both kinds
			told("too many reports today, or too much in this one: it is not counted")
		}
		break
	}
	for _, e := range trouble {
		l.s.journal.Record(e)
	}
	return nil
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
	return recent(x.s.policies.Received(ctx), days, func(r tlspolicy.Received) (control.TLSReport, time.Time) {
		return control.TLSReport(r), r.At
	})
}

// mailReports is control.DMARC.
type mailReports struct{ s *site }

// Reports gives the DMARC reports that came within the last days.
func (x mailReports) Reports(ctx context.Context, days int) iter.Seq2[control.DMARCReport, error] {
	return recent(x.s.shelf().Received(ctx), days, func(r feedback.Received) (control.DMARCReport, time.Time) {
		return control.DMARCReport(r), r.At
	})
}

// recent are reports of the last days, as the command line has them.
func recent[In, Out any](all iter.Seq2[In, error], days int, as func(In) (Out, time.Time)) iter.Seq2[Out, error] {
	since := time.Now().AddDate(0, 0, -days)
	return func(yield func(Out, error) bool) {
		for r, err := range all {
			out, at := as(r)
			if err == nil && at.Before(since) {
				continue
			}
			if !yield(out, err) || err != nil {
				return
			}
		}
	}
}
