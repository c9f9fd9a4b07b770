package smtpd

import "plic/internal/mail"

var okQuit = mail.Reply(221, "2.0.0", "goodbye")

// quit is QUIT, RFC 5321 section 4.1.1.10.
func (s *session) quit(args string) {
	if args != "" {
		s.refuse(badNoArgs)
		return
	}
	s.say(okQuit)
	s.end = true
}
