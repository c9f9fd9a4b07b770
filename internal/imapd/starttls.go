package imapd

import (
	"context"
	"errors"

	"plic/internal/imap"
	"plic/internal/journal"
)

func (c *conn) mayStartTLS() bool { return c.tls == nil && c.packed == nil && c.server.o.TLS != nil }

// starttls is STARTTLS, RFC 9051 section 6.2.1. Who sends anything behind it
// before TLS is up is cut off: it was put there by somebody else (CVE-2011-0411).
func (c *conn) starttls(ctx context.Context, cmd *imap.Command) (reply, error) {
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	if !c.mayStartTLS() {
		return reply{}, bad(errNoTLS)
	}
	if c.in.buffered() > 0 {
		c.record(journal.Event{Kind: journal.Reject, Reason: "data injected behind STARTTLS"})
		return reply{}, &refusal{"BYE", "", "nothing may follow STARTTLS before TLS is up"}
	}
	c.out.text(cmd.Tag, " OK begin TLS negotiation now")
	if err := c.out.flush(); err != nil {
		return reply{}, err
	}
	if err := c.handshake(ctx); err != nil {
		c.record(journal.Event{Kind: journal.TLS, Reason: err.Error()})
		c.server.o.Log.Debug("imap: TLS", "conn", c.id, "err", err)
		return reply{}, errLeave
	}
	c.bad = 0
	return reply{}, errAnswered
}

// errNoTLS is the answer to STARTTLS where there is none.
var errNoTLS = errors.New("TLS is not available, or is on already")
