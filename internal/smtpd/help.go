package smtpd

import "plic/internal/mail"

var okHelp = mail.Reply(214, "2.0.0", "RFC 5321 says it all")

// help is HELP, RFC 5321 section 4.1.1.8.
func (s *session) help() {
	if s.idle() {
		s.say(okHelp)
	}
}
