package directory

import (
	"context"
	"errors"
	"time"
)

// Step is one question to a source, and what came of it.
type Step struct {
	Source   string
	Question string // "domain", "address", "account", "password", or a driver's own
	Key      string
	Answer   string // in a few words; "" if there is none
	Err      error  // ErrNotFound, ErrPassword, or trouble
	Took     time.Duration
}

// Missing says that an error means only that something does not exist.
func Missing(err error) bool { return errors.Is(err, ErrNotFound) }

// Outcome is the end of a step in one word: "found", "missing", "wrong" for a
// password, or "trouble".
func (s Step) Outcome() string {
	switch {
	case s.Err == nil:
		return "found"
	case errors.Is(s.Err, ErrNotFound):
		return "missing"
	case errors.Is(s.Err, ErrPassword):
		return "wrong"
	}
	return "trouble"
}

// stepsKey and freshKey are what a context says about a look-up.
type (
	stepsKey struct{}
	freshKey struct{}
)

// WithSteps has every step of the look-ups under a context told to a function,
// which may be called at the same time by several.
func WithSteps(ctx context.Context, tell func(Step)) context.Context {
	return context.WithValue(ctx, stepsKey{}, tell)
}

// Tell tells a step to whoever asked for it.
func Tell(ctx context.Context, s Step) {
	if tell, ok := ctx.Value(stepsKey{}).(func(Step)); ok {
		tell(s)
	}
}

// Told says whether somebody listens to steps.
func Told(ctx context.Context) bool {
	_, ok := ctx.Value(stepsKey{}).(func(Step))
	return ok
}

// WithFresh has the look-ups under a context answered by the sources, not from
// what is remembered of them: a password that does not fit may be a new one.
func WithFresh(ctx context.Context) context.Context {
	return context.WithValue(ctx, freshKey{}, true)
}

// Fresh says whether the answer must come from the source.
func Fresh(ctx context.Context) bool { return ctx.Value(freshKey{}) != nil }
