package imapd

import (
	"context"

	"plic/internal/imap"
)

// logout is LOGOUT, RFC 9051 section 6.1.3.
func (c *conn) logout(_ context.Context, cmd *imap.Command) (reply, error) {
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	c.out.text("* BYE until next time")
	c.leaving = true
	return reply{}, nil
}
