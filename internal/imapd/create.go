package imapd

import (
	"context"
	"strings"

	"plic/internal/imap"
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
	if err := c.account.Create(ctx, name, use); err != nil {
		return reply{}, err
	}
	supplied = strings.TrimSuffix(supplied, string(imap.Delimiter))
	if info, err := c.account.Info(name); err == nil && c.rev2 && supplied != name {
		c.tellMailbox(info, supplied)
	}
	return reply{}, nil
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
