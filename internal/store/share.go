package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"plic/internal/store/engine"
)

// The rights to a mailbox are a note of its account, read when that is opened
// and kept with the mailbox's state; so a change counts for all from the moment
// that it is durable. Notes of the site tell the other way round which accounts
// share with whom.
const aclNotes = "acl/"

func aclKey(m engine.MailboxID) string { return fmt.Sprintf("%s%08x", aclNotes, uint32(m)) }

func sharedKey(who, account string) string {
	return aclNotes + strings.ToLower(who) + "\x00" + account
}

// ErrBadIdentifier says that rights cannot be given to what was named.
var ErrBadIdentifier = errors.New("not an identifier that rights can be given to")

// maxGrants is how many entries an ACL may have.
const maxGrants = 200

// ACL is who but the owner may do what with the mailbox.
func (m *Mailbox) ACL() ACL { return m.visible.Load().acl }

// RightsOf gives the rights of an account in some groups: all to the owner.
func (m *Mailbox) RightsOf(account string, groups ...string) Rights {
	if account == m.account.name {
		return AllRights
	}
	return m.ACL().Of(account, groups...)
}

// ChangeACL changes the mailbox's rights, by what they are. ErrBadIdentifier,
// ErrLimit.
func (m *Mailbox) ChangeACL(ctx context.Context, change func(ACL) ACL) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s := m.account.store
	c, err := s.lock(s.site, m.account)
	if err != nil {
		return err
	}
	defer c.unlock()
	e, err := c.edit(m)
	if err != nil {
		return err
	}
	old := e.next.acl
	next := change(old)
	if err := checkACL(next); err != nil {
		return fmt.Errorf("rights to %s: %w", e.next.rec.Name, err)
	}
	if err := c.setACL(e, next); err != nil {
		return err
	}
	for _, g := range slices.Concat(old, next) {
		if err := c.noteShared(m.account, g.Who, m.account.sharesWith(g.Who, e)); err != nil {
			return err
		}
	}
	return c.finish()
}

func checkACL(l ACL) error {
	if len(l) > maxGrants {
		return ErrLimit
	}
	for _, g := range l {
		if g.Who == "" || len(g.Who) > 300 || hasControl(g.Who) || g.Who[0] == '-' {
			return fmt.Errorf("%.40q: %w", g.Who, ErrBadIdentifier)
		}
	}
	return nil
}

// setACL gives a mailbox its rights in a commit.
func (c *commit) setACL(e *edit, l ACL) error {
	e.next.acl = l
	return c.note(Notes{a: e.m.account}, aclKey(e.next.rec.ID), l.encode())
}

// sharesWith says that a mailbox of the account gives the identifier something,
// one of them as it will be.
func (a *Account) sharesWith(who string, changed *edit) bool {
	for _, n := range a.tree.nodes {
		acl := n.box.head.acl
		if n.box == changed.m {
			acl = changed.next.acl
		}
		if acl.Get(who, false).Rights != 0 {
			return true
		}
	}
	return false
}

// noteShared notes with the site that the account shares with an identifier.
func (c *commit) noteShared(a *Account, who string, on bool) error {
	var value []byte
	if on {
		value = []byte{}
	}
	return c.note(Notes{a: c.s.site}, sharedKey(who, a.name), value)
}

// unshare takes the notes of an account that goes from the site's.
func (c *commit) unshare(a *Account) error {
	for _, n := range a.tree.nodes {
		for _, g := range n.box.head.acl {
			if err := c.noteShared(a, g.Who, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// Sharing lists the other accounts that may share a mailbox with an account in
// some groups, sorted. What it may do there each mailbox says.
func (s *Store) Sharing(ctx context.Context, account string, groups ...string) ([]string, error) {
	var names []string
	all := []string{account, Anyone, Authenticated}
	for _, g := range groups {
		all = append(all, identifiers(g)...)
	}
	for _, who := range all {
		prefix := sharedKey(who, "")
		notes, err := s.Notes().All(ctx, prefix)
		if err != nil {
			return nil, fmt.Errorf("who shares with %s: %w", who, err)
		}
		for _, n := range notes {
			if name := n.Key[len(prefix):]; name != account {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// TellShares is Account.Tell for which accounts share with which.
func (s *Store) TellShares(c chan struct{}) (stop func()) { return s.site.watch.add(c) }

// readACLs gives the mailboxes of an account that is opened their rights.
func (a *Account) readACLs(ctx context.Context) error {
	found := map[string]ACL{}
	for n, err := range a.store.engine.Notes(ctx, a.id, 0, aclNotes) {
		if err != nil {
			return err
		}
		found[n.Key] = decodeACL(n.Value)
	}
	if len(found) == 0 {
		return nil
	}
	for _, n := range a.tree.nodes {
		n.box.head.acl = found[aclKey(n.box.head.rec.ID)]
	}
	return nil
}

// inherit gives a new mailbox the rights of the one above it.
func (p *plan) inherit(e *edit) error {
	acl := p.acl
	for _, above := range slices.Backward(parents(e.next.rec.Name)) {
		if p.real(above) {
			acl = p.state(p.tree().get(above)).acl
			break
		}
	}
	if len(acl) == 0 {
		return nil
	}
	return p.c.setACL(e, acl)
}

// Above gives the mailbox whose right MayCreate decides about a new one: the
// lowest above it, or INBOX.
func (a *Account) Above(name string) *Mailbox {
	t := a.visible.Load()
	for _, above := range slices.Backward(parents(strings.TrimSuffix(name, Separator))) {
		if m := t.get(above); m != nil && !m.visible.Load().rec.NoSelect {
			return m
		}
	}
	return t.get(Inbox)
}
