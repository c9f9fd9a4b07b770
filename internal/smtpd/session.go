package smtpd

import (
	"bytes"
	"errors"
	"net"

	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/smtp"
)

// session is what a client has told of itself; the zero one knows nothing.
type session struct {
	*conn
	helo     string
	toldHelo string // by XCLIENT, in the place of helo
	esmtp    bool   // it said EHLO or LHLO
	account  string // who authenticated
	tx       transaction
}

// transaction is one message on its way in; the zero one has not begun.
type transaction struct {
	env    *mail.Envelope // since MAIL
	in     *receiver      // since DATA or the first BDAT
	failed bool           // a BDAT was refused
	over   int            // recipients beyond the limit
}

var (
	okReset      = mail.Reply(250, "2.0.0", "ok")
	badCommand   = mail.Reply(500, "5.5.1", "unknown command")
	badNoArgs    = mail.Reply(501, "5.5.4", "this command has no parameters")
	badOrder     = mail.Reply(503, "5.5.1", "not now")
	badNoHelo    = mail.Reply(503, "5.5.1", "say EHLO first")
	badNoMail    = mail.Reply(503, "5.5.1", "say MAIL first")
	badNoRcpt    = mail.Reply(503, "5.5.1", "no valid recipients")
	badLong      = mail.Reply(500, "5.5.2", "line too long")
	badBare      = mail.Reply(500, "5.5.2", "end lines with CRLF, not with a bare LF")
	byeForeign   = mail.Reply(554, "5.5.1", "this is not the protocol spoken here, closing")
	byeEarly     = mail.Reply(554, "5.5.1", "you talked before you were greeted, closing")
	byePipelined = mail.Reply(554, "5.5.0", "improper pipelining, closing")
	byeErrors    = mail.Reply(421, "4.7.0", "too many errors, closing")
	byeJunk      = mail.Reply(421, "4.7.0", "too many commands without a message, closing")
	byeIdle      = mail.Reply(421, "4.4.2", "time-out, closing")
	byeStop      = mail.Reply(421, "4.3.2", "shutting down, try again later")
	byeForeigner = mail.Reply(554, "5.7.1", "LMTP is for programs on this host, closing")
)

// greet says who we are, or why we will not talk.
func (s *session) greet() {
	o := s.origin("", false)
	refusal := s.s.o.Guard.Client(s.ctx, &o)
	switch {
	case refusal != nil:
		s.rejected(mail.StatusOf(refusal), refusal)
		s.say(mail.StatusOf(refusal))
		s.end, s.linger = true, true
	case s.kind == LMTP && !s.local():
		s.bye(byeForeigner)
	case s.kind == MX && !s.s.o.AllowEarly && early(s.nc):
		s.bye(byeEarly)
	case s.kind == LMTP:
		s.say(mail.Status{Code: 220, Text: s.s.o.Host + " LMTP"})
	default:
		s.say(mail.Status{Code: 220, Text: s.s.o.Host + " ESMTP"})
	}
}

// command carries out one line. It returns the session to go on with.
func (s *session) command(line []byte) *session {
	if s.kind.submission() {
		line = smtp.MendHello(line) // a user's mail does not fail for the name of the computer
	}
	cmd, err := smtp.ParseCommand(line)
	if foreign(line, err != nil) {
		s.bye(byeForeign)
		return s
	}
	if err != nil {
		s.refuse(err)
		return s
	}
	switch cmd.Verb {
	case smtp.EHLO, smtp.HELO, smtp.LHLO:
		s.hello(cmd)
	case smtp.STARTTLS:
		return s.startTLS(cmd.Args)
	case smtp.AUTH:
		s.auth(cmd.Args)
	case smtp.MAIL:
		s.mail(cmd.Args)
	case smtp.RCPT:
		s.rcpt(cmd.Args)
	case smtp.DATA:
		s.data(cmd.Args)
	case smtp.BDAT:
		s.bdat(cmd.Args)
	case smtp.RSET:
		s.rset(cmd.Args)
	case smtp.NOOP:
		s.noop()
	case smtp.VRFY:
		s.vrfy(cmd.Args)
	case smtp.EXPN:
		s.expn()
	case smtp.HELP:
		s.help()
	case smtp.XCLIENT:
		return s.xclient(cmd.Args)
	case smtp.QUIT:
		s.quit(cmd.Args)
	default:
		s.refuse(badCommand)
	}
	return s
}

// foreign recognises the first line of another protocol: HTTP, which a
// browser can be made to send us, or TLS where none was asked for. Nothing
// that follows it may be run.
func foreign(line []byte, unprintable bool) bool {
	if len(line) == 0 || string(line) == "*" { // Go's clients give up an AUTH that was refused already
		return false
	}
	if c := line[0] | 0x20; c < 'a' || c > 'z' {
		return unprintable || line[0] > ' '
	}
	word, _, _ := bytes.Cut(line, []byte{' '})
	switch string(bytes.ToUpper(word[:min(len(word), 8)])) {
	case "GET", "POST", "PUT", "HEAD", "CONNECT", "OPTIONS", "DELETE", "PATCH", "TRACE", "PRI":
		return true
	}
	return false
}

// lineError ends or mends a session after a line, or message data, that could
// not be read.
func (s *session) lineError(line []byte, err error) {
	var timeout net.Error
	switch {
	case errors.Is(err, errTooLong):
		s.refuse(badLong)
	case errors.Is(err, errBare) && foreign(line, true):
		s.bye(byeForeign)
	case errors.Is(err, errBare):
		s.refuse(badBare)
	case errors.Is(err, errLost):
		s.bye(badLong)
	case s.stopped():
		s.bye(byeStop)
	case errors.As(err, &timeout) && timeout.Timeout():
		s.bye(byeIdle)
	default:
		s.end = true // it has gone without QUIT
	}
}

// expired ends a session whose time is over, between two commands.
func (s *session) expired() bool {
	switch {
	case s.stopped():
		s.bye(byeStop)
	case s.s.o.Now().Sub(s.last) > s.s.o.Limits.Progress:
		s.bye(byeIdle)
	}
	return s.end
}

// refuse answers with an error and counts it: after some the answer waits,
// after more the session ends. Faults of ours, class 4, do not count. to is
// the recipient that was refused, if the whole transaction was not.
func (s *session) refuse(err error, to ...mail.Recipient) {
	st := mail.StatusOf(err)
	limits := s.limits()
	if st.Class() == mail.Permanent {
		s.errors++
	}
	if s.errors > limits.HardErrors {
		s.rejected(st, err, to...)
		s.bye(byeErrors)
		return
	}
	if s.errors > limits.SoftErrors {
		s.flush()
		if s.s.o.Wait(s.ctx, limits.ErrorDelay) != nil {
			s.end = true
		}
	}
	s.rejected(st, err, to...)
	s.say(st)
}

// rejected records a refusal with what is known of the transaction, and what
// the cause says beyond the status.
func (s *session) rejected(st mail.Status, cause error, to ...mail.Recipient) {
	if s.s.o.Journal == nil {
		return
	}
	e := journal.Event{Kind: journal.Reject, Status: st.String(), Reason: mail.Cause(cause)}
	if env := s.tx.env; env != nil {
		e.Message, e.From = env.ID, env.From.String()
		if to == nil {
			to = env.To
		}
	}
	for i := range to {
		e.To = append(e.To, to[i].Address.String())
	}
	s.record(e)
}

// idle counts commands that bring no mail nearer; it says whether to go on.
func (s *session) idle() bool {
	if s.junk++; s.junk > s.limits().Junk {
		s.bye(byeJunk)
		return false
	}
	return true
}

// bye answers for the last time.
func (s *session) bye(st mail.Status) {
	s.rejected(st, nil)
	s.say(st)
	s.end, s.linger = true, true
}

// reset begins a zero transaction.
func (s *session) reset() {
	if s.tx.in != nil {
		s.tx.in.abort()
	}
	s.tx = transaction{}
	s.receiving(false)
	s.setBusy(false)
}
