package imapd

import (
	"context"

	"plic/internal/imap"
	"plic/internal/store"
)

// delete is DELETE, RFC 9051 section 6.3.5. A mailbox that the session has selected
// is closed by it; other sessions in it end.
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
		_, err := c.at(p, store.MayRemove)
		if info, seen := c.info(ctx, name); seen == nil && info.NoSelect {
			err = store.ErrHasChildren
		}
		if err != nil {
			return reply{}, err
		}
	}
	selected := c.view != nil && c.view.mb.Account() == p.account && c.view.mb.Name() == p.name
	if err := p.account.Delete(ctx, p.name); err != nil {
		return reply{}, err
	}
	if selected {
		c.closeView(ctx)
		c.out.text("* OK [CLOSED] the mailbox is gone")
	}
	return reply{}, nil
}
