package imapd

import (
	"context"
	"errors"
	"strings"

	"golang.org/x/text/unicode/norm"

	"plic/internal/imap"
	"plic/internal/store"
)

// getACL is GETACL, RFC 4314 section 3.3. The owner has all rights, whatever
// the list says.
func (c *conn) getACL(ctx context.Context, cmd *imap.Command) (reply, error) {
	name, mb, err := c.administered(ctx, cmd.Args, nil)
	if err != nil {
		return reply{}, err
	}
	b := append(c.out.line(), "* ACL "...)
	b = imap.AppendMailbox(b, name, c.utf8Names())
	tell := func(who string, r store.Rights) {
		b = imap.AppendAString(append(b, ' '), who)
		b = imap.AppendAString(append(b, ' '), r.String())
	}
	tell(mb.Account().Name(), store.AllRights)
	for _, g := range mb.ACL() {
		if g.Not {
			tell("-"+g.Who, g.Rights)
		} else {
			tell(g.Who, g.Rights)
		}
	}
	c.out.end(append(b, '\r', '\n'))
	return reply{}, nil
}

// administered reads the name of a mailbox, and what follows it, and finds the
// mailbox if the user may change its rights.
func (c *conn) administered(ctx context.Context, s *imap.Scanner, rest func()) (string, *store.Mailbox, error) {
	s.SP()
	name := s.Mailbox()
	if rest != nil {
		rest()
	}
	if err := s.End(); err != nil {
		return "", nil, bad(err)
	}
	mb, err := c.mailbox(ctx, name, store.MayAdmin)
	return name, mb, err
}

// identifier reads an identifier with the mark of a negative right.
func identifier(s *imap.Scanner) store.Grant {
	s.SP()
	who, not := strings.CutPrefix(s.AString(), "-")
	return store.Grant{Who: norm.NFC.String(strings.ToLower(who)), Not: not}
}

// setACL is SETACL, RFC 4314 section 3.1.
func (c *conn) setACL(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	var g store.Grant
	var op byte
	_, mb, err := c.administered(ctx, s, func() {
		g = identifier(s)
		s.SP()
		text := s.AString()
		if text != "" && (text[0] == '+' || text[0] == '-') {
			op, text = text[0], text[1:]
		}
		r, err := store.ParseRights(text)
		if err != nil {
			s.Fail("%w", err)
		}
		g.Rights = r
	})
	if err != nil {
		return reply{}, err
	}
	return reply{}, c.grant(ctx, mb, g, op)
}

// deleteACL is DELETEACL, RFC 4314 section 3.2.
func (c *conn) deleteACL(ctx context.Context, cmd *imap.Command) (reply, error) {
	var g store.Grant
	_, mb, err := c.administered(ctx, cmd.Args, func() { g = identifier(cmd.Args) })
	if err != nil {
		return reply{}, err
	}
	return reply{}, c.grant(ctx, mb, g, 0)
}

// grant changes the entry of an identifier: sets its rights, or with + or -
// adds or takes some.
func (c *conn) grant(ctx context.Context, mb *store.Mailbox, g store.Grant, op byte) error {
	if strings.EqualFold(g.Who, mb.Account().Name()) {
		if !g.Not && (op == '+' || op == 0 && g.Rights == store.AllRights) {
			return nil
		}
		return no("CANNOT", "the owner has all rights")
	}
	return mb.ChangeACL(ctx, func(l store.ACL) store.ACL {
		had := l.Get(g.Who, g.Not).Rights
		switch op {
		case '+':
			g.Rights |= had
		case '-':
			g.Rights = had &^ g.Rights
		}
		return l.With(g)
	})
}

// listRights is LISTRIGHTS, RFC 4314 section 3.4: each right can be given by
// itself, but for the owner's.
func (c *conn) listRights(ctx context.Context, cmd *imap.Command) (reply, error) {
	var g store.Grant
	name, mb, err := c.administered(ctx, cmd.Args, func() { g = identifier(cmd.Args) })
	if err != nil {
		return reply{}, err
	}
	if g.Who == "" {
		return reply{}, bad(errors.New("an identifier expected"))
	}
	b := append(c.out.line(), "* LISTRIGHTS "...)
	b = imap.AppendMailbox(b, name, c.utf8Names())
	if g.Not {
		b = imap.AppendAString(append(b, ' '), "-"+g.Who)
	} else {
		b = imap.AppendAString(append(b, ' '), g.Who)
	}
	if strings.EqualFold(g.Who, mb.Account().Name()) && !g.Not {
		b = append(append(b, ' '), store.AllRights.String()...)
	} else {
		b = append(b, ` ""`...)
		for _, r := range store.AllRights.String() {
			b = append(b, ' ', byte(r))
		}
	}
	c.out.end(append(b, '\r', '\n'))
	return reply{}, nil
}

// myRights is MYRIGHTS, RFC 4314 section 3.5.
func (c *conn) myRights(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	name := s.Mailbox()
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	mb, err := c.mailbox(ctx, name, 0)
	if err != nil {
		return reply{}, err
	}
	c.tellRights(name, mb.RightsOf(c.account.Name(), c.groups...))
	return reply{}, nil
}

func (c *conn) tellRights(name string, r store.Rights) {
	b := append(c.out.line(), "* MYRIGHTS "...)
	b = imap.AppendMailbox(b, name, c.utf8Names())
	b = append(append(b, ' '), r.String()...)
	c.out.end(append(b, '\r', '\n'))
}

// tellRightsTo sends the MYRIGHTS of a mailbox that LIST lists, RFC 8440.
func (c *conn) tellRightsTo(ctx context.Context, name string) error {
	mb, err := c.mailbox(ctx, name, 0)
	if errors.Is(err, store.ErrNoMailbox) {
		return nil // it has gone since
	}
	if err != nil {
		return err
	}
	c.tellRights(name, mb.RightsOf(c.account.Name(), c.groups...))
	return nil
}
