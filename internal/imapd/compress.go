package imapd

import (
	"context"
	"errors"

	"plic/internal/deflate"
	"plic/internal/imap"
	"plic/internal/journal"
)

// compress is COMPRESS, RFC 4978. Who sends anything behind it that is not yet
// compressed is cut off, as with STARTTLS.
func (c *conn) compress(_ context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	mechanism := s.Word()
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	if mechanism != "DEFLATE" {
		return reply{}, bad(errors.New("only DEFLATE is known"))
	}
	if c.packed != nil {
		return reply{}, no("COMPRESSIONACTIVE", "the connection is compressed")
	}
	if c.in.buffered() > 0 {
		c.record(journal.Event{Kind: journal.Reject, Reason: "data injected behind COMPRESS"})
		return reply{}, &refusal{"BYE", "", "nothing may follow COMPRESS before it is answered"}
	}
	c.out.text(cmd.Tag, " OK compressed from here on")
	if err := c.out.flush(); err != nil {
		return reply{}, err
	}
	c.packed = deflate.NewConn(c.nc)
	c.nc, c.out.conn = c.packed, c.packed
	c.in.swap(c.packed)
	c.bad = 0
	return reply{}, errAnswered
}
