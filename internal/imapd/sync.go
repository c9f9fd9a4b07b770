package imapd

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"plic/internal/imap"
	"plic/internal/store"
	"plic/internal/store/engine"
)

// sync tells the client what has changed in the selected mailbox since it was
// told last. Where EXPUNGE is forbidden and there are some, numbers stay as
// they are and only flags are told, RFC 9051 sections 5.2 and 7.5.1.
func (c *conn) sync(ctx context.Context, expunges bool) error {
	v := c.view
	if v == nil {
		return nil
	}
	shown := v.now
	if err := v.reload(ctx); err != nil {
		return err
	}
	wanted := c.selectedEvents()
	if v.now == v.told && v.now == v.seq || wanted == 0 && !c.changing {
		return nil
	}
	c.tellKeywords()
	changes := store.Diff(v.seq, v.now)
	flagged := changes.Flagged
	if v.told != v.seq {
		flagged = store.Diff(v.told, v.now).Flagged
	}
	known := v.seq.UIDNext() // messages from here on are new to the client
	m := movement{expunged: expunges || len(changes.Expunged) == 0}
	m.added = m.expunged || c.notice != nil && c.notice.selected.Delayed && known < v.now.UIDNext()
	if err := c.updateContexts(ctx, changes, flagged, m); err != nil {
		return err
	}
	if !m.expunged {
		v.fallBehind(changes.Expunged, flagged, shown, m.added)
	}
	if err := c.tellMoved(ctx, changes, m, known); err != nil {
		return err
	}
	flagged = slices.DeleteFunc(flagged, func(e store.Entry) bool { return e.UID >= known || v.isOwn(e) })
	if len(flagged) > 0 && wanted&imap.FlagChange == 0 {
		return c.out.err // they are still to be told when the client wants to hear of them
	}
	for _, e := range flagged {
		c.tellFlags(e)
	}
	v.told = v.now
	return c.out.err
}

// movement is which changes of numbers the client can be told of now: of messages
// that went, and of some that came. Who has asked with NOTIFY to be told later of
// the first, RFC 5465 section 6.1, is told of the others at once.
type movement struct{ expunged, added bool }

// fallBehind keeps the client's numbers while there are messages that went of
// which it cannot be told. What went is as it was last shown, so that nothing goes
// back to what it was, and the rest as it is told now.
func (v *view) fallBehind(gone []store.UID, flagged []store.Entry, shown *store.Snapshot, added bool) {
	known := slices.Clone(flagged)
	for _, uid := range gone {
		if e, ok := shown.Get(uid); ok {
			known = append(known, e)
		}
	}
	if len(known) == 0 && !added {
		return
	}
	slices.SortFunc(known, func(a, b store.Entry) int { return cmp.Compare(a.UID, b.UID) })
	var later *store.Snapshot
	if added {
		later = v.now
	}
	v.seq = v.seq.Behind(known, later)
}

// tellMoved tells of messages that went and came: those that the client does not
// know have this UID or one above it.
func (c *conn) tellMoved(ctx context.Context, changes store.Changes, m movement, known store.UID) error {
	switch {
	case m.expunged:
		c.tellNumbers(changes)
	case m.added:
		c.view.takeRecent()
		c.tellExists()
	default:
		return nil
	}
	if err := c.tellAdded(ctx, m); err != nil {
		return err
	}
	return c.tellNew(ctx, c.view.seq.Search(known))
}

// tellNew sends what the client wants to know of messages that others have added,
// RFC 5465 section 5.2: those from an index on.
func (c *conn) tellNew(ctx context.Context, from int) error {
	if c.notice == nil || len(c.notice.selected.New) == 0 {
		return nil
	}
	var spans []span
	for i, e := range c.view.seq.Range(from, c.view.seq.Len()) {
		if _, own := slices.BinarySearch(c.brought, e.UID); !own {
			spans = addIndex(spans, i)
		}
	}
	if len(spans) == 0 {
		return nil
	}
	f := newFetcher(c, c.notice.selected.New, imap.FetchModifiers{Since: c.condstore}, true) // with MODSEQ, RFC 7162 section 3.1
	defer f.close()
	return f.run(ctx, spans)
}

// tellNumbers sends EXPUNGE or VANISHED, and EXISTS.
func (c *conn) tellNumbers(changes store.Changes) {
	v := c.view
	if c.qresync || c.uidOnly {
		var gone []imap.Range
		for _, uid := range changes.Expunged {
			gone = imap.AddNumber(gone, uint32(uid))
		}
		c.tellVanished(slices.Values(gone), everyUID, false)
	} else {
		c.tellExpunged(changes.Expunged)
	}
	more := changes.Added < v.now.Len()
	v.seq = v.now
	if !more {
		return
	}
	v.takeRecent()
	c.tellExists()
}

// tellExpunged sends EXPUNGE, from the last message to the first so that each
// number is still right when it comes.
func (c *conn) tellExpunged(uids []store.UID) {
	for _, uid := range slices.Backward(uids) {
		if i, ok := c.view.seq.Find(uid); ok {
			b := append(c.out.line(), "* "...)
			b = strconv.AppendInt(b, int64(i+1), 10)
			c.out.end(append(b, " EXPUNGE\r\n"...))
		}
	}
}

func (c *conn) tellExists() {
	v := c.view
	c.out.text("* ", strconv.Itoa(v.seq.Len()), " EXISTS")
	if !c.rev2 {
		c.out.text("* ", strconv.Itoa(v.countRecent()), " RECENT")
	}
}

// tellFlags sends the flags of a message that somebody changed.
func (c *conn) tellFlags(e store.Entry) {
	i, ok := c.view.seq.Find(e.UID)
	if !ok {
		return
	}
	b := c.appendFetch(c.out.line(), i, e.UID, true)
	b = append(b, "FLAGS "...)
	b = c.appendFlags(b, e)
	if c.condstore {
		b = appendModSeq(append(b, ' '), e.ModSeq)
	}
	c.out.end(append(b, ")\r\n"...))
}

// appendFetch begins the FETCH response of the message with an index, with its
// UID if that is wanted; or UIDFETCH, which has it at any rate, RFC 9586 section 3.
func (c *conn) appendFetch(b []byte, i int, uid store.UID, withUID bool) []byte {
	b = append(b, "* "...)
	if c.uidOnly {
		b = strconv.AppendUint(b, uint64(uid), 10)
		return append(b, " UIDFETCH ("...)
	}
	b = strconv.AppendInt(b, int64(i+1), 10)
	b = append(b, " FETCH ("...)
	if withUID {
		b = append(b, "UID "...)
		b = strconv.AppendUint(b, uint64(uid), 10)
		b = append(b, ' ')
	}
	return b
}

func appendModSeq(b []byte, m store.ModSeq) []byte {
	b = append(b, "MODSEQ ("...)
	b = strconv.AppendUint(b, uint64(m), 10)
	return append(b, ')')
}

// systemFlags are the flags as they are written, RFC 9051 section 2.3.2.
var systemFlags = [...]struct {
	bit  engine.Flags
	name string
}{
	{store.Answered, `\Answered`}, {store.Flagged, `\Flagged`}, {store.Deleted, `\Deleted`},
	{store.Seen, `\Seen`}, {store.DraftFlag, `\Draft`},
}

// appendFlags writes the flags of a message in parentheses.
func (c *conn) appendFlags(b []byte, e store.Entry) []byte {
	b = append(b, '(')
	from := len(b)
	for _, f := range systemFlags {
		if e.Flags&f.bit != 0 {
			b = append(append(b, f.name...), ' ')
		}
	}
	if e.Flags&^store.SystemFlags != 0 {
		for i, k := range c.view.now.Keywords() {
			if k != "" && e.Flags&store.KeywordBit(i) != 0 {
				b = append(append(b, k...), ' ')
			}
		}
	}
	if !c.rev2 && c.view.isRecent(e.UID) {
		b = append(b, `\Recent `...)
	}
	if len(b) > from {
		b = b[:len(b)-1]
	}
	return append(b, ')')
}

// tellKeywords sends FLAGS when the mailbox has got new keywords, so that the
// client knows them before it meets them.
func (c *conn) tellKeywords() {
	if !slices.Equal(c.view.keywords, c.view.now.Keywords()) {
		c.tellFlagNames()
	}
}

func (c *conn) tellFlagNames() {
	v := c.view
	v.keywords = v.now.Keywords()
	names := make([]string, 0, len(systemFlags)+8)
	for _, f := range systemFlags {
		names = append(names, f.name)
	}
	for _, k := range v.now.Keywords() {
		if k != "" {
			names = append(names, k)
		}
	}
	b := append(c.out.line(), "* FLAGS "...)
	b = imap.AppendFlags(b, names...)
	b = append(b, "\r\n* OK [PERMANENTFLAGS "...)
	if may := c.changeable(v.mb); v.readOnly || may == 0 {
		b = append(b, "()] nothing can be changed here\r\n"...)
	} else {
		b = imap.AppendFlags(b, permanent(names, may)...)
		b = append(b, "] these flags are kept\r\n"...)
	}
	c.out.end(b)
}

// flagsOf brings flags of a client into the store's form. Who copies a message from
// another server gives \Recent with the rest: it is left out, for it is ours to set.
func flagsOf(names []string) (store.Flags, error) {
	var out store.Flags
next:
	for _, name := range names {
		if name[0] != '\\' {
			out.Keywords = append(out.Keywords, name)
			continue
		}
		if equalFold(name, `\Recent`) {
			continue
		}
		for _, f := range systemFlags {
			if equalFold(name, f.name) {
				out.System |= f.bit
				continue next
			}
		}
		return out, &refusal{"BAD", "", "there is no flag " + name + " that a client may set"}
	}
	return out, nil
}
