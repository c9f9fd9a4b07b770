package imapd

import (
	"context"
	"strconv"

	"plic/internal/imap"
)

// enable is ENABLE, RFC 9051 section 6.3.1. What is not known is passed over.
func (c *conn) enable(_ context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	var enabled string
	rev2, condstore, utf8 := false, false, false
	for {
		s.SP()
		switch s.Word() {
		case "IMAP4REV2":
			rev2 = true
		case "CONDSTORE":
			condstore = true
		case "UTF8=ACCEPT":
			utf8 = true
		}
		if s.Done() {
			break
		}
	}
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	if rev2 && !c.rev2 {
		c.rev2 = true
		enabled += " IMAP4rev2"
	}
	if utf8 && !c.utf8 { // RFC 6855 section 3
		c.utf8 = true
		enabled += " UTF8=ACCEPT"
	}
	if condstore && !c.condstore {
		c.condstore = true
		enabled += " CONDSTORE"
		if c.view != nil { // RFC 7162 section 3.1.2
			c.out.text("* OK [HIGHESTMODSEQ ", strconv.FormatUint(uint64(c.view.now.HighestModSeq()), 10), "] of the mailbox")
		}
	}
	c.out.text("* ENABLED", enabled)
	return reply{}, nil
}
