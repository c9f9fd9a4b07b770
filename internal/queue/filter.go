package queue

import (
	"slices"
	"strings"
	"time"

	"plic/internal/mail"
)

// Filter chooses items: those that match every field that is set.
type Filter struct {
	IDs     []mail.ID     `json:"ids,omitempty"`     // of items or of their messages: any of them
	From    string        `json:"from,omitempty"`    // address, or domain with or without "@"; "<>" for none
	To      string        `json:"to,omitempty"`      // of any recipient, the same
	Account string        `json:"account,omitempty"` // that submitted it
	Host    string        `json:"host,omitempty"`    // of the hop
	Fault   mail.Fault    `json:"fault,omitempty"`   // of the last try for any recipient
	Older   time.Duration `json:"older,omitempty"`   // at least so old
	Younger time.Duration `json:"younger,omitempty"` // less than so old
	Held    bool          `json:"held,omitempty"`    // only held items
}

// Match says whether the filter chooses an item.
func (f *Filter) Match(item *mail.Item, now time.Time) bool {
	switch age := now.Sub(arrived(item)); {
	case len(f.IDs) > 0 && !slices.Contains(f.IDs, item.ID) && !slices.Contains(f.IDs, item.Envelope.ID),
		f.Held && !item.Hold,
		f.Host != "" && !strings.EqualFold(f.Host, item.Hop.Host),
		f.Account != "" && !strings.EqualFold(f.Account, item.Envelope.Origin.Account),
		f.Older > 0 && age < f.Older,
		f.Younger > 0 && age >= f.Younger,
		f.From != "" && !MatchAddress(f.From, item.Envelope.From):
		return false
	}
	return (f.To == "" || anyOf(item, func(to mail.ItemRcpt) bool { return MatchAddress(f.To, to.Address) })) &&
		(f.Fault == "" || anyOf(item, func(to mail.ItemRcpt) bool { return to.Fault == f.Fault }))
}

func anyOf(item *mail.Item, is func(mail.ItemRcpt) bool) bool {
	return slices.ContainsFunc(item.To, is)
}

// arrived is when we took an item.
func arrived(item *mail.Item) time.Time {
	if item.Envelope.Received.IsZero() {
		return item.ID.Time()
	}
	return item.Envelope.Received
}

// MatchAddress says whether an address is the one that the pattern names, or of
// its domain if the pattern is "@domain" or "domain"; "<>" is the null address.
func MatchAddress(pattern string, a mail.Address) bool {
	pattern = strings.Trim(pattern, "<>")
	if a.IsNull() {
		return pattern == ""
	}
	at := strings.LastIndexByte(pattern, '@')
	if at <= 0 {
		domain := pattern[at+1:]
		return domain != "" && (strings.EqualFold(domain, a.Domain.String()) || strings.EqualFold(domain, a.Domain.Unicode()))
	}
	want, err := mail.ParseAddress(pattern)
	if err != nil {
		return strings.EqualFold(pattern, a.String())
	}
	return want.Key() == a.Key()
}
