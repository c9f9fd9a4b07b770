package imapd

import (
	"context"

	"plic/internal/imap"
	"plic/internal/store"
)

// rename is RENAME, RFC 9051 section 6.3.6. Who has the mailbox selected, be it
// this session, goes on in it.
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
	p, target, err := c.renaming(ctx, from, to)
	if err != nil {
		return reply{}, err
	}
	if err := p.account.Rename(ctx, p.name, target); err != nil {
		return reply{}, c.taken(ctx, to, err)
	}
	if info, err := c.info(ctx, to); err == nil && c.rev2 && supplied != to {
		c.tellMailbox(info, supplied)
	}
	return reply{}, nil
}

// renaming finds the mailbox and its new name in the same account. Another's
// INBOX stays where it is.
func (c *conn) renaming(ctx context.Context, from, to string) (p place, target string, err error) {
	if p, err = c.place(ctx, from); err != nil {
		return p, "", err
	}
	if !p.own() {
		if _, err := c.at(p, store.MayRemove); err != nil {
			return p, "", err
		}
	}
	q, err := c.place(ctx, to)
	if err != nil {
		return p, "", err
	}
	switch {
	case p.account != q.account || q.name == "":
		return p, "", no("CANNOT", "a mailbox stays with its account")
	case !p.own() && p.name == store.Inbox:
		return p, "", no("CANNOT", "another's INBOX cannot be renamed")
	}
	return p, q.name, c.mayCreate(q)
}

// isBelow says that a name is below another in the hierarchy.
func isBelow(name, parent string) bool {
	return len(name) > len(parent) && name[:len(parent)] == parent && name[len(parent)] == imap.Delimiter
}
