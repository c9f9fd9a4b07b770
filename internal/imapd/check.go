package imapd

import (
	"context"

	"plic/internal/imap"
)

// check is CHECK, RFC 3501 section 6.4.1. There is nothing to do: what was
// acknowledged is on stable storage.
func (c *conn) check(_ context.Context, cmd *imap.Command) (reply, error) {
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	return reply{}, nil
}
