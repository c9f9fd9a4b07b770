package imapd

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"plic/internal/imap"
	"plic/internal/store"
)

// A quota root is an account or a domain, under its name, that has a limit,
// RFC 9208 section 3. Its resources are STORAGE in units of 1024 octets,
// MESSAGE and MAILBOX.

// errNoRoot is the answer for what is no quota root, or none of the user's.
var errNoRoot = no("NONEXISTENT", "there is no such quota root")

// getQuota is GETQUOTA, RFC 9208 section 4.1.1.
func (c *conn) getQuota(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	root := s.AString()
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	if !c.isAdmin() && root != c.account.Name() && root != domainOf(c.account.Name()) {
		return reply{}, errNoRoot
	}
	used, limit, err := c.quotaOf(ctx, root)
	if err != nil {
		return reply{}, err
	}
	if !limited(limit) {
		return reply{}, errNoRoot
	}
	c.tellQuota(root, used, limit)
	return reply{}, nil
}

// getQuotaRoot is GETQUOTAROOT, RFC 9208 section 4.1.2.
func (c *conn) getQuotaRoot(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	name := s.Mailbox()
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	mb, err := c.mailbox(ctx, name, store.MayRead)
	if err != nil {
		return reply{}, err
	}
	owner := mb.Account().Name()
	type quota struct {
		root        string
		used, limit store.Usage
	}
	var found []quota
	for _, root := range []string{owner, domainOf(owner)} {
		if root == "" || root == owner && len(found) > 0 {
			continue
		}
		used, limit, err := c.quotaOf(ctx, root)
		if err != nil {
			return reply{}, err
		}
		if limited(limit) {
			found = append(found, quota{root, used, limit})
		}
	}
	b := append(c.out.line(), "* QUOTAROOT "...)
	b = imap.AppendMailbox(b, name, c.utf8Names())
	for _, q := range found {
		b = imap.AppendAString(append(b, ' '), q.root)
	}
	c.out.end(append(b, '\r', '\n'))
	for _, q := range found {
		c.tellQuota(q.root, q.used, q.limit)
	}
	return reply{}, nil
}

// setQuota is SETQUOTA, RFC 9208 section 4.1.3, for administrators. What is not
// named has the site's limit from then on.
func (c *conn) setQuota(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	root := s.AString()
	s.SP()
	var limit store.Usage
	var cannot error
	s.List(func() {
		word := s.Word()
		s.SP()
		n := s.Number64()
		switch {
		case n == 0: // as zero, and what is not named, is the site's limit
			cannot = no("CANNOT", "a limit of nothing cannot be set; 1 keeps out what is not there yet")
		case word == "STORAGE" && n <= 1<<52:
			limit.Bytes = n << 10
		case word == "MESSAGE":
			limit.Messages = n
		case word == "MAILBOX":
			limit.Mailboxes = n
		default:
			cannot = no("CANNOT", "there is no such resource, or not so much of it: %.40s", word)
		}
	})
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	switch {
	case !c.isAdmin():
		return reply{}, no("NOPERM", "only administrators change quotas")
	case cannot != nil:
		return reply{}, cannot
	}
	if err := c.setLimits(ctx, root, limit); err != nil {
		return reply{}, err
	}
	used, limit, err := c.quotaOf(ctx, root)
	if err == nil && limited(limit) {
		c.tellQuota(root, used, limit)
	}
	return reply{}, err
}

func (c *conn) setLimits(ctx context.Context, root string, limit store.Usage) error {
	if isDomain(root) {
		return c.server.o.Store.SetDomainLimits(ctx, root, limit)
	}
	a, err := c.server.o.Store.Existing(ctx, root)
	if errors.Is(err, store.ErrNoAccount) {
		return errNoRoot
	}
	if err != nil {
		return err
	}
	return a.SetLimits(ctx, limit)
}

// quotaOf is what a root has and may have; no limit if there is no such root.
func (c *conn) quotaOf(ctx context.Context, root string) (used, limit store.Usage, err error) {
	if isDomain(root) {
		return c.server.o.Store.DomainQuota(ctx, root)
	}
	a, err := c.server.o.Store.Existing(ctx, root)
	if errors.Is(err, store.ErrNoAccount) {
		return used, limit, nil
	}
	if err != nil {
		return used, limit, err
	}
	used, limit = a.Quota()
	return used, limit, nil
}

func (c *conn) isAdmin() bool {
	return c.server.o.Admin != nil && c.server.o.Admin(c.account.Name())
}

func domainOf(account string) string {
	for i := len(account) - 1; i >= 0; i-- {
		if account[i] == '@' {
			return account[i+1:]
		}
	}
	return ""
}

// isDomain tells the roots of domains from those of accounts.
func isDomain(root string) bool {
	return domainOf(root) == "" && strings.ContainsRune(root, '.')
}

func limited(limit store.Usage) bool {
	return limit.Bytes > 0 || limit.Messages > 0 || limit.Mailboxes > 0
}

// tellQuota sends a QUOTA response with the resources that have a limit.
func (c *conn) tellQuota(root string, used, limit store.Usage) {
	b := append(c.out.line(), "* QUOTA "...)
	b = imap.AppendAString(b, root)
	b = append(b, " ("...)
	from := len(b)
	tell := func(name string, used, limit int64) {
		if limit <= 0 {
			return
		}
		if len(b) > from {
			b = append(b, ' ')
		}
		b = append(append(b, name...), ' ')
		b = strconv.AppendInt(b, used, 10)
		b = strconv.AppendInt(append(b, ' '), limit, 10)
	}
	tell("STORAGE", (used.Bytes+1023)>>10, max(limit.Bytes>>10, min(limit.Bytes, 1)))
	tell("MESSAGE", used.Messages, limit.Messages)
	tell("MAILBOX", used.Mailboxes, limit.Mailboxes)
	c.out.end(append(b, ")\r\n"...))
}
