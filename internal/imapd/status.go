package imapd

import (
	"context"
	"strconv"

	"plic/internal/imap"
	"plic/internal/store"
)

// status is STATUS, RFC 9051 section 6.3.11.
func (c *conn) status(_ context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	name := s.Mailbox()
	s.SP()
	items := s.StatusItems()
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	mb, err := c.account.Mailbox(name)
	if err != nil {
		return reply{}, err
	}
	info := mb.Info()
	info.Name = name
	c.tellStatus(info, items)
	return reply{}, nil
}

// tellStatus sends a STATUS response. Asking for HIGHESTMODSEQ says that the
// client knows of mod-sequences, RFC 7162 section 3.1.
func (c *conn) tellStatus(info store.Info, items []imap.StatusItem) {
	b := append(c.out.line(), "* STATUS "...)
	b = imap.AppendMailbox(b, info.Name, c.rev2)
	b = append(b, " ("...)
	for i, item := range items {
		if i > 0 {
			b = append(b, ' ')
		}
		b = append(b, item.String()...)
		b = append(b, ' ')
		b = strconv.AppendUint(b, statusValue(info, item), 10)
		if item == imap.StatusHighestModSeq {
			c.condstore = true
		}
	}
	c.out.end(append(b, ")\r\n"...))
}

func statusValue(info store.Info, item imap.StatusItem) uint64 {
	switch item {
	case imap.StatusMessages:
		return uint64(info.Messages)
	case imap.StatusRecent:
		return 0 // what is \Recent is settled when a mailbox is selected
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
