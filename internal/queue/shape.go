package queue

import (
	"cmp"
	"context"
	"slices"
	"time"

	"plic/internal/mail"
)

// By says what a shape of the queue is a summary by.
type By string

// What a queue can be summed up by.
const (
	ByHost   By = "host"   // next hop
	ByDomain By = "domain" // of recipients
	BySender By = "sender" // domain, or account
	ByFault  By = "fault"  // of the last try
)

// Ages is how many columns a shape has; each is twice as old as the one before.
const Ages = 10

// AgeLimit is how old mail in a column is at most: 5, 10, 20… minutes. The last
// column has no limit.
func AgeLimit(column int) time.Duration { return 5 * time.Minute << column }

// Shape is a part of the queue by age, as qshape shows it.
type Shape struct {
	Name       string    `json:"name"`
	Items      int       `json:"items"`
	Recipients int       `json:"recipients"`
	Bytes      int64     `json:"bytes"` // of the messages, counted for each item
	Held       int       `json:"held,omitempty"`
	Ages       [Ages]int `json:"ages"` // recipients
	Oldest     time.Time `json:"oldest"`
}

// Shapes sums up the chosen items, the fullest part first.
func (q *Queue) Shapes(ctx context.Context, f Filter, by By) ([]Shape, error) {
	now := q.o.Now()
	parts := map[string]*Shape{}
	for item, err := range q.o.Custody.Items(ctx) {
		if err != nil {
			return nil, err
		}
		if !f.Match(&item, now) {
			continue
		}
		counted := map[string]bool{}
		for _, to := range item.To {
			name := by.name(&item, to)
			part := parts[name]
			if part == nil {
				part = &Shape{Name: name}
				parts[name] = part
			}
			part.count(&item, counted[name], now)
			counted[name] = true
		}
	}
	all := make([]Shape, 0, len(parts))
	for _, part := range parts {
		all = append(all, *part)
	}
	slices.SortFunc(all, func(a, b Shape) int {
		return cmp.Or(b.Recipients-a.Recipients, cmp.Compare(a.Name, b.Name))
	})
	return all, nil
}

// name is the part that a recipient belongs to.
func (by By) name(item *mail.Item, to mail.ItemRcpt) string {
	switch by {
	case ByDomain:
		return to.Address.Domain.String()
	case BySender:
		if account := item.Envelope.Origin.Account; account != "" {
			return account
		}
		if item.Envelope.From.IsNull() {
			return "<>"
		}
		return item.Envelope.From.Domain.String()
	case ByFault:
		if to.Fault == "" {
			return "not tried yet"
		}
		return string(to.Fault)
	}
	return item.Hop.Host
}

// count adds a recipient; again says that its item was counted before.
func (s *Shape) count(item *mail.Item, again bool, now time.Time) {
	came := arrived(item)
	column := 0
	for column < Ages-1 && now.Sub(came) >= AgeLimit(column) {
		column++
	}
	s.Ages[column]++
	s.Recipients++
	if s.Oldest.IsZero() || came.Before(s.Oldest) {
		s.Oldest = came
	}
	if again {
		return
	}
	s.Items++
	s.Bytes += item.Size
	if item.Hold {
		s.Held++
	}
}
