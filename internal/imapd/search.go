package imapd

import (
	"context"
	"errors"
	"unicode/utf8"

	"plic/internal/imap"
	"plic/internal/message"
	"plic/internal/pace"
	"plic/internal/store"
	"plic/internal/store/search"
)

// search is SEARCH and UID SEARCH, RFC 9051 section 6.4.4, with RETURN of RFC
// 4731, SAVE of RFC 5182, MODSEQ of RFC 7162, UPDATE of RFC 5267 and PARTIAL of
// RFC 9394.
func (c *conn) search(ctx context.Context, cmd *imap.Command) (reply, error) {
	q := cmd.Args.Search()
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	return c.searchOrSort(ctx, cmd, &q, nil)
}

// searchOrSort runs a search and tells what it found, in the order of sort keys
// if there are any.
func (c *conn) searchOrSort(ctx context.Context, cmd *imap.Command, q *imap.Search, keys []imap.SortKey) (reply, error) {
	v := c.view
	if q.Return.Update && v.contexts.find(cmd.Tag) != nil { // RFC 5267 section 4.3
		return reply{}, bad(errors.New("the tag is that of a search whose result is kept up to date"))
	}
	err := c.prepare(ctx, q)
	if err != nil {
		return reply{}, v.unsaved(q, err)
	}
	f, err := c.find(ctx, v, cmd.Tag, q, keys, true)
	if err != nil {
		return reply{}, v.unsaved(q, err)
	}
	a := f.answer(byUID(cmd))
	if q.Return.Save {
		v.saved = f.save(q.Return)
	}
	if q.Return.Update {
		c.watch(cmd, q, keys, f)
	}
	if q.Return.Extended || c.rev2 && keys == nil {
		c.tellExtended(q, f, a, correlator{tag: cmd.Tag, uid: byUID(cmd)})
	} else {
		c.tellPlain(q, f, a)
	}
	return c.limited(reply{}, nil, f.lowest)
}

// found is what a search has found.
type found struct {
	v      *view
	scope  []span    // where to look
	lowest store.UID // the lowest of scope, if that was made less than there is
	uids   []imap.Range
	sorted []uint32 // UIDs in the order asked for; nil if none was
	order  *sorter  // nil likewise
	modSeq store.ModSeq
	scores map[store.UID]int // of FUZZY keys, 1 to 100
}

func (f *found) add(e store.Entry) {
	f.modSeq = max(f.modSeq, e.ModSeq)
	f.uids = append1(f.uids, uint32(e.UID))
}

// append1 appends a number; what comes out of order is put right at the end.
func append1(ranges []imap.Range, n uint32) []imap.Range {
	if k := len(ranges); k > 0 && ranges[k-1].Hi+1 == n {
		ranges[k-1].Hi = n
		return ranges
	}
	return append(ranges, imap.Range{Lo: n, Hi: n})
}

// prepare makes a search ready to be run, once however many mailboxes it is for.
func (c *conn) prepare(ctx context.Context, q *imap.Search) error {
	if err := c.decodeKeys(q); err != nil {
		return err
	}
	if err := c.expandFilters(ctx, q); err != nil {
		return err
	}
	if c.uidOnly && keyNamesNumbers(&q.Key) {
		return errUIDRequired
	}
	if q.ModSeq {
		c.learnModSeq()
	}
	return nil
}

// unsaved gives the error of a search, after which "$" stands for nothing if its
// result was to be saved; a BAD changes nothing, RFC 9051 section 6.4.4.1.
func (v *view) unsaved(q *imap.Search, err error) error {
	var r *refusal
	if q.Return.Save && !(errors.As(err, &r) && r.kind == "BAD") {
		v.saved = nil
	}
	return err
}

// find runs a search that is prepared in a view; limited says that the limit of
// messages holds.
func (c *conn) find(ctx context.Context, v *view, tag string, q *imap.Search, keys []imap.SortKey, limited bool) (*found, error) {
	p, err := c.compiler(v).compile(&q.Key)
	if err != nil {
		return nil, err
	}
	f := &found{v: v, scope: v.scope(p)}
	if limited {
		if f.scope, f.lowest = c.limit(f.scope); f.lowest > 0 && q.Sorted {
			return nil, errTooMany(c.server.o.MessageLimit, f.lowest)
		}
	}
	if q.Fuzzy {
		f.scores = map[store.UID]int{}
	}
	var t *turn
	c.tests += p.size * (v.seq.Len() + toCompile)
	if p.level > inIndex || len(keys) > 0 || c.tests > longSearch {
		c.tests = 0
		if t, err = c.takeTurn(ctx, tag, c.server.searches); err != nil {
			return nil, err
		}
		defer t.end()
		ctx = t.ctx
	}
	pending := f.scope
	if !p.blind() || v.now != v.seq {
		if pending, err = f.look(ctx, p); err != nil {
			return nil, err
		}
	}
	if pending, err = f.ask(ctx, c.server.o.Index, p, pending); err != nil {
		return nil, err
	}
	if err := f.open(ctx, c, t, p, pending); err != nil {
		return nil, err
	}
	f.uids = imap.Normalize(f.uids)
	if len(keys) > 0 {
		err = f.sort(ctx, keys)
	}
	return f, err
}

func (c *conn) compiler(v *view) *compiler { return &compiler{v: v, now: c.server.o.Now().Unix()} }

// decodeKeys brings strings that are in another charset into UTF-8. With
// IMAP4rev2 there is only that, RFC 9051 section 6.4.4, and with UTF8=ACCEPT none
// may be named in a SEARCH, RFC 6855 section 3: JavaMail then writes Latin-1.
func (c *conn) decodeKeys(q *imap.Search) error {
	ours := q.Charset == "" || q.Charset == "UTF-8" || q.Charset == "US-ASCII"
	switch {
	case c.utf8 && !q.Sorted && q.Charset != "":
		return bad(errors.New("after UTF8=ACCEPT there is only UTF-8"))
	case !ours && (c.rev2 || !message.KnowsCharset(q.Charset)):
		return no("BADCHARSET (UTF-8 US-ASCII)", "the charset is not known")
	}
	broken := false
	var decode func(k *imap.SearchKey)
	decode = func(k *imap.SearchKey) {
		switch {
		case !ours:
			k.Text = message.DecodeString(k.Text, q.Charset)
		case utf8.ValidString(k.Text):
		case q.Charset == "" && !c.rev2:
			k.Text = message.DecodeString(k.Text, "ISO-8859-1")
		default:
			broken = true
		}
		for i := range k.Keys {
			decode(&k.Keys[i])
		}
	}
	decode(&q.Key)
	if broken {
		return bad(errors.New("a text to look for is not UTF-8"))
	}
	if !ours {
		q.Charset = "UTF-8"
	}
	return nil
}

// look tests what the index knows, and gives the messages that must be looked
// into. Those that a FUZZY key may match are among them, to have their score.
func (f *found) look(ctx context.Context, p *test) (pending []span, err error) {
	for i, it := range f.v.entries(f.scope) {
		if i%256 == 0 {
			if err := pace.Step(ctx); err != nil {
				return nil, err
			}
		}
		if !it.there {
			continue
		}
		switch v := p.index(&it.Entry); {
		case v == yes && f.scores == nil:
			f.add(it.Entry)
		case v != nope:
			if k := len(pending); k > 0 && pending[k-1].to == i {
				pending[k-1].to++
			} else {
				pending = append(pending, span{i, i + 1})
			}
		}
	}
	return pending, nil
}

// askFrom is how many messages there must be to look into for the search index to
// be asked instead.
const askFrom = 32

// ask asks the search index, where that is worth it, and gives what is left to
// look into.
func (f *found) ask(ctx context.Context, index *search.Index, p *test, pending []span) ([]span, error) {
	if index == nil || p.level == inIndex || count(pending) < askFrom {
		return pending, nil
	}
	r, err := index.Open(ctx, f.v.mb)
	if err != nil {
		return nil, err
	}
	if f.v.now.Search(r.High()+1)+askFrom < f.v.now.Len() {
		index.Changed(f.v.mb) // it may be that nobody did
	}
	if r.Known() == 0 {
		return pending, nil
	}
	if err := p.ask(ctx, r); err != nil {
		return nil, err
	}
	f.uids, f.modSeq = nil, 0
	return f.look(ctx, p)
}

func count(spans []span) (n int) {
	for _, s := range spans {
		n += s.to - s.from
	}
	return n
}

// open looks into messages.
func (f *found) open(ctx context.Context, c *conn, t *turn, p *test, pending []span) error {
	m := matcher{ctx: ctx, mb: f.v.mb, pool: c.server}
	defer m.close()
	if t != nil {
		m.rest = t.rest
	}
	total, done := count(pending), 0
	return f.v.sweep(ctx, pending, func(_ int, it item, d *store.Detail) error {
		if done++; t != nil {
			if err := t.step(done, total); err != nil {
				return err
			}
		}
		if d == nil {
			return nil // it went meanwhile
		}
		ok, err := m.matches(p, it.Entry, d)
		if ok {
			f.add(it.Entry)
			if f.scores != nil {
				f.scores[it.UID] = max(m.score, 1)
			}
		}
		return err
	})
}

// longSearch is how many tests a command may make before it counts as long, be it in one
// mailbox or in many; to make one ready takes as long as toCompile of them.
const (
	longSearch = 4 << 20
	toCompile  = 16
)

// errNotText is the answer to a search string that no text can hold.
var errNotText = errors.New("a search string is not UTF-8")

func checkNeedle(text string) error {
	if !utf8.ValidString(text) {
		return bad(errNotText)
	}
	return nil
}
