package imapd

import (
	"context"
	"strconv"

	"plic/internal/imap"
	"plic/internal/store"
)

// selectMailbox is SELECT and EXAMINE, RFC 9051 sections 6.3.2 and 6.3.3.
func (c *conn) selectMailbox(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	name, supplied := s.MailboxAs()
	p := s.SelectParams()
	if p.Resync != nil && !c.qresync {
		s.Fail("QRESYNC needs ENABLE QRESYNC") // RFC 7162 section 3.2.5
	}
	if err := s.End(); err != nil && !imap.IsNameError(err) {
		return reply{}, bad(err)
	}
	if p.Resync != nil && p.Resync.Numbers != nil && c.uidOnly {
		return reply{}, errUIDRequired
	}
	if c.view != nil {
		c.closeView(ctx)
		c.out.text("* OK [CLOSED] the mailbox before is closed") // RFC 7162 section 3.2.11
	}
	if err := s.Err(); err != nil {
		return reply{}, bad(err)
	}
	c.condstore = c.condstore || p.CondStore
	v, err := c.open(ctx, name, cmd.Name == "EXAMINE")
	if err != nil {
		return reply{}, err
	}
	c.view = v
	c.describe(ctx, name, supplied)
	if p.Resync != nil {
		if _, err := v.mb.Snapshot(ctx); err != nil { // the view stays as it was told
			return reply{}, err
		}
		if err := c.resync(ctx, p.Resync); err != nil {
			return reply{}, err
		}
	}
	if v.readOnly {
		return reply{"READ-ONLY", "the mailbox is open for reading"}, nil
	}
	return reply{"READ-WRITE", "the mailbox is open"}, nil
}

// open makes a view of a mailbox.
func (c *conn) open(ctx context.Context, name string, readOnly bool) (*view, error) {
	mb, err := c.mailbox(ctx, name, store.MayRead)
	if err != nil {
		return nil, err
	}
	v := &view{mb: mb, who: c.account.Name(), groups: c.groups}
	if err := v.allowed(); err != nil {
		return nil, err
	}
	readOnly = readOnly || c.readOnly || v.rights&changing == 0
	v.readOnly = readOnly
	if v.now, err = mb.Outline(ctx); err != nil {
		return nil, err
	}
	v.seq, v.told = v.now, v.now
	upTo := v.now.UIDNext()
	if readOnly {
		upTo = 0 // nothing is lost by looking
	}
	if v.taken, err = mb.ClaimRecent(ctx, upTo); err != nil {
		return nil, err
	}
	v.takeRecent()
	return v, nil
}

// describe tells what a client needs to know of a mailbox that it has opened.
func (c *conn) describe(ctx context.Context, name, supplied string) {
	v := c.view
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	c.tellFlagNames()
	c.tellExists()
	if i, ok := v.seq.FirstUnseen(); ok && !c.rev2 && !c.uidOnly {
		c.out.text("* OK [UNSEEN ", strconv.Itoa(i+1), "] the first that is not seen")
	}
	c.out.text("* OK [UIDVALIDITY ", number(uint64(v.seq.UIDValidity())), "] UIDs are valid")
	c.out.text("* OK [UIDNEXT ", number(uint64(v.seq.UIDNext())), "] the next UID, at least")
	c.out.text("* OK [HIGHESTMODSEQ ", number(uint64(v.seq.HighestModSeq())), "] of all changes")
	c.out.text("* OK [MAILBOXID (", v.mb.Info().ObjectID, ")] stays with the mailbox")
	if c.rev2 {
		info := v.mb.Info()
		info.Name = name
		if full, err := c.info(ctx, name); err == nil {
			info = full
		}
		c.tellMailbox(info, supplied)
	}
}

// closeView leaves the selected mailbox. What came in the meantime was \Recent
// in this session and is not in the next.
func (c *conn) closeView(ctx context.Context) {
	v := c.view
	c.view = nil
	if v != nil {
		v.turn.next.Close()
	}
	if v == nil || v.readOnly || len(v.recent) == 0 {
		return
	}
	if _, err := v.mb.ClaimRecent(ctx, v.taken); err != nil {
		c.server.o.Log.Debug("imap: recent", "conn", c.id, "err", err)
	}
}
