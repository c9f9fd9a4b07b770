package imapd

import (
	"context"

	"plic/internal/imap"
)

// noop is NOOP, RFC 9051 section 6.1.2: what is new is told before its answer.
func (c *conn) noop(_ context.Context, cmd *imap.Command) (reply, error) {
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	return reply{}, nil
}
