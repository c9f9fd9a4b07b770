package pop3d

import (
	"context"
	"encoding/base64"
	"errors"
	"strings"

	"plic/internal/auth"
	"plic/internal/journal"
	"plic/internal/serve"
)

func (s *session) peer() auth.Peer {
	return auth.Peer{
		Service: "pop3", Remote: s.remote.Addr(), Conn: s.id, TLS: s.tls,
		Loopback: s.remote.Addr().IsLoopback(),
	}
}

// private says that a password may be sent as it is.
func (s *session) private() bool { return s.tls != nil || s.remote.Addr().IsLoopback() }

// userCommand is USER, RFC 1939 section 7. It never says whether there is such
// a user.
func (s *session) userCommand(name string) error {
	if !s.private() {
		return authError(auth.ErrNeedTLS)
	}
	if name == "" {
		return errorf("a user name is missing")
	}
	s.user = name
	s.ok("and the password?")
	return nil
}

// pass is PASS; the password is the rest of the line, spaces and all.
func (s *session) pass(ctx context.Context, password string) error {
	if !s.private() {
		return authError(auth.ErrNeedTLS)
	}
	if s.user == "" {
		return errorf("USER comes first")
	}
	user := s.user
	s.user = ""
	who, err := s.server.o.Auth.Password(ctx, s.peer(), user, password)
	if err != nil {
		s.failed++
		return authError(err)
	}
	return s.enter(ctx, who)
}

// auth is AUTH, RFC 5034. Without a mechanism it lists them, as old clients
// expect.
func (s *session) auth(ctx context.Context, args string) error {
	mechanism, initial, given := strings.Cut(args, " ")
	if mechanism == "" {
		s.ok("mechanisms follow")
		for _, m := range s.server.o.Auth.Mechanisms(s.peer()) {
			s.out.WriteString(m + "\r\n")
		}
		s.out.WriteString(".\r\n")
		return nil
	}
	exchange, err := s.server.o.Auth.Begin(ctx, s.peer(), mechanism)
	if err != nil {
		return authError(err)
	}
	var response []byte // nil: no initial response
	if given {
		if response, err = decode(initial); err != nil {
			return err
		}
	}
	for {
		challenge, done, err := exchange.Next(ctx, response)
		if err != nil {
			s.failed++
			return authError(err)
		}
		if done {
			return s.enter(ctx, exchange.Login())
		}
		s.out.WriteString("+ " + base64.StdEncoding.EncodeToString(challenge) + "\r\n")
		line, err := s.line(s.login)
		if err != nil {
			if code, text := s.lost(err); text != "" {
				s.conn.bad(code, text)
			}
			return errCut
		}
		if string(line) == "*" {
			return errorf("given up as asked for")
		}
		if response, err = decode(string(line)); err != nil {
			return err
		}
	}
}

// decode reads a response; "=" is an empty one where nothing would be none.
func decode(text string) ([]byte, error) {
	if text == "=" {
		return []byte{}, nil
	}
	raw, err := base64.StdEncoding.AppendDecode([]byte{}, []byte(text))
	if err != nil {
		return nil, errorf("that is not base64")
	}
	return raw, nil
}

// authError is what a client is told, RFC 3206: AUTH asks the user for another
// password, SYS/TEMP does not.
func authError(err error) error {
	switch {
	case errors.Is(err, auth.ErrBad):
		return coded("AUTH", auth.ErrBad.Error())
	case errors.Is(err, auth.ErrThrottled):
		return coded("SYS/TEMP", auth.ErrThrottled.Error())
	case errors.Is(err, auth.ErrNeedTLS):
		return errorf("encryption is needed for this login: use STLS first")
	case errors.Is(err, auth.ErrNoMechanism), errors.Is(err, auth.ErrMalformed):
		return errorf("%s", err)
	}
	return coded("SYS/TEMP", auth.ErrTemporary.Error())
}

// enter locks and opens the maildrop of whoever has logged in.
func (s *session) enter(ctx context.Context, who auth.Login) error {
	account := who.Account
	alone := !who.ReadOnly // many may read at once, RFC 1939 section 4 locks for what is deleted
	if wait := s.server.tooSoon(account); wait > 0 && alone {
		return coded("LOGIN-DELAY", "the last login was too short a time ago, wait %d seconds", seconds(wait))
	}
	if alone && !s.server.o.Locks.lock(ctx, account, s.nc) {
		return coded("IN-USE", "another session reads this mailbox")
	}
	drop, err := openMaildrop(ctx, s.server.o.Store, account)
	if err != nil {
		if alone {
			s.server.o.Locks.unlock(account)
		}
		s.server.o.Log.Error("pop3: open the inbox", "account", account, "error", err)
		s.record(journal.Event{Kind: journal.Error, Reason: err.Error()})
		return coded("SYS/TEMP", "the mailbox cannot be opened now, try again later")
	}
	s.drop, s.account, s.readOnly = drop, account, who.ReadOnly
	serve.LoggedIn(ctx, account)
	s.server.loggedIn(account)
	s.ok("maildrop has %d messages (%d octets)", drop.count, drop.octets)
	return nil
}

func (s *session) mayStartTLS() bool { return s.tls == nil && s.server.o.TLS != nil }

// stls is STLS, RFC 2595 section 4. Whoever sends anything behind it before TLS
// is up is cut off: somebody else put it there (CVE-2011-0411).
func (s *session) stls(ctx context.Context) error {
	if s.utf8 { // RFC 6856 section 2.1
		return errorf("STLS comes before UTF8")
	}
	if !s.mayStartTLS() {
		return errorf("TLS is not available, or is on already")
	}
	if s.in.Buffered() > 0 {
		s.record(journal.Event{Kind: journal.Reject, Reason: "data injected behind STLS"})
		s.leaving = true
		return errorf("nothing may follow STLS before TLS is up")
	}
	s.ok("begin TLS now")
	if s.out.Flush() != nil || s.handshake(ctx) != nil {
		return errCut
	}
	s.user, s.bad, s.failed = "", 0, 0
	return nil
}
