package imapd

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strconv"
	"time"

	"plic/internal/imap"
	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/store/headers"
)

// fetch is FETCH and UID FETCH, RFC 9051 section 6.4.5, with CHANGEDSINCE and
// VANISHED of RFC 7162 sections 3.1.4 and 3.2.6, and PARTIAL of RFC 9394.
func (c *conn) fetch(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	set := s.Set()
	s.SP()
	items := s.FetchItems()
	mod := s.FetchModifiers()
	switch {
	case mod.Vanished && !(byUID(cmd) && c.qresync):
		s.Fail("VANISHED is for UID FETCH after ENABLE QRESYNC")
	case mod.Partial != nil && !byUID(cmd):
		s.Fail("PARTIAL is for UID FETCH")
	}
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	spans, err := c.view.spans(set, byUID(cmd))
	if err != nil {
		return reply{}, err
	}
	f := newFetcher(c, items, mod, byUID(cmd))
	f.tag = cmd.Tag
	defer f.close()
	if mod.Vanished {
		if err := c.fetchVanished(ctx, set, f.since); err != nil {
			return reply{}, err
		}
	}
	lowest := store.UID(0)
	if mod.Partial != nil {
		spans = f.partial(spans, mod.Partial)
		if n := c.server.o.MessageLimit; n > 0 && sizeOf(spans) > n {
			return reply{}, errTooMany(n, 0)
		}
	} else {
		spans, lowest = c.limit(f.wanted(spans))
	}
	if err := f.run(ctx, spans); err != nil {
		return reply{}, err
	}
	return c.limited(reply{}, f.outcome(passesOver(cmd, set)), lowest)
}

// fetcher runs one FETCH.
type fetcher struct {
	c       *conn
	tag     string               // of the command, if it is one
	items   []imap.FetchItem     // those that read are the last
	short   int                  // how many do not
	since   store.ModSeq         // only messages changed after it
	details bool                 // ENVELOPE and the like are wanted
	reads   bool                 // octets are wanted
	seen    bool                 // \Seen is to be set
	msg     reading              // the message at hand
	pieces  []piece              // of it, for the items that read
	ahead   *ahead               // opens those after it
	alone   opened               // what was opened of the only one
	sweep   *headers.Sweep       // where header fields are known without opening; nil for nowhere
	known   map[store.UID][]byte // those of a batch
	decoded int64                // octets gone through without a turn

	gone    bool  // some message is no longer there
	unknown bool  // some part is encoded in a way we do not know
	failed  error // the first other failure; the rest went on
}

func newFetcher(c *conn, items []imap.FetchItem, mod imap.FetchModifiers, byUID bool) *fetcher {
	f := &fetcher{c: c, since: store.ModSeq(mod.ChangedSince)}
	if mod.Since {
		c.learnModSeq()
	}
	want := func(kind imap.FetchKind) {
		if !slices.ContainsFunc(f.items, func(i imap.FetchItem) bool { return i.Kind == kind }) {
			f.items = append(f.items, imap.FetchItem{Kind: kind, Peek: true})
		}
	}
	if (byUID || c.qresync) && !c.uidOnly { // UIDFETCH has it in front
		want(imap.FetchUID)
	}
	for _, it := range items {
		if it.Kind < imap.FetchSection {
			want(it.Kind)
		} else if !slices.ContainsFunc(f.items, func(i imap.FetchItem) bool {
			return i.Kind == it.Kind && i.Label == it.Label && i.Count == it.Count
		}) {
			f.items = append(f.items, it) // what is asked for twice is sent once
		}
	}
	if mod.Since {
		want(imap.FetchModSeq)
	}
	slices.SortStableFunc(f.items, func(a, b imap.FetchItem) int { return weight(a) - weight(b) })
	for _, it := range f.items {
		f.short += 1 - weight(it)
		f.details = f.details || it.Details()
		f.reads = f.reads || it.Reads()
		f.seen = f.seen || !it.Peek && c.view.need(store.MaySee) == nil
		if it.Kind == imap.FetchModSeq {
			c.learnModSeq()
		}
	}
	for _, it := range items { // a duplicate may be the one without PEEK
		f.seen = f.seen || !it.Peek && it.Reads() && c.view.need(store.MaySee) == nil
	}
	if f.reads && listsOnly(c.server.o.Headers, f.items) {
		f.sweep, f.known = c.server.o.Headers.Sweep(c.view.mb, c.view.now), map[store.UID][]byte{}
	}
	return f
}

// weight is 1 for an item that reads.
func weight(it imap.FetchItem) int {
	if it.Reads() {
		return 1
	}
	return 0
}

func (f *fetcher) close() {
	f.msg.close()
	f.sweep.Close()
	f.alone.close()
}

// run sends the messages of spans, in batches where they must be looked up.
func (f *fetcher) run(ctx context.Context, spans []span) error {
	v := f.c.view
	if !f.details && !f.reads {
		for i, it := range f.entries(spans) {
			f.write(i, it.Entry, nil, false)
			if f.c.out.err != nil {
				return f.c.out.err
			}
		}
		return nil
	}
	return batches(f.entries(spans), sizeOf(spans), func(batch []numbered) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if f.seen {
			if err := f.setSeen(ctx, batch); err != nil {
				return err
			}
		}
		switch rest := f.lookUpHeaders(ctx, batch); {
		case f.reads && len(rest) > 1:
			f.ahead = openAhead(ctx, v.mb, rest)
			defer func() {
				f.ahead.close()
				f.ahead = nil
			}()
		case f.reads && len(rest) == 1 && len(batch) == 1 && f.tag != "": // who is told reads nothing by itself
			f.alone = f.c.openInTurn(ctx, rest[0])
		}
		if f.details {
			return v.sweepBatch(ctx, batch, func(i int, it item, d *store.Detail) error {
				return f.message(ctx, i, it, d)
			})
		}
		for _, n := range batch {
			if err := f.message(ctx, n.i, n.item, nil); err != nil {
				return err
			}
		}
		return nil
	})
}

// entries gives the messages of spans that are wanted.
func (f *fetcher) entries(spans []span) iter.Seq2[int, item] {
	if f.since > 0 {
		return f.c.view.changed(spans, f.since)
	}
	return f.c.view.entries(spans)
}

// wanted leaves of spans what a FETCH counts against a limit: what has changed, if
// it asks for that only.
func (f *fetcher) wanted(spans []span) []span {
	if f.since == 0 || f.c.server.o.MessageLimit == 0 {
		return spans
	}
	var out []span
	for i := range f.entries(spans) {
		out = addIndex(out, i)
	}
	return out
}

// partial leaves of the messages that are wanted those of a range, counted from
// one of the two ends, RFC 9394 section 3.3.
func (f *fetcher) partial(spans []span, p *imap.Partial) []span {
	n := 0
	if f.since == 0 {
		n = sizeOf(spans)
	} else {
		for range f.entries(spans) {
			n++
		}
	}
	from, to := p.Of(n)
	var out []span
	if f.since == 0 {
		for _, s := range spans {
			if size := s.to - s.from; from < size && to > 0 {
				out = append(out, span{s.from + max(from, 0), s.from + min(to, size)})
			}
			from, to = from-(s.to-s.from), to-(s.to-s.from)
		}
		return out
	}
	k := 0
	for i := range f.entries(spans) {
		if k >= from && k < to {
			out = addIndex(out, i)
		}
		k++
	}
	return out
}

// setSeen marks the messages of a batch before they are sent, so that their
// flags can be sent along.
func (f *fetcher) setSeen(ctx context.Context, batch []numbered) error {
	v := f.c.view
	var uids []store.UID
	for _, n := range batch {
		if n.there && n.Flags&store.Seen == 0 {
			uids = append(uids, n.UID)
		}
	}
	if len(uids) == 0 {
		return nil
	}
	changed, _, err := v.mb.SetFlags(ctx, uids, store.FlagsAdd, store.Flags{System: store.Seen}, store.MaxModSeq)
	if err != nil {
		return err
	}
	if err := v.reload(ctx); err != nil {
		return err
	}
	v.own = append(v.own, changed...)
	for i := range batch {
		if e, ok := v.now.Get(batch[i].UID); ok {
			batch[i].Entry = e
		}
	}
	return nil
}

// message sends one message whose octets or details are wanted.
func (f *fetcher) message(ctx context.Context, i int, it item, d *store.Detail) error {
	header, known := f.known[it.UID]
	var next opened
	switch {
	case known:
	case f.ahead == nil:
		next, f.alone = f.alone, opened{}
	default:
		next = f.ahead.next()
	}
	switch {
	case f.details && d == nil:
		f.gone = true
		next.close()
		return nil
	case known:
		f.fromHeader(header)
	case f.reads:
		err := f.find(ctx, it.Entry, next)
		switch {
		case err == nil:
		case errors.Is(err, engine.ErrNotFound):
			f.gone = true
			return nil
		case isLost(err):
			return err
		default:
			if f.failed == nil {
				f.failed = err
			}
			return nil
		}
	}
	return f.write(i, it.Entry, d, f.seen && f.c.view.isOwn(it.Entry))
}

// find opens a message and finds what is wanted of it, so that nothing is begun
// that could not be ended.
func (f *fetcher) find(ctx context.Context, e store.Entry, next opened) error {
	if err := f.msg.open(ctx, f.c, e, next); err != nil {
		return err
	}
	f.pieces = f.pieces[:0]
	for _, it := range f.items {
		if !it.Reads() {
			continue
		}
		p, err := f.piece(ctx, e.UID, it)
		if errors.Is(err, errUnknownEncoding) {
			f.unknown, p.skip, err = true, true, nil
		}
		if err != nil {
			return err
		}
		f.pieces = append(f.pieces, p)
	}
	f.learnHeader(ctx, e.UID)
	return nil
}

func (f *fetcher) piece(ctx context.Context, uid store.UID, it imap.FetchItem) (piece, error) {
	if it.Kind != imap.FetchBinary && it.Kind != imap.FetchBinarySize {
		return f.msg.piece(it)
	}
	p, err := f.binary(ctx, uid, it.Section.Path)
	return p.part(it), err
}

// isEmpty says that of all that is wanted of a message nothing can be sent.
func (f *fetcher) isEmpty() bool {
	return f.reads && !slices.ContainsFunc(f.items, func(it imap.FetchItem) bool { return !it.Reads() }) &&
		!slices.ContainsFunc(f.pieces, func(p piece) bool { return !p.skip })
}

// write sends one FETCH response. changed says that its flags are news. What is
// read goes last, as simple clients take all that follows a literal for its text.
func (f *fetcher) write(i int, e store.Entry, d *store.Detail, changed bool) error {
	c := f.c
	if !changed && f.isEmpty() {
		return nil
	}
	b := c.appendFetch(c.out.line(), i, e.UID, false)
	hasFlags, hasModSeq := false, false
	for _, it := range f.items[:f.short] {
		hasFlags = hasFlags || it.Kind == imap.FetchFlags
		hasModSeq = hasModSeq || it.Kind == imap.FetchModSeq
		var err error
		if b, err = f.appendItem(b, it.Kind, e, d); err != nil {
			return err
		}
		b = append(b, ' ')
	}
	if changed && !hasFlags {
		b = append(c.appendFlags(append(b, "FLAGS "...), e), ' ')
	}
	if changed && !hasModSeq && c.condstore {
		b = append(appendModSeq(b, e.ModSeq), ' ')
	}
	for k, p := range f.pieces {
		if p.skip {
			continue
		}
		var err error
		if b, err = f.writePiece(b, f.items[f.short+k], p); err != nil {
			return err
		}
		b = append(b, ' ')
	}
	if n := len(b); n > 0 && b[n-1] == ' ' {
		b = b[:n-1]
	}
	c.out.end(append(b, ")\r\n"...))
	return c.out.err
}

// appendItem appends an item for which the message is not read.
func (f *fetcher) appendItem(b []byte, kind imap.FetchKind, e store.Entry, d *store.Detail) ([]byte, error) {
	switch kind {
	case imap.FetchUID:
		return strconv.AppendUint(append(b, "UID "...), uint64(e.UID), 10), nil
	case imap.FetchFlags:
		return f.c.appendFlags(append(b, "FLAGS "...), e), nil
	case imap.FetchInternalDate:
		return imap.AppendDateTime(append(b, "INTERNALDATE "...), e.Internal.Time()), nil
	case imap.FetchSize:
		return strconv.AppendInt(append(b, "RFC822.SIZE "...), e.Size, 10), nil
	case imap.FetchModSeq:
		return appendModSeq(b, e.ModSeq), nil
	case imap.FetchSaveDate:
		return imap.AppendDateTime(append(b, "SAVEDATE "...), time.Unix(e.Saved, 0).UTC()), nil
	case imap.FetchEmailID:
		return append(append(append(b, "EMAILID ("...), emailID(e)...), ')'), nil
	case imap.FetchThreadID:
		return append(append(append(b, "THREADID ("...), threadID(e, d)...), ')'), nil
	case imap.FetchPreview:
		return imap.AppendString(append(b, "PREVIEW "...), firstCharacters(d.Preview(), 200)), nil
	case imap.FetchEnvelope:
		return d.AppendEnvelope(append(b, "ENVELOPE "...)), nil
	case imap.FetchBody:
		return d.AppendBody(append(b, "BODY "...))
	default: // imap.FetchBodyStructure
		return append(append(b, "BODYSTRUCTURE "...), d.BodyStructure...), nil
	}
}

// firstCharacters cuts a text; a preview has 200 characters at most, RFC 8970
// section 3.2.
func firstCharacters(text string, n int) string {
	for i := range text {
		if n == 0 {
			return text[:i]
		}
		n--
	}
	return text
}

// writePiece sends an item that reads, always as a literal: curl takes nothing
// else for a body, not even for an empty one. When octets that were announced
// cannot be sent the session must end.
func (f *fetcher) writePiece(b []byte, it imap.FetchItem, p piece) ([]byte, error) {
	out := &f.c.out
	b = append(append(b, it.Label...), ' ')
	switch {
	case it.Kind == imap.FetchBinarySize:
		return strconv.AppendInt(b, p.n, 10), nil
	case p.none:
		return append(b, "NIL"...), nil
	case p.binary:
		b = append(b, '~')
	}
	out.end(imap.AppendLiteral(b, p.n))
	if err := p.copy(out); err != nil {
		f.c.server.o.Log.Error("imap: a message broke while it was sent", "conn", f.c.id, "err", err)
		f.c.record(errorEvent(err))
		return nil, errLeave
	}
	return out.line(), out.err
}

// outcome is the error of a FETCH that could not send all, RFC 5530 section 3.
func (f *fetcher) outcome(passesOver bool) error {
	switch {
	case f.failed != nil:
		return f.failed
	case f.unknown:
		return no("UNKNOWN-CTE", "a part is encoded in a way that is not known")
	case f.gone && !passesOver:
		return no("EXPUNGEISSUED", "some of the messages are gone")
	}
	return nil
}
