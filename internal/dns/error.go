package dns

import (
	"errors"
	"fmt"
)

// Kind says what a failed look-up means to the caller.
type Kind int

// The kinds of failure.
const (
	Temporary Kind = iota // SERVFAIL, REFUSED, no answer in time: ask again later
	NoName                // NXDOMAIN: the name does not exist
	NoData                // the name exists, without records of the type
	Malformed             // the name cannot be asked for, or the answer cannot be used
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case NoName:
		return "no such name"
	case NoData:
		return "no record of this type"
	case Malformed:
		return "malformed"
	}
	return "temporary failure"
}

// Error is why a look-up gave no records.
type Error struct {
	Type   string // the type asked for: "MX"
	Name   string // the name asked for
	Server string // who said so, "" if nobody did
	Kind   Kind
	Err    error // more, or nil
}

// Error says what was asked, what came of it and who said so.
func (e *Error) Error() string {
	text := fmt.Sprintf("look-up of %s %q: %v", e.Type, e.Name, e.Kind)
	if e.Server != "" {
		text += " (server " + e.Server + ")"
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives what lies behind the error.
func (e *Error) Unwrap() error { return e.Err }

// NotFound says that there are no such records, for sure.
func (e *Error) NotFound() bool { return e.Kind == NoName || e.Kind == NoData }

// Temporary says that asking again later may succeed.
func (e *Error) Temporary() bool { return e.Kind == Temporary }

// KindOf is the kind of an error of a Resolver; any error that is not an *Error
// is Temporary.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Temporary
}

// IsNotFound says that an error means NXDOMAIN or no data.
func IsNotFound(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.NotFound()
}

// IsTemporary says that an error may go away: anything but an *Error that says
// otherwise.
func IsTemporary(err error) bool { return err != nil && KindOf(err) == Temporary }
