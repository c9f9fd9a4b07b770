package imapd

import (
	"context"

	"plic/internal/imap"
	"plic/internal/store"
)

// close is CLOSE, RFC 9051 section 6.4.1: messages marked \Deleted go, and
// nothing is told of it.
func (c *conn) close(ctx context.Context, cmd *imap.Command) (reply, error) {
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	r, v := reply{}, c.view
	if v.need(store.MayExpunge) == nil && v.now.Deleted() > 0 {
		before := v.now
		_, err := v.mb.Expunge(ctx, nil, true)
		if r, err = c.expunged(ctx, err); err != nil {
			return reply{}, err
		}
		if v.seq != before || v.now.HighestModSeq() != before.HighestModSeq()+1 {
			r = reply{c.behind(), "closed"} // others have changed what is not told now
		}
	}
	c.closeView(ctx)
	return r, nil
}
