package smtpd

import (
	"context"
	"encoding/binary"
	"errors"
	"time"

	"plic/internal/mail"
	"plic/internal/smtp"
)

var (
	badLines  = mail.Reply(550, "5.6.0", "the message holds a bare CR, a bare LF or a NUL; lines end in CRLF")
	badHeader = mail.Reply(552, "5.3.4", "the header of the message is larger than we take")
	badHops   = mail.Reply(554, "5.4.6", "too many hops, the message goes in a loop")
)

// receiver takes the content of one message: it checks, notes what the header
// says, and hands on to the Intake's draft. What is wrong is kept until the
// content has ended, as there is one answer to it all.
type receiver struct {
	draft  Draft // nil after abort
	limits *Limits
	lines  *smtp.LineWriter
	head   header
	blind  *blind // of a submission
	size   int64  // as it came, in octets
	eight  bool   // there are octets above 127
	err    error  // why the message is refused
}

func newReceiver(draft Draft, kind Kind, limits *Limits, policy smtp.LinePolicy) *receiver {
	r := &receiver{draft: draft, limits: limits}
	if kind.submission() {
		r.blind = &blind{}
	}
	r.lines = smtp.NewLineWriter((*content)(r), policy)
	return r
}

// take takes a piece of content as it came.
func (r *receiver) take(p []byte) {
	r.size += int64(len(p))
	if r.err != nil {
		return
	}
	if r.size > r.limits.Message {
		r.fail(badTooLarge)
		return
	}
	if _, err := r.lines.Write(p); err != nil {
		r.fail(err)
	}
}

// fail notes why the message is refused, and frees what was taken of it.
func (r *receiver) fail(err error) {
	if errors.Is(err, smtp.ErrLines) {
		err = badLines
	}
	r.err = err
	r.abort()
}

func (r *receiver) abort() {
	if r.draft != nil {
		r.draft.Abort()
		r.draft = nil
	}
}

// content is the receiver behind the check of line ends.
type content receiver

// Write takes content with good line ends.
func (c *content) Write(p []byte) (int, error) {
	if !c.head.done {
		c.head.scan(p)
		switch {
		case c.head.size > c.limits.Header || c.head.lines > c.limits.HeaderLines:
			return 0, badHeader
		case c.head.hops > c.limits.Hops:
			return 0, badHops // RFC 5321 section 6.3
		}
	}
	c.eight = c.eight || hasEight(p)
	if _, err := c.draft.Write(c.blind.filter(p)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// finish gives the whole message to the Intake; host is our name. The error is
// the answer for all recipients.
func (r *receiver) finish(ctx context.Context, env *mail.Envelope, host string, now time.Time) ([]mail.Outcome, error) {
	if r.err == nil {
		if err := r.lines.Close(); err != nil {
			r.fail(err)
		}
	}
	if r.err != nil {
		return nil, r.err
	}
	r.head.finish()
	if held := r.blind.finish(); len(held) > 0 {
		if _, err := r.draft.Write(held); err != nil {
			r.fail(err)
			return nil, err
		}
	}
	if r.eight && env.Kind != mail.Body8Bit {
		env.Kind = mail.Body8Bit // as most do, we do not insist on the parameter
	}
	env.Received = now
	outcomes, err := r.draft.Commit(ctx, env, trace(env, &r.head, host))
	if err != nil {
		r.fail(err)
		return nil, err
	}
	r.draft = nil // it belongs to the Intake
	return outcomes, nil
}

// hasEight finds octets above 127, eight at a time.
func hasEight(p []byte) bool {
	for len(p) >= 8 {
		if binary.LittleEndian.Uint64(p)&0x8080808080808080 != 0 {
			return true
		}
		p = p[8:]
	}
	for _, c := range p {
		if c >= 0x80 {
			return true
		}
	}
	return false
}
