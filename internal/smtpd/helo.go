package smtpd

import (
	"strconv"
	"strings"
	"time"

	"plic/internal/mail"
	"plic/internal/smtp"
)

var (
	badHelo = mail.Reply(500, "5.5.1", "LMTP begins with LHLO")
	badLhlo = mail.Reply(500, "5.5.1", "LHLO is for LMTP, say EHLO")
)

// hello is EHLO, HELO and LHLO, RFC 5321 section 4.1.1.1 and RFC 2033 section
// 4.1. It ends a transaction as RSET does.
func (s *session) hello(cmd smtp.Command) {
	if s.kind == LMTP && cmd.Verb != smtp.LHLO {
		s.refuse(badHelo)
		return
	}
	if s.kind != LMTP && cmd.Verb == smtp.LHLO {
		s.refuse(badLhlo)
		return
	}
	// What follows was written before the answer could be read, so by none
	// who wants to know it, RFC 2920 section 3.1.
	if s.r.Buffered() > 0 {
		s.bye(byePipelined)
		return
	}
	name, err := smtp.ParseHelo(cmd.Args)
	if err != nil {
		s.refuse(err)
		return
	}
	if s.helo != "" && !s.idle() {
		return
	}
	if s.toldHelo != "" {
		name = s.toldHelo
	}
	o := s.origin(name, false)
	if err := s.s.o.Guard.Hello(s.ctx, &o); err != nil {
		s.known.Helo = name // the journal tells who it was
		s.refuse(err)
		return
	}
	s.reset()
	s.helo, s.known.Helo, s.esmtp = name, name, cmd.Verb != smtp.HELO
	if !s.esmtp {
		s.say(mail.Status{Code: 250, Text: s.s.o.Host})
		return
	}
	s.out = smtp.Reply{Code: 250, Lines: s.offers()}.Append(s.out)
}

// offers are the lines of the answer to EHLO.
func (s *session) offers() []string {
	limits := &s.s.o.Limits
	lines := []string{
		s.s.o.Host,
		"PIPELINING",
		"SIZE " + strconv.FormatInt(limits.Message, 10),
		"8BITMIME",
		"SMTPUTF8",
		"ENHANCEDSTATUSCODES",
		"CHUNKING",
		"DSN",
		"LIMITS RCPTMAX=" + strconv.Itoa(limits.Recipients),
	}
	if s.tls == nil && s.s.tlsConfig(s.kind) != nil {
		lines = append(lines, "STARTTLS")
	}
	if s.tls != nil {
		lines = append(lines, "REQUIRETLS") // RFC 8689 section 3
	}
	if s.account == "" {
		if names := s.mechanisms(); len(names) > 0 {
			lines = append(lines, "AUTH "+strings.Join(names, " "))
		}
	} else {
		lines = append(lines, s.timing()...)
	}
	if s.mayXClient() {
		lines = append(lines, xclientKeywords)
	}
	return append(lines, "HELP")
}

// timing are the extensions by which a sender of ours says when a message is
// to go: RFC 6710, RFC 4865 section 3, RFC 2852 section 3.
func (s *session) timing() []string {
	hold := s.s.o.Limits.Hold
	until := s.s.o.Now().Add(hold).UTC().Format(time.RFC3339)
	return []string{
		"MT-PRIORITY",
		"FUTURERELEASE " + strconv.FormatInt(int64(hold/time.Second), 10) + " " + until,
		"DELIVERBY",
	}
}
