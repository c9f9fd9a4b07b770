package server

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"plic/internal/check/score"
	"plic/internal/control"
	"plic/internal/mail"
	"plic/internal/store"
)

// limitsNote begins the keys of notes with the limits of an account or a domain.
const limitsNote = "spam/limits/"

// spamLimits are those that accounts and domains have of their own.
type spamLimits struct {
	notes store.Notes
	site  score.Limits

	mu sync.RWMutex
	of map[string]control.SpamLimits
}

func openLimits(ctx context.Context, notes store.Notes, site score.Limits) (*spamLimits, error) {
	l := &spamLimits{notes: notes, site: site, of: map[string]control.SpamLimits{}}
	all, err := notes.All(ctx, limitsNote)
	if err != nil {
		return nil, fmt.Errorf("read limits of spam: %w", err)
	}
	for _, n := range all {
		var own control.SpamLimits
		if err := json.Unmarshal(n.Value, &own); err != nil {
			return nil, fmt.Errorf("read limits of spam %s: %w", n.Key, err)
		}
		l.of[strings.TrimPrefix(n.Key, limitsNote)] = own
	}
	return l, nil
}

// own are the limits that were set for a name.
func (l *spamLimits) own(name string) control.SpamLimits {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.of[name]
}

// hold are the limits that hold for an account, a domain, or the site.
func (l *spamLimits) hold(name string) score.Limits {
	at := l.site
	if name == "" {
		return at
	}
	if _, domain, ok := strings.Cut(name, "@"); ok {
		apply(&at, l.own(domain))
	}
	apply(&at, l.own(name))
	return at
}

func apply(to *score.Limits, own control.SpamLimits) {
	for _, x := range []struct{ to, own *float64 }{
		{&to.Tag, own.Tag}, {&to.Greylist, own.Greylist}, {&to.Junk, own.Junk}, {&to.Quarantine, own.Quarantine}, {&to.Refuse, own.Refuse},
	} {
		if x.own != nil {
			*x.to = *x.own
		}
	}
	if own.Subject != nil {
		to.Subject = *own.Subject
	}
}

func (l *spamLimits) set(ctx context.Context, own control.SpamLimits) error {
	for _, limit := range []*float64{own.Tag, own.Greylist, own.Junk, own.Quarantine, own.Refuse} {
		if limit != nil && (*limit < 0 || *limit > 1000) {
			return fmt.Errorf("a limit of %v is out of bounds: it may be 0 to 1000", *limit)
		}
	}
	if own.Subject != nil && (len(*own.Subject) > 100 || strings.ContainsAny(*own.Subject, "\r\n")) {
		return fmt.Errorf("a word of %d octets is too long, or of several lines", len(*own.Subject))
	}
	value, err := json.Marshal(own)
	if err != nil {
		return err
	}
	if own == (control.SpamLimits{Name: own.Name}) {
		value = nil
	}
	if err := l.notes.Update(ctx, limitsNote+own.Name, func([]byte) ([]byte, error) { return value, nil }); err != nil {
		return fmt.Errorf("keep the limits of %s: %w", own.Name, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of[own.Name] = own; value == nil {
		delete(l.of, own.Name)
	}
	return nil
}

// named finds the account or domain of a name, as the notes have it.
func (s *site) named(name string) (string, error) {
	if strings.Contains(name, "@") {
		a, err := mail.ParseAddress(name)
		if err != nil {
			return "", err
		}
		for _, x := range s.directory.Accounts() {
			if x.Name == a.Key() || x.Name == a.String() {
				return x.Name, nil
			}
		}
		return "", &control.Error{Text: fmt.Sprintf("there is no account %s", name), Missing: true}
	}
	d, err := mail.ParseDomain(name)
	if err != nil {
		return "", err
	}
	for _, x := range s.directory.Domains() {
		if x.Name == d {
			return d.String(), nil
		}
	}
	return "", &control.Error{Text: fmt.Sprintf("%s is not a domain of ours", d), Missing: true}
}
