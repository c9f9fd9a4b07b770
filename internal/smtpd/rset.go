package smtpd

// rset is RSET, RFC 5321 section 4.1.1.5.
func (s *session) rset(args string) {
	if args != "" {
		s.refuse(badNoArgs)
		return
	}
	if !s.idle() {
		return
	}
	s.reset()
	s.say(okReset)
}
