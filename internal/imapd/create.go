package imapd

import (
	"context"
	"errors"
	"strings"

	"plic/internal/imap"
	"plic/internal/store"
)

// create is CREATE, RFC 9051 section 6.3.4, with the special use of RFC 6154
// section 3.
func (c *conn) create(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	name, supplied := s.MailboxAs()
	var uses []string
	if s.Take(' ') {
		s.List(func() {
			if word := s.Word(); word != "USE" {
				s.Fail("CREATE knows no parameter %.40s", word)
				return
			}
			s.SP()
			uses = s.Flags()
		})
	}
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	name = strings.TrimSuffix(name, string(imap.Delimiter))
	if err := imap.ValidMailboxName(name); err != nil {
		return reply{}, no("CANNOT", "%v", err)
	}
	use, err := specialUse(uses)
	if err != nil {
		return reply{}, err
	}
	p, err := c.place(ctx, name)
	if err != nil {
		return reply{}, err
	}
	if err := c.mayCreate(p); err != nil {
		return reply{}, err
	}
	if err := p.create(ctx, use); err != nil {
		return reply{}, c.taken(ctx, name, err)
	}
	info, err := c.info(ctx, name)
	if err != nil {
		return reply{}, nil // it may be hidden from who made it
	}
	supplied = strings.TrimSuffix(supplied, string(imap.Delimiter))
	if c.rev2 && supplied != name {
		c.tellMailbox(info, supplied)
	}
	return reply{"MAILBOXID (" + info.ObjectID + ")", "made"}, nil // RFC 8474 section 4.1
}

// mayCreate says whether the user may make a mailbox in a place. Whether there
// is one is not told to who may not.
func (c *conn) mayCreate(p place) error {
	switch {
	case p.own():
		return nil
	case p.account == nil:
		return errNoRight
	}
	need := store.MayLookup | store.MayCreate
	if above := p.account.Above(p.name); above == nil || !above.RightsOf(c.account.Name(), c.groups...).Has(need) {
		return errNoRight
	}
	return nil
}

// taken makes of the error that a name is taken, if it is so by what the user may not
// look up, that there is no right to it. That it cannot be had must be told.
func (c *conn) taken(ctx context.Context, name string, err error) error {
	if errors.Is(err, store.ErrExists) {
		if _, hidden := c.info(ctx, name); hidden != nil {
			return errNoRight
		}
	}
	return err
}

// create makes a mailbox. One at the top of another's tree has the rights that
// INBOX has.
func (p place) create(ctx context.Context, use string) error {
	if p.own() {
		return p.account.Create(ctx, p.name, use)
	}
	inbox, err := p.account.Mailbox(store.Inbox)
	if err != nil {
		return err
	}
	return p.account.CreateFor(ctx, p.name, use, inbox.ACL())
}

// specialUse gives the one use, in the spelling of RFC 6154.
func specialUse(uses []string) (string, error) {
	if len(uses) == 0 {
		return "", nil
	}
	if len(uses) > 1 {
		return "", no("USEATTR", "a mailbox has one special use")
	}
	for _, use := range [...]string{`\Archive`, `\Drafts`, `\Junk`, `\Sent`, `\Trash`, `\Important`} {
		if equalFold(use, uses[0]) {
			return use, nil
		}
	}
	return "", no("USEATTR", "there is no such special use here")
}
