package mail

import (
	"errors"
	"fmt"
	"time"
)

// Class is the first digit of a reply: what the other side should do next.
type Class int

// The classes of RFC 5321 section 4.2.1 that end a transaction.
const (
	Success   Class = 2
	Transient Class = 4
	Permanent Class = 5
)

// Enhanced is an enhanced status code, RFC 3463: class, subject, detail.
type Enhanced [3]uint16

// String is "5.1.1", or "" for the zero value.
func (e Enhanced) String() string {
	if e == (Enhanced{}) {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", e[0], e[1], e[2])
}

// Status is an answer that a peer may see: reply code, enhanced code, text.
// It never holds what only we may know; that is a Failure's Err.
type Status struct {
	Code     int      `json:"code"`
	Enhanced Enhanced `json:"enhanced,omitzero"`
	Text     string   `json:"text,omitempty"`
}

// Reply makes a Status: Reply(550, "5.1.1", "no such user").
func Reply(code int, enhanced, text string) Status {
	s := Status{Code: code, Text: text}
	if enhanced != "" {
		if _, err := fmt.Sscanf(enhanced, "%d.%d.%d", &s.Enhanced[0], &s.Enhanced[1], &s.Enhanced[2]); err != nil {
			panic("mail: bad enhanced code " + enhanced) // a literal of ours
		}
	}
	return s
}

// Class is the class of the reply code.
func (s Status) Class() Class { return Class(s.Code / 100) }

// Temporary says that trying again later may succeed.
func (s Status) Temporary() bool { return s.Class() == Transient }

// String is the reply on one line, without a line end.
func (s Status) String() string {
	if s.Enhanced == (Enhanced{}) {
		return fmt.Sprintf("%d %s", s.Code, s.Text)
	}
	return fmt.Sprintf("%d %s %s", s.Code, s.Enhanced, s.Text)
}

// Error makes a Status usable as an error whose cause is public.
func (s Status) Error() string { return s.String() }

// Failure is an error with two faces: the Status that a peer may see, and what
// was being done and why it failed, for the journal.
type Failure struct {
	Op     string
	Status Status
	Err    error
}

func (f *Failure) Error() string {
	if f.Err == nil {
		return f.Op + ": " + f.Status.String()
	}
	return fmt.Sprintf("%s: %s: %v", f.Op, f.Status, f.Err)
}

func (f *Failure) Unwrap() error { return f.Err }

// StatusOf is what a peer may see of an error. An error that names no status
// is our trouble, hence temporary: 451 4.3.0.
func StatusOf(err error) Status {
	var f *Failure
	if errors.As(err, &f) {
		return f.Status
	}
	var s Status
	if errors.As(err, &s) {
		return s
	}
	return Reply(451, "4.3.0", "temporary trouble here, try again later")
}

// Cause is what an error says beyond the status that StatusOf gives of it, for
// the journal, which tells the status anyway; "" if that is all.
func Cause(err error) string {
	var f *Failure
	var s Status
	switch {
	case errors.As(err, &f) && f.Err == nil:
		return ""
	case errors.As(err, &f):
		return f.Op + ": " + f.Err.Error()
	case err == nil || errors.As(err, &s):
		return ""
	}
	return err.Error()
}

// Outcome is the end of one try to deliver to one recipient. There is always
// exactly one for each recipient of a try.
type Outcome struct {
	Status Status // what the next host said, or what we say in its place
	Host   string // who said it, "" when it was us; as in Remote-MTA
	Remote string // the address it was reached at, "" if none
	TLS    string // "" for none, else version and cipher
	Fault  Fault  // what the trouble is about, "" if there is none
	Err    error  // what only we know

	// After is when the host said to come back; 0 if it did not.
	After time.Duration

	// Reports says that the next host took the sender's DSN parameters along
	// and will report a success itself, RFC 3461 section 5.2.1.
	Reports bool

	// Timed says that the next host keeps to the time for the delivery, RFC 2852, or
	// has delivered.
	Timed bool

	// Apart says that the outcome tells of this recipient only, and nothing of the
	// next place: that of a program of this host, say.
	Apart bool
}
