package smtpd

import (
	"plic/internal/mail"
	"plic/internal/smtp"
)

var (
	okRecipient = mail.Reply(250, "2.1.5", "recipient ok")
	tooManyRcpt = mail.Reply(452, "4.5.3", "too many recipients, send the rest in another transaction")
)

// rcpt is RCPT, RFC 5321 section 4.1.1.3: one more recipient.
func (s *session) rcpt(args string) {
	switch {
	case s.tx.env == nil:
		s.refuse(badNoMail)
		return
	case s.tx.in != nil || s.tx.failed:
		s.refuse(badOrder)
		return
	case len(s.tx.env.To) >= s.s.o.Limits.Recipients:
		s.tooMany()
		return
	}
	to, err := smtp.ParseRcpt(args, s.tx.env.UTF8)
	if err != nil {
		s.refuse(err)
		return
	}
	if err := s.s.o.Intake.Recipient(s.ctx, s.tx.env, to); err != nil {
		s.refuse(err, to)
		return
	}
	if err := s.s.o.Guard.Recipient(s.ctx, s.tx.env, to); err != nil {
		s.refuse(err, to)
		return
	}
	s.tx.env.To = append(s.tx.env.To, to)
	s.say(okRecipient)
}

// tooMany puts recipients off to the next transaction, RFC 5321 section
// 4.5.3.1.10. A client that pipelined some too many is no attacker; one that
// goes on is.
func (s *session) tooMany() {
	if s.tx.over++; s.tx.over > s.s.o.Limits.Recipients {
		s.bye(byeErrors)
		return
	}
	s.say(tooManyRcpt)
}
