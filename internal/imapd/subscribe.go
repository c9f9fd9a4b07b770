package imapd

import (
	"context"

	"plic/internal/imap"
)

// subscribe is SUBSCRIBE and UNSUBSCRIBE, RFC 9051 sections 6.3.7 and 6.3.8. A
// name can be subscribed to without a mailbox of it.
func (c *conn) subscribe(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	name := s.Mailbox()
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	on := cmd.Name == "SUBSCRIBE"
	if err := imap.ValidMailboxName(name); err != nil && on {
		return reply{}, no("CANNOT", "%v", err)
	}
	p, err := c.place(ctx, name)
	if err != nil {
		return reply{}, err
	}
	if !p.own() {
		return reply{}, c.subscribeForeign(ctx, p, on)
	}
	return reply{}, c.account.Subscribe(ctx, name, on)
}
