package imapd

import (
	"context"

	"plic/internal/imap"
)

// close is CLOSE, RFC 9051 section 6.4.1: messages marked \Deleted go, and
// nothing is told of it.
func (c *conn) close(ctx context.Context, cmd *imap.Command) (reply, error) {
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	if v := c.view; !v.readOnly && v.now.Deleted() > 0 {
		if _, err := v.mb.Expunge(ctx, nil, true); err != nil {
			return reply{}, err
		}
	}
	c.closeView(ctx)
	return reply{}, nil
}
