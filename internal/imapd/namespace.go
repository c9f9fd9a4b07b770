package imapd

import (
	"context"

	"plic/internal/imap"
)

// namespace is NAMESPACE, RFC 9051 section 6.3.10: one's own, those of other
// users, and what is shared.
func (c *conn) namespace(_ context.Context, cmd *imap.Command) (reply, error) {
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	shared := "NIL"
	if c.sharedOwner() != "" {
		shared = `(("` + sharedTree + `" "/"))`
	}
	c.out.text(`* NAMESPACE (("" "/")) (("`, otherUsers, `" "/")) `, shared)
	return reply{}, nil
}
