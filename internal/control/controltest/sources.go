package controltest

import (
	"context"

	"plic/internal/control"
)

// sources are those of the site.
type sources struct{ *Site }

// Lookup gives the finding that was set.
func (s sources) Lookup(_ context.Context, what string, fresh bool) (control.Finding, error) {
	f, ok := s.Findings[what]
	if !ok {
		return control.Finding{Asked: what, Outcome: "missing"}, nil
	}
	if fresh {
		f.Steps = append(f.Steps, control.LookupStep{Source: "fresh", Question: "account", Outcome: "found"})
	}
	return f, nil
}

// Try takes the password that was set for an account of the site.
func (s sources) Try(_ context.Context, login, password string) (control.Finding, error) {
	f := control.Finding{Asked: login, Outcome: "wrong", Steps: []control.LookupStep{{Source: "native", Question: "account", Key: login, Outcome: "found", Answer: login}}}
	if password != "" && s.Password(login) == password {
		f.Outcome = "found"
	}
	return f, nil
}
