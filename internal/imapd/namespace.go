package imapd

import (
	"context"

	"plic/internal/imap"
)

// namespace is NAMESPACE, RFC 9051 section 6.3.10: there is one, the user's own.
func (c *conn) namespace(_ context.Context, cmd *imap.Command) (reply, error) {
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	c.out.text(`* NAMESPACE (("" "/")) NIL NIL`)
	return reply{}, nil
}
