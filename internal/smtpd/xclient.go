package smtpd

import (
	"net/netip"
	"strconv"
	"strings"

	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/serve"
	"plic/internal/smtp"
)

var (
	badXClient      = mail.Reply(550, "5.7.1", "XCLIENT is not for you")
	badXClientArgs  = mail.Reply(501, "5.5.4", "XCLIENT takes NAME=, ADDR=, PORT=, HELO=, LOGIN=, DESTADDR= and DESTPORT=")
	xclientKeywords = "XCLIENT NAME ADDR PORT HELO LOGIN DESTADDR DESTPORT"
)

// mayXClient says that the peer is a proxy that we believe when it tells for
// whom it speaks.
func (s *session) mayXClient() bool { return mail.Within(s.s.o.XClient, s.socket.Addr()) }

// xclient is XCLIENT, as Postfix has documented it: what follows counts as said
// by another client. The session begins anew with a greeting.
func (s *session) xclient(args string) *session {
	switch {
	case !s.mayXClient():
		s.refuse(badXClient)
		return s
	case s.tx.env != nil:
		s.refuse(badOrder)
		return s
	}
	next := &session{conn: s.conn}
	remote, ours, name := s.remote, s.ours, s.known.Name
	for pair := range strings.FieldsSeq(args) {
		key, value, ok := strings.Cut(pair, "=")
		value, err := smtp.DecodeXtext(value)
		if !ok || err != nil {
			s.refuse(badXClientArgs)
			return s
		}
		if strings.EqualFold(value, "[UNAVAILABLE]") || strings.EqualFold(value, "[TEMPUNAVAIL]") {
			value = ""
		}
		switch strings.ToUpper(key) {
		case "NAME":
			name = value
		case "ADDR":
			remote, ok = withAddr(remote, value)
		case "PORT":
			remote, ok = withPort(remote, value)
		case "DESTADDR":
			ours, ok = withAddr(ours, value)
		case "DESTPORT":
			ours, ok = withPort(ours, value)
		case "HELO":
			next.toldHelo = value
		case "LOGIN":
			next.account = value
		case "PROTO":
		default:
			ok = false
		}
		if !ok {
			s.refuse(badXClientArgs)
			return s
		}
	}
	s.reset()
	s.remote, s.ours = remote, ours
	serve.Behind(s.ctx, remote, next.account)
	s.known.Name, s.known.Helo, s.known.Account, s.known.Remote = name, "", next.account, remote.String()
	s.record(journal.Event{Kind: journal.Connect, Reason: "as " + s.socket.String() + " tells by XCLIENT"})
	next.greet()
	return next
}

// withAddr is an endpoint with another address, written as 192.0.2.1 or
// IPV6:2001:db8::1.
func withAddr(ap netip.AddrPort, text string) (netip.AddrPort, bool) {
	if text == "" {
		return ap, true
	}
	if len(text) > 5 && strings.EqualFold(text[:5], "IPv6:") {
		text = text[5:]
	}
	addr, err := netip.ParseAddr(text)
	return netip.AddrPortFrom(addr.Unmap().WithZone(""), ap.Port()), err == nil
}

func withPort(ap netip.AddrPort, text string) (netip.AddrPort, bool) {
	if text == "" {
		return ap, true
	}
	n, err := strconv.ParseUint(text, 10, 16)
	return netip.AddrPortFrom(ap.Addr(), uint16(n)), err == nil
}
