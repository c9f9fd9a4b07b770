package smtpd

import (
	"time"

	"plic/internal/mail"
	"plic/internal/smtp"
)

var (
	okSender    = mail.Reply(250, "2.1.0", "sender ok")
	badNested   = mail.Reply(503, "5.5.1", "a transaction is open, say RSET first")
	badNoAuth   = mail.Reply(530, "5.7.0", "authentication required")
	badNeedTLS  = mail.Reply(530, "5.7.0", "say STARTTLS first, then AUTH")
	badTooLarge = mail.Reply(552, "5.3.4", "the message is larger than we take")
	badTiming   = mail.Reply(555, "5.5.4", "MT-PRIORITY, HOLDFOR, HOLDUNTIL and BY are for those who have said AUTH")
	badHold     = mail.Reply(501, "5.5.4", "the message would be held too long")
	badClear    = mail.Reply(555, "5.7.4", "REQUIRETLS is for sessions with TLS")
	badBinary   = mail.Reply(501, "5.5.4", "BODY is 7BIT or 8BITMIME")
)

// mail is MAIL, RFC 5321 section 4.1.1.2: it begins a transaction.
func (s *session) mail(args string) {
	switch {
	case s.helo == "":
		s.refuse(badNoHelo)
		return
	case s.kind.submission() && s.account == "":
		if s.tls == nil && len(s.mechanisms()) == 0 {
			s.refuse(badNeedTLS)
		} else {
			s.refuse(badNoAuth) // RFC 6409 section 4.3
		}
		return
	case s.tx.env != nil:
		s.refuse(badNested)
		return
	}
	m, err := smtp.ParseMail(args)
	if err != nil {
		s.refuse(err)
		return
	}
	s.tx.env = s.envelope(m)
	if err := s.sender(m); err != nil {
		s.refuse(err) // the journal tells whose mail it would have been
		s.tx.env = nil
		return
	}
	s.setBusy(true)
	s.say(okSender)
}

// sender says whether we take the message that MAIL announces.
func (s *session) sender(m smtp.MailFrom) error {
	switch {
	case m.Body == mail.BodyBinary:
		return badBinary
	case m.RequireTLS && s.tls == nil:
		return badClear
	case m.Size > s.s.o.Limits.Message:
		return badTooLarge
	case s.account == "" && (m.Priority != 0 || m.HoldFor != 0 || !m.HoldUntil.IsZero() || m.By.Mode != 0):
		return badTiming
	case s.tx.env.Release.Sub(s.tx.env.Received) > s.s.o.Limits.Hold: // RFC 4865 section 4
		return badHold
	}
	if err := s.s.o.Guard.Sender(s.ctx, s.tx.env); err != nil {
		return err
	}
	return s.s.o.Intake.Sender(s.ctx, s.tx.env)
}

func (s *session) envelope(m smtp.MailFrom) *mail.Envelope {
	now := s.s.o.Now()
	release := m.HoldUntil
	if m.HoldFor > 0 {
		release = now.Add(m.HoldFor)
	}
	var by mail.DeliverBy
	if m.By.Mode != 0 {
		by = mail.DeliverBy{At: now.Add(time.Duration(m.By.Seconds) * time.Second), Return: m.By.Mode == smtp.ByReturn, Trace: m.By.Trace}
	}
	return &mail.Envelope{
		ID: mail.NewID(now), From: m.From, Kind: m.Body, UTF8: m.UTF8, Ret: m.Ret,
		RequireTLS: m.RequireTLS, EnvelopeID: m.EnvelopeID, Size: m.Size, Received: now, Priority: m.Priority, Release: release, By: by,
		Origin: s.origin(s.helo, m.UTF8),
	}
}

// protocol is the name for the with clause of Received, RFC 3848 and for
// SMTPUTF8 RFC 6531 section 4.3.
func (s *session) protocol(utf8 bool) string {
	base := "SMTP"
	switch {
	case s.kind == LMTP && utf8:
		base = "UTF8LMTP"
	case s.kind == LMTP:
		base = "LMTP"
	case utf8:
		base = "UTF8SMTP"
	case s.esmtp:
		base = "ESMTP"
	default:
		return base // RFC 3848 has no more names without ESMTP
	}
	if s.tls != nil {
		base += "S"
	}
	if s.account != "" {
		base += "A"
	}
	return base
}
