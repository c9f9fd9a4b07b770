package tlspolicy

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"plic/internal/notebook"
	"plic/internal/tlsrpt"
)

const (
	receivedPrefix = "tls/received/"
	mostPolicies   = 100 // of one report, and failures of a policy
)

// Received is a report of somebody else about TLS with us.
type Received struct {
	At     time.Time     `json:"at"`
	From   string        `json:"from"`             // who brought it: the sender of the mail
	Signed []string      `json:"signed,omitempty"` // domains whose DKIM signatures of the mail are good, RFC 8460 section 5.3
	Report tlsrpt.Report `json:"report"`
}

// book has the reports that came.
func (p *Policies) book() *notebook.Book[Received] {
	return &notebook.Book[Received]{Notes: p.o.Notes, Prefix: receivedPrefix, Now: p.o.Now}
}

// Receive keeps a report, cut to a bounded size, if it is not there already. It
// is durable when Receive returns; false means that there are too many today.
func (p *Policies) Receive(ctx context.Context, r Received) (bool, error) {
	name := fmt.Sprintf("%q %q %q", r.Report.Organization, r.Report.Contact, r.Report.ID)
	bounded(&r.Report)
	notebook.Cut(&r.From)
	return p.book().Enter(ctx, name, r)
}

// Received gives the reports that are kept, by the day they came.
func (p *Policies) Received(ctx context.Context) iter.Seq2[Received, error] {
	return p.book().Entries(ctx)
}

// bounded cuts what a stranger may have made too long. The failures that count
// most stay.
func bounded(r *tlsrpt.Report) {
	notebook.Cut(&r.Organization, &r.Contact, &r.ID)
	room := notebook.MostOfOne / 2 // for failures
	r.Policies = slices.Clone(r.Policies[:min(len(r.Policies), mostPolicies)])
	for i := range r.Policies {
		f := &r.Policies[i]
		f.Policy = tlsrpt.Policy{Type: f.Policy.Type, Domain: f.Policy.Domain}
		notebook.Cut(&f.Policy.Type, &f.Policy.Domain)
		f.Failures = slices.Clone(f.Failures)
		slices.SortStableFunc(f.Failures, func(a, b tlsrpt.Failure) int { return cmp.Compare(b.Count, a.Count) })
		f.Failures = f.Failures[:min(len(f.Failures), mostPolicies)]
		for j := range f.Failures {
			x := &f.Failures[j]
			notebook.Cut(&x.Type, &x.SendingIP, &x.Host, &x.Helo, &x.ReceivingIP, &x.Information, &x.Reason)
		}
		f.Failures, room = notebook.Fit(f.Failures, room)
	}
}
