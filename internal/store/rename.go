package store

import (
	"context"
	"fmt"
	"slices"
)

// Rename gives a mailbox, and all below it, a new name, RFC 9051 section 6.3.6.
// UIDs stay, and UIDVALIDITY unless the new name has had a higher one before.
// Subscriptions go along. Renaming INBOX moves its messages
// to a new mailbox and leaves INBOX and what is below it. ErrNoMailbox,
// ErrExists, ErrBadName, ErrLimit.
func (a *Account) Rename(ctx context.Context, from, to string) error {
	from, err := CleanName(from)
	if err != nil {
		return err
	}
	if to, err = CleanName(to); err != nil {
		return err
	}
	if from == Inbox {
		err = a.renameInbox(ctx, to)
	} else {
		err = a.plan(ctx, func(p *plan) error { return p.rename(from, to) })
	}
	if err != nil {
		return fmt.Errorf("rename %s to %s: %w", from, to, err)
	}
	return nil
}

func (a *Account) renameInbox(ctx context.Context, to string) error {
	if err := a.Create(ctx, to, ""); err != nil {
		return err
	}
	inbox, err := a.Mailbox(Inbox)
	if err != nil {
		return err
	}
	target, err := a.Mailbox(to)
	if err != nil {
		return err
	}
	snap, err := inbox.Snapshot(ctx)
	if err != nil {
		return err
	}
	uids := make([]UID, 0, snap.Len())
	for _, e := range snap.All() {
		uids = append(uids, e.UID)
	}
	_, _, err = inbox.Move(ctx, uids, target)
	return err
}

func (p *plan) rename(from, to string) error {
	if !p.real(from) && !p.hasBelow(from) {
		return ErrNoMailbox
	}
	if p.real(to) || p.hasBelow(to) {
		return ErrExists
	}
	if isBelow(to, from) {
		return fmt.Errorf("the new name is below the old one: %w", ErrBadName)
	}
	moving := slices.Clone(p.tree().below(from))
	if m := p.tree().get(from); m != nil {
		moving = append([]node{{from, m}}, moving...)
	}
	for _, n := range moving {
		p.drop(n.name)
	}
	for _, n := range moving {
		if err := p.move(n, to+n.name[len(from):]); err != nil {
			return err
		}
	}
	if err := p.ensureParents(to); err != nil {
		return err
	}
	return p.sweep(from)
}

// move puts a node under a new name, in the place of a mere subscription to it.
func (p *plan) move(n node, name string) error {
	if clean, err := CleanName(name); err != nil || clean != name {
		return fmt.Errorf("%.100q below it: %w", name, ErrBadName)
	}
	e, err := p.c.edit(n.box)
	if err != nil {
		return err
	}
	p.free(n.name, n.box.head.rec.UIDValidity)
	e.next.rec.Name = name
	if old := p.tree().get(name); old != nil {
		p.free(name, old.head.rec.UIDValidity)
		gone, err := p.c.edit(old)
		if err != nil {
			return err
		}
		e.next.rec.Subscribed = e.next.rec.Subscribed || old.head.rec.Subscribed
		gone.remove()
		p.drop(name)
	}
	if !p.mayKeep(name, e.next.rec.UIDValidity) {
		e.next.rec.UIDValidity = p.uidValidity()
	}
	p.put(name, n.box)
	return nil
}
