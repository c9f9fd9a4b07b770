package imapd

import (
	"context"

	"plic/internal/imap"
	"plic/internal/store"
)

// move is MOVE and UID MOVE, RFC 9051 section 6.4.8. Where the messages went
// to is told before they are said to be gone.
func (c *conn) move(ctx context.Context, cmd *imap.Command) (reply, error) {
	uids, to, err := c.transferArgs(ctx, cmd)
	if err != nil {
		return reply{}, err
	}
	if err := c.view.need(store.MayDelete | store.MayExpunge); err != nil {
		return reply{}, err
	}
	if len(uids) == 0 {
		return reply{}, nil
	}
	uids, lowest := c.limitUIDs(uids)
	src, dst, err := c.view.mb.MoveBut(ctx, uids, to, ^c.changeable(to))
	if len(src) > 0 {
		c.out.text("* OK [", copyUID(src, dst), "] moved")
		c.happened(ctx, to, "COPY", placedUIDs(dst), nil)
	}
	r, err := c.expunged(ctx, err)
	return c.limited(r, err, lowest)
}
