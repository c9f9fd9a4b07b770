package imapd

import (
	"context"
	"errors"

	"plic/internal/imap"
	"plic/internal/store"
)

// esearch is ESEARCH, RFC 7377: a search in several mailboxes. Those that are not
// there, or that may not be read, are passed over (section 2.2), and those in
// which nothing is found are not told of.
func (c *conn) esearch(ctx context.Context, cmd *imap.Command) (reply, error) {
	sources, q := cmd.Args.ESearch()
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	if len(sources) == 0 {
		sources = []imap.SearchSource{{Kind: imap.SourceSelected}}
	}
	onlySelected := true
	for _, s := range sources {
		selected := s.Kind == imap.SourceSelected
		if onlySelected = onlySelected && selected; selected && c.view == nil {
			return reply{}, bad(errors.New("no mailbox is selected"))
		}
	}
	if err := c.prepare(ctx, &q); err != nil {
		return reply{}, c.unsaved(&q, err)
	}
	if !onlySelected && (q.Return.Save || dependsOnSelected(&q.Key)) {
		return reply{}, bad(errors.New("message numbers and SAVE are of the selected mailbox only"))
	}
	if q.Return.Update {
		c.noUpdate(cmd.Tag, "a result of ESEARCH is not kept up to date")
	}
	names, err := c.sources(ctx, sources)
	if err != nil {
		return reply{}, err
	}
	for _, name := range names {
		if err := c.searchIn(ctx, cmd, q, name); err != nil {
			return reply{}, err
		}
	}
	return reply{}, nil
}

// unsaved is that of the selected mailbox, if there is one: only its results are
// saved.
func (c *conn) unsaved(q *imap.Search, err error) error {
	if c.view != nil {
		return c.view.unsaved(q, err)
	}
	return err
}

// dependsOnSelected says that a search makes sense in the selected mailbox only.
func dependsOnSelected(k *imap.SearchKey) bool {
	if k.Op == imap.SearchNumbers || k.Op == imap.SearchUIDs && k.Set.Saved {
		return true
	}
	for i := range k.Keys {
		if dependsOnSelected(&k.Keys[i]) {
			return true
		}
	}
	return false
}

// sources gives the names of the mailboxes to search, each once; "" is the
// selected one.
func (c *conn) sources(ctx context.Context, all []imap.SearchSource) (names []string, err error) {
	seen := map[string]bool{}
	add := func(name string) {
		if !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	for _, s := range all {
		if s.Kind == imap.SourceSelected {
			seen[c.nameOf(c.view.mb)] = true
			add("")
		}
	}
	for _, s := range all {
		boxes := c.account.Mailboxes()
		switch s.Kind {
		case imap.SourceSelected:
			continue
		case imap.SourceMailboxes:
			for _, name := range s.Names {
				add(name)
			}
			continue
		case imap.SourceSubtree, imap.SourceSubtreeOne, imap.SourceSubscribed:
			if boxes, err = c.reachable(ctx, patternsOf(&s)); err != nil {
				return nil, err
			}
		}
		var of choice
		of.add(&s, imap.MessageEvents)
		for i := range boxes {
			if b := &boxes[i]; !b.NoSelect && of.events(b, true) != 0 {
				add(b.Name)
			}
		}
	}
	return names, nil
}

// patternsOf gives patterns that all mailboxes of a source match, if it may have
// others than one's own.
func patternsOf(s *imap.SearchSource) (patterns []string) {
	switch s.Kind {
	case imap.SourceSubscribed:
		return []string{"*"}
	case imap.SourceMailboxes, imap.SourceSubtree, imap.SourceSubtreeOne:
		for _, name := range s.Names {
			patterns = append(patterns, name, name+"/*")
		}
	}
	return patterns
}

// nameOf is the name of a mailbox in this session.
func (c *conn) nameOf(mb *store.Mailbox) string {
	switch owner := mb.Account().Name(); owner {
	case c.account.Name():
		return mb.Name()
	case c.sharedOwner():
		return sharedTree + mb.Name()
	default:
		return otherUsers + owner + string(imap.Delimiter) + mb.Name()
	}
}

// searchIn runs an ESEARCH in one mailbox.
func (c *conn) searchIn(ctx context.Context, cmd *imap.Command, q imap.Search, name string) error {
	v := c.view
	if name != "" {
		var err error
		if v, err = c.peek(ctx, name); err != nil || v == nil {
			return err
		}
	} else {
		name = c.nameOf(v.mb)
	}
	// the limit of messages is not that of ESEARCH: which mailbox was it reached in?
	f, err := c.find(ctx, v, cmd.Tag, &q, nil, false)
	if err != nil {
		return c.unsaved(&q, err)
	}
	if v == c.view && q.Return.Save {
		v.saved = f.save(q.Return)
	}
	if len(f.uids) == 0 {
		return nil
	}
	to := correlator{tag: cmd.Tag, uid: true, mailbox: name, uidValidity: v.seq.UIDValidity()}
	c.tellExtended(&q, f, f.answer(true), to)
	return nil
}

// peek looks at a mailbox without selecting it; nil if there is none to see.
func (c *conn) peek(ctx context.Context, name string) (*view, error) {
	mb, err := c.mailbox(ctx, name, store.MayRead)
	var r *refusal
	if errors.Is(err, store.ErrNoMailbox) || errors.Is(err, store.ErrNoSelect) || errors.Is(err, store.ErrBadName) || errors.As(err, &r) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	now, err := mb.Snapshot(ctx)
	if errors.Is(err, store.ErrGone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &view{mb: mb, who: c.account.Name(), groups: c.groups, readOnly: true, seq: now, told: now, now: now}, nil
}
