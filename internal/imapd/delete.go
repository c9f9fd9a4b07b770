package imapd

import (
	"context"

	"plic/internal/imap"
	"plic/internal/store"
)

// delete is DELETE, RFC 9051 section 6.3.5.
func (c *conn) delete(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	name := s.Mailbox()
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	p, err := c.place(ctx, name)
	if err != nil {
		return reply{}, err
	}
	if !p.own() {
		if _, err := c.at(p, store.MayRemove); err != nil {
			return reply{}, err
		}
	}
	if v := c.view; v != nil && v.mb.Account() == p.account && v.mb.Name() == p.name {
		return reply{}, no("INUSE", "the mailbox is selected; close it first")
	}
	return reply{}, p.account.Delete(ctx, p.name)
}
