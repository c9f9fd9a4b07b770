package imapd

import (
	"context"

	"plic/internal/imap"
)

// rename is RENAME, RFC 9051 section 6.3.6.
func (c *conn) rename(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	from := s.Mailbox()
	s.SP()
	to, supplied := s.MailboxAs()
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	if err := imap.ValidMailboxName(to); err != nil {
		return reply{}, no("CANNOT", "%v", err)
	}
	if c.view != nil && from != "INBOX" && (c.view.mb.Name() == from || isBelow(c.view.mb.Name(), from)) {
		return reply{}, no("INUSE", "the mailbox or one below it is selected; close it first")
	}
	if err := c.account.Rename(ctx, from, to); err != nil {
		return reply{}, err
	}
	if info, err := c.account.Info(to); err == nil && c.rev2 && supplied != to {
		c.tellMailbox(info, supplied)
	}
	return reply{}, nil
}

// isBelow says that a name is below another in the hierarchy.
func isBelow(name, parent string) bool {
	return len(name) > len(parent) && name[:len(parent)] == parent && name[len(parent)] == imap.Delimiter
}
