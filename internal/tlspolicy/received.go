package tlspolicy

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"time"

	"plic/internal/tlsrpt"
)

const (
	receivedPrefix = "tls/received/" // the day it came, "/" and a digest of whose it is
	receivedDays   = 90              // that a report is kept
	mostReceived   = 2000            // reports of one day; strangers send them
	mostPolicies   = 100             // of one report, and failures of a policy
	mostText       = 200             // octets of a text in one
)

// Received is a report of somebody else about TLS with us.
type Received struct {
	At     time.Time     `json:"at"`
	From   string        `json:"from"`             // who brought it: the sender of the mail
	Signed []string      `json:"signed,omitempty"` // domains whose DKIM signatures of the mail are good, RFC 8460 section 5.3
	Report tlsrpt.Report `json:"report"`
}

// Receive keeps a report, cut to a bounded size, if it is not there already. It
// is durable when Receive returns; false means that there are too many today.
func (p *Policies) Receive(ctx context.Context, r Received) (bool, error) {
	day := r.At.UTC().Format(time.DateOnly)
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %q", r.Report.Organization, r.Report.Contact, r.Report.ID))
	name := hex.EncodeToString(sum[:16])
	for back := range 3 { // mail may come again after a day or two
		key := receivedPrefix + r.At.UTC().AddDate(0, 0, -back).Format(time.DateOnly) + "/" + name
		if had, err := p.o.Notes.Note(ctx, key); err != nil || had != nil {
			return had != nil, err
		}
	}
	n := 0
	for _, err := range p.o.Notes.Notes(ctx, receivedPrefix+day+"/") {
		if err != nil {
			return false, err
		}
		if n++; n >= mostReceived {
			return false, nil
		}
	}
	bounded(&r.Report)
	r.From = cut(r.From)
	return true, put(ctx, p.o.Notes, receivedPrefix+day+"/"+name, r)
}

// Received gives the reports that are kept, by the day they came.
func (p *Policies) Received(ctx context.Context) iter.Seq2[Received, error] {
	return func(yield func(Received, error) bool) {
		for n, err := range p.o.Notes.Notes(ctx, receivedPrefix) {
			var r Received
			if err == nil && json.Unmarshal(n.Value, &r) != nil {
				continue
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// forgetReceived drops reports that are old.
func (p *Policies) forgetReceived(ctx context.Context) error {
	oldest := receivedPrefix + p.o.Now().UTC().AddDate(0, 0, -receivedDays).Format(time.DateOnly)
	var gone []Note
	for n, err := range p.o.Notes.Notes(ctx, receivedPrefix) {
		if err != nil {
			return err
		}
		if n.Key >= oldest {
			break
		}
		gone = append(gone, Note{Key: n.Key})
	}
	return p.o.Notes.PutNotes(ctx, gone...)
}

// bounded cuts what a stranger may have made too long. The failures that count
// most stay.
func bounded(r *tlsrpt.Report) {
	for _, text := range []*string{&r.Organization, &r.Contact, &r.ID} {
		*text = cut(*text)
	}
	r.Policies = slices.Clone(r.Policies[:min(len(r.Policies), mostPolicies)])
	for i := range r.Policies {
		f := &r.Policies[i]
		f.Policy = tlsrpt.Policy{Type: cut(f.Policy.Type), Domain: cut(f.Policy.Domain)}
		f.Failures = slices.Clone(f.Failures)
		slices.SortStableFunc(f.Failures, func(a, b tlsrpt.Failure) int { return cmp.Compare(b.Count, a.Count) })
		f.Failures = f.Failures[:min(len(f.Failures), mostPolicies)]
		for j := range f.Failures {
			x := &f.Failures[j]
			for _, text := range []*string{&x.Type, &x.SendingIP, &x.Host, &x.Helo, &x.ReceivingIP, &x.Information, &x.Reason} {
				*text = cut(*text)
			}
		}
	}
}

// cut bounds a text, and keeps it UTF-8: what is cut off of a letter is lost.
func cut(text string) string {
	if len(text) <= mostText {
		return text
	}
	end := mostText
	for end > 0 && text[end]&0xc0 == 0x80 {
		end--
	}
	return text[:end]
}
