package imapd

import (
	"context"
	"iter"
	"slices"
	"strconv"

	"plic/internal/imap"
	"plic/internal/store"
)

// everyUID is the range of all UIDs that there can be.
var everyUID = []imap.Range{{Lo: 1, Hi: imap.Star - 1}}

// resync tells a client that has known the mailbox before what has changed
// since: what went, then what is other than it was, RFC 7162 section 3.2.5.
func (c *conn) resync(ctx context.Context, r *imap.Resync) error {
	v := c.view
	if r.UIDValidity != v.seq.UIDValidity() {
		return nil // it knows another mailbox
	}
	known := everyUID
	if len(r.Known.Ranges) > 0 {
		known = r.Known.Resolve(0)
	}
	since := store.ModSeq(r.ModSeq)
	gone, all, err := v.mb.Vanished(ctx, v.seq, since)
	if err != nil {
		return err
	}
	within := known
	if all {
		within = above(known, v.agreed(r))
	}
	c.tellVanished(gone, within, true)
	for _, it := range v.changed(v.uidSpans(known), since) {
		if c.tellFlags(it.Entry); c.out.err != nil {
			return c.out.err
		}
	}
	return nil
}

// fetchVanished tells which of the messages that a UID FETCH names have gone
// since, before any FETCH, RFC 7162 section 3.2.6. "*" may be one of them.
func (c *conn) fetchVanished(ctx context.Context, set imap.Set, since store.ModSeq) error {
	v := c.view
	gone, _, err := v.mb.Vanished(ctx, v.seq, since)
	if err != nil {
		return err
	}
	within := v.saved
	if !set.Saved {
		within = set.Resolve(uint32(v.seq.UIDNext()) - 1)
	}
	c.tellVanished(gone, within, true)
	return nil
}

// agreed is the highest UID that has the number which the client knows it by.
// All that was below it and went, the client has been told of.
func (v *view) agreed(r *imap.Resync) store.UID {
	best := store.UID(0)
	next, stop := iter.Pull(numbersOf(r.UIDs))
	defer stop()
	for n := range numbersOf(r.Numbers) {
		uid, _ := next()
		if int(n) > v.seq.Len() {
			break
		}
		if at := v.seq.At(int(n) - 1).UID; at == store.UID(uid) {
			best = at
		}
	}
	return best
}

func numbersOf(ranges []imap.Range) iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for _, r := range ranges {
			for n := uint64(r.Lo); n <= uint64(r.Hi); n++ {
				if !yield(uint32(n)) {
					return
				}
			}
		}
	}
}

// above leaves of sorted ranges what is above a UID.
func above(ranges []imap.Range, uid store.UID) []imap.Range {
	out := slices.Clone(ranges)
	for len(out) > 0 && out[0].Hi <= uint32(uid) {
		out = out[1:]
	}
	if len(out) > 0 && out[0].Lo <= uint32(uid) {
		out[0].Lo = uint32(uid) + 1
	}
	return out
}

// maxVanished is how many ranges one VANISHED tells.
const maxVanished = 500

// tellVanished sends VANISHED for what rising ranges have in common with others,
// in several responses if it is much. With earlier it says what went before the
// mailbox was selected, which changes no numbers, RFC 7162 section 3.2.10.
func (c *conn) tellVanished(gone iter.Seq[imap.Range], within []imap.Range, earlier bool) {
	var ranges []imap.Range
	flush := func() {
		if len(ranges) == 0 {
			return
		}
		b := append(c.out.line(), "* VANISHED "...)
		if earlier {
			b = append(b, "(EARLIER) "...)
		}
		c.out.end(append(imap.AppendSet(b, ranges), "\r\n"...))
		ranges = ranges[:0]
	}
	for g := range gone {
		for len(within) > 0 && within[0].Hi < g.Lo {
			within = within[1:]
		}
		for _, w := range within {
			if w.Lo > g.Hi {
				break
			}
			if ranges = append(ranges, imap.Range{Lo: max(w.Lo, g.Lo), Hi: min(w.Hi, g.Hi)}); len(ranges) == maxVanished {
				flush()
			}
		}
		if len(within) == 0 || c.out.err != nil {
			break
		}
	}
	flush()
}

// uidSpans finds the messages of sorted ranges of UIDs.
func (v *view) uidSpans(uids []imap.Range) []span {
	out := make([]span, 0, len(uids))
	for _, r := range uids {
		s := span{v.seq.Search(store.UID(r.Lo)), v.seq.Len()}
		if r.Hi < imap.Star {
			s.to = v.seq.Search(store.UID(r.Hi + 1))
		}
		if s.from < s.to {
			out = append(out, s)
		}
	}
	return out
}

// changed gives the messages of spans that have a MODSEQ above since, as they
// are now, with their indexes in seq. Those that are gone are left out.
func (v *view) changed(spans []span, since store.ModSeq) iter.Seq2[int, item] {
	return func(yield func(int, item) bool) {
		for _, s := range spans {
			from, to := s.from, s.to
			if v.now != v.seq {
				from, to = v.now.Search(v.seq.At(s.from).UID), v.now.Search(v.seq.At(s.to-1).UID+1)
			}
			for i, e := range v.now.Changed(from, to, since) {
				if v.now != v.seq {
					var ok bool
					if i, ok = v.seq.Find(e.UID); !ok {
						continue // the client has not been told of it yet
					}
				}
				if !yield(i, item{e, true}) {
					return
				}
			}
		}
	}
}

// learnModSeq begins to tell mod-sequences. If a mailbox is open its highest is
// told first, RFC 7162 section 3.1.2.
func (c *conn) learnModSeq() {
	if c.condstore {
		return
	}
	c.condstore = true
	if v := c.view; v != nil {
		c.out.text("* OK [HIGHESTMODSEQ ", strconv.FormatUint(uint64(v.seq.HighestModSeq()), 10), "] of what was told")
	}
}

// behind is the code of an answer while there are messages that went, or came
// since, of which the client cannot be told yet, or flags of which it does not
// want to be, though of later changes it was: up to which mod-sequence it knows
// all.
func (c *conn) behind() string {
	if v := c.view; c.condstore && v != nil && (v.seq != v.now || v.told != v.now) {
		return "HIGHESTMODSEQ " + strconv.FormatUint(uint64(min(v.seq.HighestModSeq(), v.told.HighestModSeq())), 10)
	}
	return ""
}
