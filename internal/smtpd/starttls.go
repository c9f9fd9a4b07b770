package smtpd

import (
	"plic/internal/journal"
	"plic/internal/mail"
)

var (
	okTLS       = mail.Reply(220, "2.0.0", "go ahead")
	badTLS      = mail.Reply(502, "5.5.1", "TLS is not offered")
	badTLSAgain = mail.Reply(503, "5.5.1", "TLS is on already")
)

// startTLS is STARTTLS, RFC 3207. Octets that follow it in the clear are an
// attack on what comes after the handshake, CVE-2011-0411: the connection is
// dropped. The session after the handshake is a new one.
func (s *session) startTLS(args string) *session {
	switch {
	case s.tls != nil:
		s.refuse(badTLSAgain)
		return s
	case s.s.tlsConfig(s.kind) == nil:
		s.refuse(badTLS)
		return s
	case args != "":
		s.refuse(badNoArgs)
		return s
	case s.r.Buffered() > 0:
		s.record(journal.Event{Kind: journal.TLS, Reason: "commands were injected behind STARTTLS"})
		s.bye(byePipelined)
		return s
	}
	s.reset()
	s.say(okTLS)
	if s.handshake() != nil {
		s.end = true
		return s
	}
	s.r.Reset(s.conn)
	s.known.Helo = ""
	return &session{conn: s.conn}
}
