package imapd

import (
	"strconv"

	"plic/internal/imap"
	"plic/internal/store"
)

// limit leaves of spans the newest messages, as many as one command may work on,
// RFC 9738 section 3.1. lowest is the lowest UID of these where others were left
// out, else 0.
func (c *conn) limit(spans []span) (kept []span, lowest store.UID) {
	most := c.server.o.MessageLimit
	over := sizeOf(spans) - most
	if most == 0 || over <= 0 {
		return spans, 0
	}
	for n := spans[0].to - spans[0].from; n <= over; n = spans[0].to - spans[0].from {
		over -= n
		spans = spans[1:]
	}
	kept = append([]span{{spans[0].from + over, spans[0].to}}, spans[1:]...)
	return kept, c.view.seq.At(kept[0].from).UID
}

// limitUIDs is limit for UIDs that rise.
func (c *conn) limitUIDs(uids []store.UID) (kept []store.UID, lowest store.UID) {
	most := c.server.o.MessageLimit
	if most == 0 || len(uids) <= most {
		return uids, 0
	}
	kept = uids[len(uids)-most:]
	return kept, kept[0]
}

// limited tells which messages a command has left out. A code that the answer has
// already stays there: then it is told before, RFC 9738 section 3.1.
func (c *conn) limited(r reply, err error, lowest store.UID) (reply, error) {
	if lowest == 0 {
		return r, err
	}
	code := limitCode(c.server.o.MessageLimit, lowest)
	if err == nil && r.code == "" {
		return reply{code, "done with the newest of the messages"}, nil
	}
	c.out.text("* NO [", code, "] only the newest of the messages")
	return r, err
}

func limitCode(limit int, lowest store.UID) string {
	code := "MESSAGELIMIT " + strconv.Itoa(limit)
	if lowest > 0 {
		code += " " + strconv.FormatUint(uint64(lowest), 10)
	}
	return code
}

// errTooMany is the answer when a command cannot be done for some of its messages
// only: with the lowest UID down to which it could be, if there are UIDs.
func errTooMany(limit int, lowest store.UID) error {
	return no(limitCode(limit, lowest), "these are too many messages at once")
}

// limits names the limit, RFC 9738 section 3: SAVELIMIT is that of COPY and APPEND
// where there is no other.
func (c *conn) limits() string {
	if n := c.server.o.MessageLimit; n > 0 {
		return " MESSAGELIMIT=" + strconv.Itoa(n)
	}
	return " SAVELIMIT=" + strconv.Itoa(c.server.o.SaveLimit)
}

// scope is where a search has to look: the messages of the UIDs and numbers that
// all it finds must have.
func (v *view) scope(p *test) []span {
	keys := []test{*p}
	if p.op == imap.SearchAnd {
		keys = p.keys
	}
	spans := []span{{0, v.seq.Len()}}
	for i := range keys {
		if keys[i].op == imap.SearchUIDs {
			spans = common(spans, v.uidSpans(keys[i].ranges))
		}
	}
	return spans
}

// common is what two lists of rising spans have in common.
func common(a, b []span) (out []span) {
	for len(a) > 0 && len(b) > 0 {
		if s := (span{max(a[0].from, b[0].from), min(a[0].to, b[0].to)}); s.from < s.to {
			out = append(out, s)
		}
		if a[0].to < b[0].to {
			a = a[1:]
		} else {
			b = b[1:]
		}
	}
	return out
}
