package imapd

import (
	"context"
	"time"

	"plic/internal/imap"
	"plic/internal/serve"
)

// unauthenticate is UNAUTHENTICATE, RFC 8437: the connection, with its TLS and
// compression, is there for another login; nothing else of the session stays.
func (c *conn) unauthenticate(ctx context.Context, cmd *imap.Command) (reply, error) {
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	l := login{remote: c.remote.Addr()}
	if !c.server.sessions.Enter(l, c.server.o.PerIP) {
		return reply{}, no("LIMIT", "too many connections from your address that have not logged in")
	}
	c.stopNotice()
	c.closeView(ctx)
	c.server.sessions.Leave(c.login)
	serve.LoggedIn(ctx, "")
	c.login, c.account = l, nil
	c.modes = modes{}
	c.patience = time.Now().Add(c.server.o.LoginTimeout)
	return reply{"CAPABILITY " + c.capabilities(), "who are you now?"}, nil
}
