package pop3d

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"plic/internal/journal"
	"plic/internal/store"
)

// The commands that may be no good in a row, before and after login, and the
// logins that may fail, before we hang up.
const (
	maxBadBefore = 3
	maxBadAfter  = 20
	maxLogins    = 3
)

// session is what a connection has come to: a user name, then a maildrop.
type session struct {
	*conn
	user     string // of USER
	drop     *maildrop
	readOnly bool // the login may change nothing
	bad      int  // commands that were no good, without a good one between
	failed   int  // logins
	leaving  bool
	utf8     bool      // UTF8 was given
	login    time.Time // by when to log in
}

func newSession(c *conn) *session {
	return &session{conn: c, login: time.Now().Add(c.server.o.LoginTimeout)}
}

// refusal is a negative reply: a response code, RFC 2449 section 8, or none,
// and the format of its text.
type refusal struct {
	code, format string
	args         []any
}

// Error is what stands behind -ERR.
func (r *refusal) Error() string {
	text := fmt.Sprintf(r.format, r.args...)
	if r.code != "" {
		text = "[" + r.code + "] " + text
	}
	return text
}

// errorf is a refusal that the client sees.
func errorf(format string, args ...any) error { return &refusal{"", format, args} }

// coded is one with a response code.
func coded(code, format string, args ...any) error { return &refusal{code, format, args} }

// errCut ends the session without a word more.
var errCut = errors.New("cut off")

// run greets and runs commands until one of the two has had enough.
func (s *session) run(ctx context.Context) {
	defer s.close()
	s.ok("plic POP3 is ready")
	for !s.leaving {
		patience := s.login
		if s.drop != nil {
			patience = time.Now().Add(s.server.o.IdleTimeout)
		}
		line, err := s.line(patience)
		if err != nil {
			if code, text := s.lost(err); text != "" {
				s.conn.bad(code, text)
			}
			return
		}
		verb, args, _ := strings.Cut(string(line), " ")
		err = s.command(ctx, strings.ToUpper(verb), args)
		switch err {
		case nil:
			s.bad = 0
			continue
		case errCut:
			return
		}
		s.refuse(err)
		limit := maxBadBefore
		if s.drop != nil {
			limit = maxBadAfter
		}
		if s.bad++; s.bad >= limit || s.failed >= maxLogins {
			return
		}
	}
}

func (s *session) refuse(err error) {
	var r *refusal
	if !errors.As(err, &r) {
		r = &refusal{format: "%s", args: []any{err}}
	}
	s.conn.bad(r.code, r.format, r.args...)
}

// command runs one command, which writes its own positive reply.
func (s *session) command(ctx context.Context, verb, args string) error {
	switch verb {
	case "CAPA":
		return s.capa()
	case "LANG":
		return s.lang(args)
	case "QUIT":
		return s.quit(ctx)
	case "GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "TRACE":
		s.record(journal.Event{Kind: journal.Reject, Reason: "HTTP spoken to POP3"})
		s.leaving = true // a browser was made to speak to us
		return errorf("this is POP3")
	}
	if s.drop == nil {
		return s.authorization(ctx, verb, args)
	}
	return s.transaction(ctx, verb, args)
}

func (s *session) authorization(ctx context.Context, verb, args string) error {
	switch verb {
	case "USER":
		return s.userCommand(args)
	case "PASS":
		return s.pass(ctx, args)
	case "AUTH":
		return s.auth(ctx, args)
	case "STLS":
		return s.stls(ctx)
	case "UTF8":
		return s.utf8Command(args)
	case "STAT", "LIST", "UIDL", "RETR", "TOP", "DELE", "RSET", "NOOP":
		return errorf("log in first")
	}
	return errorf("unknown command")
}

func (s *session) transaction(ctx context.Context, verb, args string) error {
	switch verb {
	case "STAT":
		s.ok("%d %d", s.drop.count, s.drop.octets)
		return nil
	case "LIST":
		return s.list(args)
	case "UIDL":
		return s.uidl(args)
	case "RETR":
		return s.retr(ctx, args)
	case "TOP":
		return s.top(ctx, args)
	case "DELE":
		return s.dele(args)
	case "RSET":
		s.drop.reset()
		s.ok("maildrop has %d messages (%d octets)", s.drop.count, s.drop.octets)
		return nil
	case "NOOP":
		s.ok("still here")
		return nil
	case "USER", "PASS", "AUTH", "STLS", "UTF8":
		return errorf("you are logged in")
	}
	return errorf("unknown command")
}

// capa is CAPA, RFC 2449 section 5.
func (s *session) capa() error {
	s.ok("capabilities follow")
	lines := []string{"TOP", "UIDL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER", "UTF8 USER", "LANG"}
	if delay := s.server.o.LoginDelay; delay > 0 {
		lines = append(lines, "LOGIN-DELAY "+strconv.Itoa(seconds(delay)))
	}
	if s.drop == nil {
		if s.private() {
			lines = append(lines, "USER")
		}
		if m := s.server.o.Auth.Mechanisms(s.peer()); len(m) > 0 {
			lines = append(lines, "SASL "+strings.Join(m, " "))
		}
		if s.mayStartTLS() {
			lines = append(lines, "STLS")
		}
	}
	lines = append(lines, "IMPLEMENTATION plic", ".")
	for _, l := range lines {
		s.out.WriteString(l)
		s.out.WriteString("\r\n")
	}
	return nil
}

// quit is QUIT: in a transaction, the update state of RFC 1939 section 6.
func (s *session) quit(ctx context.Context) error {
	s.leaving = true
	if s.drop == nil {
		s.ok("goodbye")
		return nil
	}
	if err := s.drop.update(ctx); err != nil {
		s.server.o.Log.Error("pop3: delete messages", "account", s.account, "error", err)
		s.record(journal.Event{Kind: journal.Error, Reason: err.Error()})
		return coded("SYS/TEMP", "the messages marked as deleted were not removed")
	}
	s.ok("goodbye")
	return nil
}

// close gives the maildrop back. Without QUIT nothing was deleted.
func (s *session) close() {
	if s.drop == nil {
		return
	}
	s.drop.next.Close()
	if !s.readOnly {
		s.server.o.Locks.unlock(s.account)
	}
	s.record(journal.Event{
		Kind: journal.Read, Mailbox: store.Inbox, Size: s.drop.sent,
		Reason: fmt.Sprintf("%d retrieved, %d deleted", s.drop.retrieved, s.drop.removed),
	})
}
