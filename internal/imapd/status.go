package imapd

import (
	"context"
	"slices"
	"strconv"

	"plic/internal/imap"
	"plic/internal/store"
)

// status is STATUS, RFC 9051 section 6.3.11.
func (c *conn) status(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	name := s.Mailbox()
	s.SP()
	items := s.StatusItems()
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	mb, err := c.mailbox(ctx, name, store.MayRead)
	if err != nil {
		return reply{}, err
	}
	info := mb.Info()
	info.Name = name
	return reply{}, c.tellStatus(ctx, info, items)
}

// tellStatus sends a STATUS response. Asking for HIGHESTMODSEQ says that the
// client knows of mod-sequences, RFC 7162 section 3.1.
func (c *conn) tellStatus(ctx context.Context, info store.Info, items []imap.StatusItem) error {
	info, err := c.looked(ctx, info)
	if err != nil {
		return err
	}
	var recent int
	if slices.Contains(items, imap.StatusRecent) {
		var err error
		if recent, err = c.recentIn(ctx, info); err != nil {
			return err
		}
	}
	var deleted int64
	if slices.Contains(items, imap.StatusDeletedStorage) && info.Deleted > 0 {
		mb, err := c.mailbox(ctx, info.Name, store.MayRead)
		if err != nil {
			return err
		}
		snap, err := mb.Snapshot(ctx)
		if err != nil {
			return err
		}
		deleted = snap.DeletedBytes()
	}
	b := append(c.out.line(), "* STATUS "...)
	b = imap.AppendMailbox(b, info.Name, c.utf8Names())
	b = append(b, " ("...)
	for i, item := range items {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, item.String()...)
		b = append(b, ' ')
		switch item {
		case imap.StatusRecent:
			b = strconv.AppendInt(b, int64(recent), 10)
		case imap.StatusDeletedStorage:
			b = strconv.AppendInt(b, deleted, 10)
		case imap.StatusMailboxID:
			b = append(append(append(b, '('), info.ObjectID...), ')')
		case imap.StatusAppendLimit:
			b = strconv.AppendInt(b, c.server.o.MaxMessage, 10)
		default:
			b = strconv.AppendUint(b, statusValue(info, item), 10)
		}
	}
	c.out.end(append(b, ")\r\n"...))
	if slices.Contains(items, imap.StatusHighestModSeq) {
		c.learnModSeq()
	}
	return nil
}

// looked is what is told of a mailbox after a look at what other programs did.
func (c *conn) looked(ctx context.Context, info store.Info) (store.Info, error) {
	p, err := c.place(ctx, info.Name)
	if err != nil || p.account == nil || !p.account.Kept() {
		return info, err
	}
	mb, err := p.account.Mailbox(p.name)
	if err != nil {
		return info, err
	}
	if err := mb.Sync(ctx); err != nil {
		return info, err
	}
	now := mb.Info()
	now.Name = info.Name
	return now, nil
}

// recentIn counts the messages that no session was told of as \Recent.
func (c *conn) recentIn(ctx context.Context, info store.Info) (int, error) {
	mb, err := c.mailbox(ctx, info.Name, store.MayRead)
	if err != nil {
		return 0, err
	}
	from, err := mb.ClaimRecent(ctx, 0) // takes none
	if err != nil || from >= info.UIDNext {
		return 0, err
	}
	snap, err := mb.Snapshot(ctx)
	if err != nil {
		return 0, err
	}
	return snap.Len() - snap.Search(from), nil
}

func statusValue(info store.Info, item imap.StatusItem) uint64 {
	switch item {
	case imap.StatusMessages:
		return uint64(info.Messages)
	case imap.StatusUIDNext:
		return uint64(info.UIDNext)
	case imap.StatusUIDValidity:
		return uint64(info.UIDValidity)
	case imap.StatusUnseen:
		return uint64(info.Unseen)
	case imap.StatusDeleted:
		return uint64(info.Deleted)
	case imap.StatusSize:
		return uint64(info.Bytes)
	case imap.StatusHighestModSeq:
		return uint64(info.HighestModSeq)
	}
	return 0
}
