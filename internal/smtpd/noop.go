package smtpd

// noop is NOOP, RFC 5321 section 4.1.1.9; its argument means nothing.
func (s *session) noop() {
	if s.idle() {
		s.say(okReset)
	}
}
