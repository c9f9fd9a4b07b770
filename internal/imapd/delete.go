package imapd

import (
	"context"

	"plic/internal/imap"
)

// delete is DELETE, RFC 9051 section 6.3.5.
func (c *conn) delete(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	name := s.Mailbox()
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	if c.view != nil && c.view.mb.Name() == name {
		return reply{}, no("INUSE", "the mailbox is selected; close it first")
	}
	return reply{}, c.account.Delete(ctx, name)
}
