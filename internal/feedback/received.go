package feedback

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"plic/internal/dmarcrpt"
	"plic/internal/notebook"
)

const (
	receivedPrefix = "dmarc/received/"
	mostKept       = 1000 // records of one report
)

// Received is a report of somebody else about mail in our name.
type Received struct {
	At     time.Time       `json:"at"`
	From   string          `json:"from"`             // who brought it: the sender of the mail
	Signed []string        `json:"signed,omitempty"` // domains whose DKIM signatures of the mail are good
	Report dmarcrpt.Report `json:"report"`
	// Lost counts the messages of records that were too many to be kept.
	Lost int64 `json:"lost,omitempty"`
}

// Shelf has the reports that came.
type Shelf struct{ book notebook.Book[Received] }

// NewShelf makes a Shelf over notes.
func NewShelf(notes notebook.Notes, now func() time.Time) *Shelf {
	return &Shelf{notebook.Book[Received]{Notes: notes, Prefix: receivedPrefix, Now: now}}
}

// Receive keeps a report, cut to a bounded size, if it is not there already. It is
// durable when Receive returns; false means that there are too many today.
func (s *Shelf) Receive(ctx context.Context, r Received) (bool, error) {
	m := &r.Report.Metadata
	name := fmt.Sprintf("%q %q %q %q", m.Organization, m.Email, m.ID, r.Report.Policy.Domain)
	r.bound()
	return s.book.Enter(ctx, name, r)
}

// Received gives the reports that are kept, by the day they came.
func (s *Shelf) Received(ctx context.Context) iter.Seq2[Received, error] { return s.book.Entries(ctx) }

// bound cuts what a stranger may have made too long. The records that count most stay.
func (r *Received) bound() {
	x := &r.Report
	m, p := &x.Metadata, &x.Policy
	notebook.Cut(&r.From, &x.Version, &m.Organization, &m.Email, &m.Contact, &m.ID, &m.Generator)
	notebook.Cut(&p.Domain, &p.Policy, &p.Subdomains, &p.Absent, &p.DKIM, &p.SPF, &p.Discovery, &p.Options, &p.Testing)
	m.Errors = few(m.Errors)
	for i := range m.Errors {
		notebook.Cut(&m.Errors[i])
	}
	x.Records = slices.DeleteFunc(slices.Clone(x.Records), func(r dmarcrpt.Record) bool { return r.Row.Count <= 0 })
	slices.SortStableFunc(x.Records, func(a, b dmarcrpt.Record) int { return cmp.Compare(b.Row.Count, a.Row.Count) })
	for len(x.Records) > mostKept {
		r.Lost += x.Records[len(x.Records)-1].Row.Count
		x.Records = x.Records[:len(x.Records)-1]
	}
	for i := range x.Records {
		boundRecord(&x.Records[i])
	}
	lost := int64(0)
	x.Records, lost = fit(x.Records)
	r.Lost += lost
}

// fit gives the first records, as many as there is room for in a note, and counts the
// messages of the others.
func fit(records []dmarcrpt.Record) (kept []dmarcrpt.Record, lost int64) {
	const rest = 64 << 10 // what else is in the note is less
	kept, _ = notebook.Fit(records, notebook.MostOfOne-rest)
	for i := range records[len(kept):] {
		lost += records[len(kept)+i].Row.Count
	}
	return kept, lost
}

func boundRecord(r *dmarcrpt.Record) {
	e, who := &r.Row.Evaluated, &r.Identifiers
	notebook.Cut(&r.Row.Source, &e.Disposition, &e.DKIM, &e.SPF, &who.HeaderFrom, &who.EnvelopeFrom, &who.EnvelopeTo)
	e.Reasons = few(e.Reasons)
	for i := range e.Reasons {
		notebook.Cut(&e.Reasons[i].Type, &e.Reasons[i].Comment)
	}
	r.Results.DKIM, r.Results.SPF = few(r.Results.DKIM), few(r.Results.SPF)
	for i := range r.Results.DKIM {
		d := &r.Results.DKIM[i]
		notebook.Cut(&d.Domain, &d.Selector, &d.Result, &d.Human)
	}
	for i := range r.Results.SPF {
		s := &r.Results.SPF[i]
		notebook.Cut(&s.Domain, &s.Scope, &s.Result)
	}
}

// few are the first of a list.
func few[T any](list []T) []T { return slices.Clone(list[:min(len(list), 5)]) }
