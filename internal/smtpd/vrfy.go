package smtpd

import "plic/internal/mail"

var (
	okVerify  = mail.Reply(252, "2.0.0", "not verified here; send the message, it will be tried")
	badVerify = mail.Reply(501, "5.5.4", "VRFY needs an address")
)

// vrfy is VRFY, RFC 5321 section 3.5.3: it tells nobody who exists.
func (s *session) vrfy(args string) {
	if args == "" {
		s.refuse(badVerify)
		return
	}
	if s.idle() {
		s.say(okVerify)
	}
}
