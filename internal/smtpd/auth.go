package smtpd

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"

	"plic/internal/auth"
	"plic/internal/mail"
	"plic/internal/sasl"
	"plic/internal/serve"
)

// Authenticator finds out who a client is; FromAuth makes one of auth.Auth.
type Authenticator interface {
	// Mechanisms are those that the peer may use now.
	Mechanisms(p auth.Peer) []string
	// Begin starts an exchange.
	Begin(ctx context.Context, p auth.Peer, mechanism string) (Exchange, error)
}

// Exchange is one SASL exchange. Its errors are those of auth.
type Exchange interface {
	// Next takes a response, nil if there was no initial one.
	Next(ctx context.Context, response []byte) (challenge []byte, done bool, err error)
	// Account is who it was, once done.
	Account() string
}

// FromAuth is an Authenticator that asks a.
func FromAuth(a *auth.Auth) Authenticator { return fromAuth{a} }

type fromAuth struct{ *auth.Auth }

func (f fromAuth) Begin(ctx context.Context, p auth.Peer, mechanism string) (Exchange, error) {
	x, err := f.Auth.Begin(ctx, p, mechanism)
	if err != nil {
		return nil, err
	}
	return x, nil
}

var (
	okAuth        = mail.Reply(235, "2.7.0", "welcome")
	badNoAuthHere = mail.Reply(502, "5.5.1", "AUTH is not offered here")
	badAuthAgain  = mail.Reply(503, "5.5.1", "you are authenticated already")
	badAuthSyntax = mail.Reply(501, "5.5.4", "write AUTH, a mechanism and perhaps a response in base64")
	badBase64     = mail.Reply(501, "5.5.2", "that is not base64")
	badAbort      = mail.Reply(501, "5.7.0", "authentication given up")
	badResponse   = mail.Reply(501, "5.5.2", "that response does not fit the mechanism")
	badLongAuth   = mail.Reply(500, "5.5.6", "authentication response too long")
	badMechanism  = mail.Reply(504, "5.5.4", "this mechanism is not offered")
	badNeedsTLS   = mail.Reply(538, "5.7.11", "this mechanism needs TLS, say STARTTLS first")
	badLogin      = mail.Reply(535, "5.7.8", "user name or password is wrong")
	noAuthNow     = mail.Reply(454, "4.7.0", "authentication is not possible now, try again later")
)

// mechanisms are those on offer in this session.
func (s *session) mechanisms() []string {
	if s.s.o.Auth == nil || !s.kind.submission() {
		return nil
	}
	return s.s.o.Auth.Mechanisms(s.peer())
}

func (s *session) peer() auth.Peer {
	return auth.Peer{Service: s.kind.String(), Remote: s.remote.Addr(), Conn: s.id, TLS: s.tls, Loopback: s.local()}
}

// auth is AUTH, RFC 4954 section 4. Neither responses nor challenges are ever
// logged.
func (s *session) auth(args string) {
	switch {
	case s.s.o.Auth == nil || !s.kind.submission():
		s.refuse(badNoAuthHere)
		return
	case s.helo == "":
		s.refuse(badNoHelo)
		return
	case s.account != "":
		s.refuse(badAuthAgain)
		return
	}
	// No transaction can be open: here MAIL comes after AUTH.
	mechanism, initial, given := strings.Cut(args, " ")
	if mechanism == "" {
		s.refuse(badAuthSyntax)
		return
	}
	x, err := s.s.o.Auth.Begin(s.ctx, s.peer(), mechanism)
	if err != nil {
		s.refuse(authStatus(err))
		return
	}
	var response []byte
	if given {
		if response, err = decode(strings.TrimLeft(initial, " ")); err != nil {
			s.refuse(err)
			return
		}
	}
	s.exchange(x, response)
}

// exchange goes through challenges and responses to the end.
func (s *session) exchange(x Exchange, response []byte) {
	for {
		challenge, done, err := x.Next(s.ctx, response)
		if err != nil {
			s.refuse(authStatus(err))
			return
		}
		if done {
			serve.LoggedIn(s.ctx, x.Account())
			s.account, s.known.Account = x.Account(), x.Account()
			s.say(okAuth)
			return
		}
		s.out = append(base64.StdEncoding.AppendEncode(append(s.out, "334 "...), challenge), "\r\n"...)
		line, err := s.readLine(sasl.MaxResponse)
		switch {
		case errors.Is(err, errTooLong):
			s.refuse(badLongAuth)
			return
		case err != nil:
			s.lineError(line, err)
			return
		case string(line) == "*":
			s.refuse(badAbort)
			return
		}
		if response, err = decode(string(line)); err != nil {
			s.refuse(err)
			return
		}
	}
}

// decode reads a response; "=" stands for an empty one, which is not the same
// as none.
func decode(text string) ([]byte, error) {
	if text == "=" || text == "" {
		return []byte{}, nil
	}
	response, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, badBase64 // its own text would echo the secret
	}
	return response, nil
}

// authStatus is the answer to an exchange that failed, RFC 4954 section 6.
func authStatus(err error) error {
	st := noAuthNow // throttled or in trouble
	switch {
	case errors.Is(err, auth.ErrNoMechanism):
		st = badMechanism
	case errors.Is(err, auth.ErrNeedTLS):
		st = badNeedsTLS
	case errors.Is(err, auth.ErrMalformed):
		st = badResponse
	case errors.Is(err, auth.ErrBad):
		st = badLogin
	}
	return &mail.Failure{Op: "authenticate", Status: st, Err: err}
}
