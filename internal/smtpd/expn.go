package smtpd

import "plic/internal/mail"

var badExpand = mail.Reply(502, "5.5.1", "EXPN is not served")

// expn is EXPN, RFC 5321 section 3.5: never, it would tell who is on a list.
func (s *session) expn() {
	if s.idle() {
		s.refuse(badExpand)
	}
}
