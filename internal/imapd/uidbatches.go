package imapd

import (
	"context"
	"strconv"

	"plic/internal/imap"
	"plic/internal/store"
)

// minBatch is how small a batch may be, RFC 10022 section 3.1.
const minBatch = 500

// uidBatches is UIDBATCHES, RFC 10022: ranges of UIDs that hold so many messages
// each, the newest first. The last goes down to UID 1.
func (c *conn) uidBatches(_ context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	size := int(s.Number())
	first, last := 1, 0 // all
	if s.Take(' ') {
		first = int(s.Number())
		s.Need(':')
		if last = int(s.Number()); s.Err() == nil && (first == 0 || last == 0) {
			s.Fail("batches are counted from 1")
		}
	}
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	switch {
	case last > 0 && first > last:
		return reply{}, &refusal{"BAD", "CLIENTBUG", "the range of batches is reversed"}
	case size < minBatch:
		return reply{}, no("TOOFEW", "a batch has at least %d messages", minBatch)
	}
	b := append(c.out.line(), "* UIDBATCHES (TAG "...)
	b = imap.AppendQuoted(b, cmd.Tag)
	b = append(b, ')')
	v, sep := c.view, byte(' ')
	for k := first; (last == 0 || k <= last) && k-1 <= v.seq.Len()/size; k++ {
		to := v.seq.Len() - (k-1)*size // the end of the batch, excluded
		if to == 0 {
			break
		}
		high, low := v.seq.At(to-1).UID, store.UID(1)
		if to < v.seq.Len() {
			high = v.seq.At(to).UID - 1
		}
		if to > size {
			low = v.seq.At(to - size).UID
		}
		b = strconv.AppendUint(append(b, sep), uint64(high), 10)
		b = append(b, ':')
		b = strconv.AppendUint(b, uint64(low), 10)
		sep = ','
	}
	c.out.end(append(b, '\r', '\n'))
	return reply{}, nil
}
