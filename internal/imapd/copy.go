package imapd

import (
	"context"
	"slices"
	"strconv"

	"plic/internal/imap"
	"plic/internal/store"
)

// copy is COPY and UID COPY, RFC 9051 section 6.4.7.
func (c *conn) copy(ctx context.Context, cmd *imap.Command) (reply, error) {
	uids, to, err := c.transferArgs(ctx, cmd)
	if err != nil || len(uids) == 0 {
		return reply{}, err
	}
	if n := c.server.o.SaveLimit; len(uids) > n { // all or none, RFC 9738 section 3.1
		return reply{}, errTooMany(n, uids[len(uids)-n])
	}
	src, dst, err := c.view.mb.CopyBut(ctx, uids, to, ^c.changeable(to))
	if err != nil || len(src) == 0 {
		return reply{}, err
	}
	c.happened(ctx, to, "COPY", placedUIDs(dst), nil)
	return reply{copyUID(src, dst), "copied"}, nil
}

// transferArgs reads what COPY and MOVE have in common. Of messages named by
// number all must be there; UIDs that are not are passed over.
func (c *conn) transferArgs(ctx context.Context, cmd *imap.Command) (uids []store.UID, to *store.Mailbox, err error) {
	s := cmd.Args
	s.SP()
	set := s.Set()
	s.SP()
	name := s.Mailbox()
	if err := s.End(); err != nil {
		return nil, nil, bad(err)
	}
	spans, err := c.view.spans(set, byUID(cmd))
	if err != nil {
		return nil, nil, err
	}
	uids, missing := c.view.uids(spans)
	if missing && !passesOver(cmd, set) {
		return nil, nil, no("EXPUNGEISSUED", "some of the messages are gone")
	}
	to, err = c.target(ctx, name)
	return uids, to, err
}

// passesOver says that a command has nothing to say of messages that are gone: those
// named by UID, and those in "$", which leave it as they go, RFC 5182 section 2.1.
func passesOver(cmd *imap.Command, set imap.Set) bool { return byUID(cmd) || set.Saved }

// copyUID writes the code of RFC 4315 section 3: both sets in the same order.
func copyUID(src []store.UID, dst []store.Placed) string {
	b := append([]byte(nil), "COPYUID "...)
	b = strconv.AppendUint(b, uint64(dst[0].UIDValidity), 10)
	b = append(b, ' ')
	b = imap.AppendNumbers(b, func(yield func(uint32) bool) {
		for uid := range slices.Values(src) {
			if !yield(uint32(uid)) {
				return
			}
		}
	})
	b = append(b, ' ')
	b = imap.AppendNumbers(b, func(yield func(uint32) bool) {
		for i := range dst {
			if !yield(uint32(dst[i].UID)) {
				return
			}
		}
	})
	return string(b)
}
