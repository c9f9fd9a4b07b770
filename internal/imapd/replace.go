package imapd

import (
	"context"
	"errors"

	"plic/internal/imap"
	"plic/internal/store"
	"plic/internal/store/engine"
)

// replace is REPLACE and UID REPLACE, RFC 8508: the new message comes and the
// old one goes in one change.
func (c *conn) replace(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	number := s.Number()
	s.SP()
	name := s.Mailbox()
	if number == 0 {
		s.Fail("messages are counted from 1")
	}
	if err := s.Err(); err != nil {
		return reply{}, bad(err)
	}
	a := arrivals{c: c, s: s, replaces: true}
	defer a.discard()
	var uid store.UID
	find := func() (err error) {
		if err := c.view.need(store.MayDelete | store.MayExpunge); err != nil {
			return err
		}
		if uid, err = c.only(number, byUID(cmd)); err != nil {
			return err
		}
		a.to, err = c.target(ctx, name)
		return err
	}
	if err := a.message(ctx, find); err != nil {
		return reply{}, err
	}
	if !a.s.Done() || c.unread != nil {
		return reply{}, bad(errors.New("a message is replaced by one"))
	}
	t := c.server.o.Store.Begin()
	a.in[0].Flags = c.permitted(a.to, a.in[0].Flags)
	t.Deliver(a.to, a.in[0])
	t.Replace(c.view.mb, uid)
	placed, err := t.Commit(ctx)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return reply{}, errNotThere
	case err != nil:
		return reply{}, err
	}
	c.happened(ctx, a.to, "APPEND", placedUIDs(placed), nil)
	c.out.text("* OK [", appendUID(placed), "] kept in place of the other")
	return c.expunged(ctx, nil)
}

// errNotThere is the answer when the one message of a command is gone.
var errNotThere = no("EXPUNGEISSUED", "the message is gone")

// only finds the one message that a number or a UID names.
func (c *conn) only(number uint32, byUID bool) (store.UID, error) {
	one := imap.Set{Ranges: []imap.Range{{Lo: number, Hi: number}}}
	spans, err := c.view.spans(one, byUID)
	if err != nil {
		return 0, err
	}
	uids, _ := c.view.uids(spans)
	if len(uids) != 1 {
		return 0, errNotThere
	}
	return uids[0], nil
}
