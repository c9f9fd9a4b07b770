package smtpd

import (
	"io"
	"time"

	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/smtp"
)

var goAhead = mail.Status{Code: 354, Text: "end the message with CRLF.CRLF"}

// data is DATA, RFC 5321 section 4.1.1.4.
func (s *session) data(args string) {
	switch {
	case s.r.Buffered() > 0:
		// DATA is the last of a group, RFC 2920 section 3.1. Were it refused,
		// the message that follows would be run as commands.
		s.bye(byePipelined)
		return
	case args != "":
		s.refuse(badNoArgs)
		return
	case s.tx.env == nil:
		s.refuse(badNoMail)
		return
	case s.tx.in != nil || s.tx.failed: // RFC 3030 section 3
		s.refuse(badOrder)
		return
	case len(s.tx.env.To) == 0:
		s.refuse(badNoRcpt)
		return
	}
	if err := s.begin(); err != nil {
		s.refuse(err)
		return
	}
	s.say(goAhead)
	s.receiving(true)
	defer s.receiving(false)
	dot := smtp.NewDotReader(s.r)
	for {
		run, err := dot.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			s.lineError(nil, err)
			return
		}
		s.tx.in.take(run)
		if s.tx.in.size > 2*s.s.o.Limits.Message {
			s.bye(badTooLarge) // we have read on long enough
			return
		}
	}
	s.receiving(false)
	s.finish()
}

// begin gets a draft for the message.
func (s *session) begin() error {
	draft, err := s.s.o.Intake.Begin(s.ctx, s.tx.env)
	if err == nil {
		s.tx.in = newReceiver(draft, s.kind, &s.s.o.Limits, s.s.o.lines(s.remote.Addr()))
	}
	return err
}

// finish hands the message over and answers for it. The transaction is over.
func (s *session) finish() {
	env, in := s.tx.env, s.tx.in
	began := s.s.o.Now()
	outcomes, err := in.finish(s.ctx, env, s.s.o.Host, began)
	if err != nil {
		s.refuseAll(err)
		s.reset()
		return
	}
	accepted := mail.Status{Code: 250, Enhanced: mail.Enhanced{2, 0, 0}, Text: "accepted as " + env.ID.String()}
	s.accepted(env, in, accepted, began)
	if s.kind == LMTP {
		s.outcomes(env, outcomes, accepted)
	} else {
		s.say(accepted)
	}
	s.errors, s.junk, s.last = 0, 0, s.s.o.Now()
	s.reset()
}

// accepted records that we answer for the message from here on.
func (s *session) accepted(env *mail.Envelope, in *receiver, st mail.Status, began time.Time) {
	if s.s.o.Journal == nil {
		return
	}
	to := make([]string, len(env.To))
	for i := range env.To {
		to[i] = env.To[i].Address.String()
	}
	now := s.s.o.Now()
	s.record(journal.Event{Kind: journal.Accept, Message: env.ID, MessageID: in.head.messageID,
		From: env.From.String(), To: to, Size: in.size, Status: st.String(), Took: now.Sub(began)})
}

// outcomes answers for each recipient in its turn, RFC 2033 section 4.2.
func (s *session) outcomes(env *mail.Envelope, outcomes []mail.Outcome, accepted mail.Status) {
	for i, to := range env.To {
		st := mail.StatusOf(nil)
		if i < len(outcomes) {
			st = outcomes[i].Status
		}
		if st.Class() == mail.Success {
			s.say(accepted)
			continue
		}
		s.rejected(st, nil, to)
		s.say(st)
	}
}

// refuseAll refuses the message: over LMTP once for each recipient.
func (s *session) refuseAll(err error) {
	more := 0
	if s.kind == LMTP && s.tx.env != nil {
		more = len(s.tx.env.To) - 1
	}
	s.refuse(err)
	for range more {
		if s.end {
			return
		}
		s.say(mail.StatusOf(err))
	}
}
