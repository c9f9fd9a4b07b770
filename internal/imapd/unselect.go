package imapd

import (
	"context"

	"plic/internal/imap"
)

// unselect is UNSELECT, RFC 9051 section 6.4.2: CLOSE without removing anything.
func (c *conn) unselect(ctx context.Context, cmd *imap.Command) (reply, error) {
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	c.closeView(ctx)
	return reply{}, nil
}
