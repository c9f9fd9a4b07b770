package imapd

import (
	"context"
	"strconv"

	"plic/internal/imap"
	"plic/internal/store"
)

// expunge is EXPUNGE and UID EXPUNGE, RFC 9051 sections 6.4.3 and 6.4.9. The
// EXPUNGE responses come from the sync before its answer.
func (c *conn) expunge(ctx context.Context, cmd *imap.Command) (reply, error) {
	s, v := cmd.Args, c.view
	var set imap.Set
	if byUID(cmd) {
		s.SP()
		set = s.Set()
	}
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	if err := v.need(store.MayExpunge); err != nil {
		return reply{}, err
	}
	if v.now.Deleted() == 0 {
		return reply{}, nil
	}
	if !byUID(cmd) {
		_, err := v.mb.Expunge(ctx, nil, true)
		return c.expunged(ctx, err)
	}
	spans, err := v.spans(set, true)
	if err != nil {
		return reply{}, err
	}
	var uids []store.UID // only what is \Deleted counts
	for _, it := range v.entries(spans) {
		if it.there && it.Flags&store.Deleted != 0 {
			uids = append(uids, it.UID)
		}
	}
	uids, lowest := c.limitUIDs(uids)
	if len(uids) > 0 {
		_, err = v.mb.Expunge(ctx, uids, true)
	}
	r, err := c.expunged(ctx, err)
	return c.limited(r, err, lowest)
}

// expunged gives a client that knows of mod-sequences the one of the change,
// RFC 7162 sections 3.2.7 to 3.2.9: of what is told before the answer nothing
// is older.
func (c *conn) expunged(ctx context.Context, err error) (reply, error) {
	if err != nil || !c.condstore {
		return reply{}, err
	}
	v := c.view
	if err := v.reload(ctx); err != nil {
		return reply{}, err
	}
	knows := v.now.HighestModSeq()
	if c.selectedEvents()&imap.FlagChange == 0 && len(store.Diff(v.told, v.now).Flagged) > 0 {
		knows = v.told.HighestModSeq() // NOTIFY: flags that others have changed since are not told
	}
	return reply{"HIGHESTMODSEQ " + strconv.FormatUint(uint64(knows), 10), "expunged"}, nil
}

// errReadOnly is the answer to changes of a mailbox opened with EXAMINE.
var errReadOnly = &refusal{"NO", "READ-ONLY", "the mailbox is open for reading only"}
