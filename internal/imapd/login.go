package imapd

import (
	"context"
	"fmt"

	"plic/internal/auth"
	"plic/internal/imap"
	"plic/internal/journal"
	"plic/internal/serve"
)

// logIn is LOGIN, RFC 9051 section 6.2.3.
func (c *conn) logIn(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	user := s.AString()
	s.SP()
	password := s.AString()
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	if !c.isPrivate() {
		return reply{}, no("PRIVACYREQUIRED", "use TLS first")
	}
	who, err := c.server.o.Auth.Password(ctx, c.peer(), user, password)
	if err != nil {
		return reply{}, authError(err)
	}
	return c.loggedInAs(ctx, who)
}

// loggedInAs makes the session the account's.
func (c *conn) loggedInAs(ctx context.Context, who auth.Login) (reply, error) {
	l := login{who.Account, c.remote.Addr()}
	if !c.server.sessions.Enter(l, c.server.o.PerUserIP) {
		return reply{}, no("LIMIT", "too many sessions of this user from this address")
	}
	account, err := c.server.o.Store.Account(ctx, who.Account)
	if err != nil {
		c.server.sessions.Leave(l)
		return reply{}, fmt.Errorf("open account: %w", err)
	}
	c.server.sessions.Leave(c.login)
	serve.LoggedIn(ctx, who.Account)
	c.account, c.groups, c.login, c.readOnly, c.bad = account, who.Groups, l, who.ReadOnly, 0
	c.record(journal.Event{Kind: journal.Read})
	return reply{"CAPABILITY " + c.capabilities(), "logged in"}, nil
}
