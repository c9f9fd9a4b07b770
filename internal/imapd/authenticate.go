package imapd

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"plic/internal/auth"
	"plic/internal/imap"
)

// maxResponse bounds a SASL response line, in octets of base64.
const maxResponse = 12288

// authenticate is AUTHENTICATE, RFC 9051 section 6.2.2, with the initial
// response of RFC 4959.
func (c *conn) authenticate(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	mechanism := s.Word()
	var initial []byte
	given := s.Take(' ')
	if given {
		text := s.AString()
		if text != "=" {
			var err error
			if initial, err = base64.StdEncoding.Strict().DecodeString(text); err != nil {
				s.Fail("the initial response is not base64")
			}
		}
		if initial == nil {
			initial = []byte{} // empty is not absent
		}
	}
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	x, err := c.server.o.Auth.Begin(ctx, c.peer(), mechanism)
	if err != nil {
		return reply{}, authError(err)
	}
	response := initial
	for {
		challenge, done, err := x.Next(ctx, response)
		if err != nil {
			return reply{}, authError(err)
		}
		if done {
			return c.loggedInAs(ctx, x.Login())
		}
		if response, err = c.challenge(challenge); err != nil {
			return reply{}, err
		}
	}
}

// challenge sends a challenge and reads the response.
func (c *conn) challenge(challenge []byte) ([]byte, error) {
	c.out.text("+ ", base64.StdEncoding.EncodeToString(challenge))
	if err := c.out.flush(); err != nil {
		return nil, err
	}
	line, err := c.in.readLine(nil, maxResponse)
	if errors.Is(err, imap.ErrTooBig) {
		return nil, bad(errors.New("the response is too long"))
	}
	if err != nil {
		return nil, err
	}
	if string(line) == "*" {
		return nil, bad(errors.New("given up by the client"))
	}
	response, err := base64.StdEncoding.Strict().DecodeString(string(line))
	if err != nil || strings.ContainsAny(string(line), "\r\n") {
		return nil, bad(errors.New("the response is not base64"))
	}
	return response, nil
}

// authError says why nobody was logged in, RFC 5530 section 3.
func authError(err error) error {
	switch {
	case errors.Is(err, auth.ErrBad):
		return no("AUTHENTICATIONFAILED", "user name or password are not right")
	case errors.Is(err, auth.ErrMalformed):
		return bad(err)
	case errors.Is(err, auth.ErrThrottled):
		return no("UNAVAILABLE", "too many failed logins, try again later")
	case errors.Is(err, auth.ErrNoMechanism):
		return no("CANNOT", "there is no such mechanism, or not here")
	case errors.Is(err, auth.ErrNeedTLS):
		return no("PRIVACYREQUIRED", "use TLS first")
	case errors.Is(err, auth.ErrTemporary):
		return no("UNAVAILABLE", "logins do not work at present, try again later")
	}
	return fmt.Errorf("authenticate: %w", err)
}
