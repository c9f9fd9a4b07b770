package server

import (
	"context"
	"iter"

	"plic/internal/control"
	"plic/internal/serve"
)

// present is control.Sessions.
type present struct{ roll *serve.Roll }

func session(o serve.Open) control.Session {
	name := o.Service
	if name == "managesieve" {
		name = "sieve" // as everywhere in the settings
	}
	return control.Session{Service: name, Account: o.Account, Remote: o.Remote, Since: o.Since}
}

// List lists the sessions that are open.
func (p present) List(_ context.Context, f control.SessionFilter) iter.Seq2[control.Session, error] {
	return func(yield func(control.Session, error) bool) {
		for _, o := range p.roll.List() {
			if s := session(o); f.Chooses(s) && !yield(s, nil) {
				return
			}
		}
	}
}

// End ends some of them.
func (p present) End(_ context.Context, f control.SessionFilter) (int, error) {
	return p.roll.End(func(o serve.Open) bool { return f.Chooses(session(o)) }), nil
}

// endOf ends the sessions of an account that may not log in any more.
func (p present) endOf(account string) {
	p.roll.End(func(o serve.Open) bool { return o.Account == account })
}
