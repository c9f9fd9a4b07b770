package store

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"plic/internal/store/engine"
)

// plan changes which mailboxes an account has, under the account's lock.
type plan struct {
	c     *commit
	a     *Account
	rec   engine.Account
	nodes []node
	acl   ACL // of new mailboxes that have none above them
	freed freed
}

func (c *commit) plan(a *Account) *plan {
	return &plan{c: c, a: a, rec: a.rec, nodes: slices.Clone(a.tree.nodes)}
}

func (p *plan) tree() *tree { return &tree{nodes: p.nodes} }

// uidValidity gives the next one: it only rises in an account, so no name ever
// has one twice, and one that a name has is above all it had.
func (p *plan) uidValidity() uint32 {
	v := p.rec.NextUIDValidity
	p.rec.NextUIDValidity++
	return v
}

// make puts a new mailbox under a free name, with the UIDVALIDITY that it has
// elsewhere or the next.
func (p *plan) make(rec engine.Mailbox) *edit {
	rec.ID = p.rec.NextMailbox
	p.rec.NextMailbox++
	if rec.UIDValidity == 0 {
		rec.UIDValidity = p.uidValidity()
	}
	p.rec.NextUIDValidity = max(p.rec.NextUIDValidity, rec.UIDValidity+1)
	rec.UIDNext, rec.RecentFrom, rec.HighestModSeq = 1, 1, 1
	rec.Created = p.a.store.o.Now()
	m := newMailbox(p.a, rec)
	e := &edit{m: m, next: &state{rec: rec}, made: true}
	e.change.Account = p.a.id
	p.c.edits = append(p.c.edits, e)
	p.put(rec.Name, m)
	return e
}

func (p *plan) put(name string, m *Mailbox) {
	i, _ := p.tree().find(name)
	p.nodes = slices.Insert(p.nodes, i, node{name, m})
}

func (p *plan) drop(name string) {
	if i, ok := p.tree().find(name); ok {
		p.nodes = slices.Delete(p.nodes, i, i+1)
	}
}

// state is a node's state with what the plan did to it.
func (p *plan) state(m *Mailbox) *state {
	for _, e := range p.c.edits {
		if e.m == m {
			return e.next
		}
	}
	return m.head
}

func (p *plan) record(m *Mailbox) *engine.Mailbox { return &p.state(m).rec }

// real says that there is a mailbox of the name, not only its children or a
// subscription.
func (p *plan) real(name string) bool {
	m := p.tree().get(name)
	return m != nil && !p.record(m).NoSelect
}

// hasBelow says that a mailbox is below the name.
func (p *plan) hasBelow(name string) bool {
	return slices.ContainsFunc(p.tree().below(name), func(n node) bool { return !p.record(n.box).NoSelect })
}

// ensure makes a mailbox of the name, in the place of a \NoSelect one if there
// is one.
func (p *plan) ensure(name, use string, subscribed bool) error {
	m := p.tree().get(name)
	if m == nil {
		if len(p.nodes) >= p.a.store.o.MaxMailboxes {
			return fmt.Errorf("mailbox %s: %w", name, ErrLimit)
		}
		return p.inherit(p.make(engine.Mailbox{Name: name, SpecialUse: use, Subscribed: subscribed}))
	}
	e, err := p.c.edit(m)
	if err != nil {
		return err
	}
	e.next.rec.NoSelect = false
	e.next.rec.SpecialUse = use
	e.next.rec.UIDValidity = p.uidValidity()
	return p.inherit(e)
}

// ensureParents makes what is missing above a name, RFC 9051 section 6.3.4.
func (p *plan) ensureParents(name string) error {
	for _, above := range parents(name) {
		if !p.real(above) {
			if err := p.ensure(above, "", false); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweep drops names that are neither mailbox, nor parent, nor subscribed: what
// the removal of a child leaves of its \NoSelect parents.
func (p *plan) sweep(name string) error {
	for _, above := range slices.Backward(parents(name)) {
		m := p.tree().get(above)
		if m == nil || p.real(above) || p.hasBelow(above) || p.record(m).Subscribed {
			continue
		}
		e, err := p.c.edit(m)
		if err != nil {
			return err
		}
		p.free(above, m.head.rec.UIDValidity)
		e.remove()
		p.drop(above)
	}
	return nil
}

// done puts the plan into the commit.
func (p *plan) done() error {
	p.c.batch.Accounts = append(p.c.batch.Accounts, p.rec)
	p.c.trees = append(p.c.trees, treeEdit{p.a, p.rec, p.tree(), p.freed})
	return p.putFreed()
}

// plan runs one change of the tree from lock to publication.
func (a *Account) plan(ctx context.Context, change func(*plan) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c, err := a.store.lock(a)
	if err != nil {
		return err
	}
	defer c.unlock()
	p := c.plan(a)
	if err := change(p); err != nil {
		return err
	}
	if err := p.done(); err != nil {
		return err
	}
	return c.finish()
}

// uses are the special uses that a mailbox may be made with, RFC 6154 section
// 2 and RFC 8457. \All and \Flagged are views of other mailboxes' messages,
// which there are none of.
func validUse(use string) bool {
	switch use {
	case "", `\Archive`, `\Drafts`, `\Junk`, `\Sent`, `\Trash`, `\Important`:
		return true
	}
	return false
}

// Create makes a mailbox and what is missing above it, RFC 9051 section 6.3.4.
// A trailing separator only says that children will follow. specialUse is "" or
// as in RFC 6154; each is for one mailbox. ErrExists, ErrBadName, ErrSpecialUse,
// ErrLimit.
func (a *Account) Create(ctx context.Context, name, specialUse string) error {
	return a.CreateFor(ctx, name, specialUse, nil)
}

// CreateFor is Create by another than the owner. Rights come from the mailbox
// above; acl is for a new one at the top.
func (a *Account) CreateFor(ctx context.Context, name, specialUse string, acl ACL) error {
	clean, err := CleanName(strings.TrimSuffix(name, Separator))
	if err != nil {
		return err
	}
	if !validUse(specialUse) {
		return fmt.Errorf("create %s: special use %.30q: %w", clean, specialUse, ErrSpecialUse)
	}
	err = a.plan(ctx, func(p *plan) error {
		p.acl = acl
		if p.real(clean) {
			return ErrExists
		}
		for _, n := range p.nodes {
			if specialUse != "" && p.record(n.box).SpecialUse == specialUse {
				return ErrSpecialUse
			}
		}
		if err := p.ensureParents(clean); err != nil {
			return err
		}
		return p.ensure(clean, specialUse, false)
	})
	if err != nil {
		return fmt.Errorf("create %s: %w", clean, err)
	}
	return nil
}

// Delete removes a mailbox with its messages, RFC 9051 section 6.3.5. If others
// are below it, its name stays as \NoSelect; if it is subscribed, that stays.
// ErrNoMailbox, ErrInbox, ErrHasChildren (it is \NoSelect already).
func (a *Account) Delete(ctx context.Context, name string) error {
	clean, err := CleanName(name)
	if err != nil {
		return err
	}
	if clean == Inbox {
		return fmt.Errorf("delete %s: %w", clean, ErrInbox)
	}
	err = a.plan(ctx, func(p *plan) error { return p.delete(clean) })
	if err != nil {
		return fmt.Errorf("delete %s: %w", clean, err)
	}
	return nil
}

func (p *plan) delete(name string) error {
	m := p.tree().get(name)
	if !p.real(name) {
		if m != nil && p.hasBelow(name) {
			return ErrHasChildren
		}
		return ErrNoMailbox
	}
	e, err := p.c.edit(m)
	if err != nil {
		return err
	}
	p.free(name, m.head.rec.UIDValidity)
	e.remove()
	p.drop(name)
	if subscribed := m.head.rec.Subscribed; subscribed || p.hasBelow(name) {
		p.make(engine.Mailbox{Name: name, Subscribed: subscribed, NoSelect: true})
	}
	return p.sweep(name)
}

// Subscribe sets or takes back the subscription to a name, of a mailbox or not,
// RFC 9051 sections 6.3.7 and 6.3.8.
func (a *Account) Subscribe(ctx context.Context, name string, on bool) error {
	clean, err := CleanName(name)
	if err != nil {
		return err
	}
	err = a.plan(ctx, func(p *plan) error { return p.subscribe(clean, on) })
	if err != nil {
		return fmt.Errorf("subscribe %s: %w", clean, err)
	}
	return nil
}

func (p *plan) subscribe(name string, on bool) error {
	m := p.tree().get(name)
	if m == nil {
		if !on {
			return nil
		}
		if len(p.nodes) >= p.a.store.o.MaxMailboxes {
			return ErrLimit
		}
		p.make(engine.Mailbox{Name: name, Subscribed: true, NoSelect: true})
		return nil
	}
	e, err := p.c.edit(m)
	if err != nil {
		return err
	}
	e.next.rec.Subscribed = on
	if !on && e.next.rec.NoSelect && !p.hasBelow(name) {
		p.free(name, m.head.rec.UIDValidity)
		e.remove()
		p.drop(name)
	}
	return nil
}
