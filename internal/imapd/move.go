package imapd

import (
	"context"

	"plic/internal/imap"
)

// move is MOVE and UID MOVE, RFC 9051 section 6.4.8. Where the messages went
// to is told before they are said to be gone.
func (c *conn) move(ctx context.Context, cmd *imap.Command) (reply, error) {
	uids, to, err := c.transferArgs(cmd)
	if err != nil {
		return reply{}, err
	}
	if c.view.readOnly {
		return reply{}, errReadOnly
	}
	if len(uids) == 0 {
		return reply{}, nil
	}
	src, dst, err := c.view.mb.Move(ctx, uids, to)
	if len(src) > 0 {
		c.out.text("* OK [", copyUID(src, dst), "] moved")
	}
	return c.expunged(ctx, err)
}
