package imapd

import (
	"context"
	"errors"
	"strconv"
	"unicode/utf8"

	"plic/internal/imap"
	"plic/internal/store"
)

// search is SEARCH and UID SEARCH, RFC 9051 section 6.4.4, with RETURN of RFC
// 4731, SAVE of RFC 5182 and MODSEQ of RFC 7162.
func (c *conn) search(ctx context.Context, cmd *imap.Command) (reply, error) {
	q := cmd.Args.Search()
	if err := cmd.Args.End(); err != nil {
		return reply{}, bad(err)
	}
	v := c.view
	if q.ModSeq {
		c.learnModSeq()
	}
	f, err := c.find(ctx, &q, byUID(cmd))
	if err != nil {
		if q.Return.Save {
			v.saved = nil // RFC 5182 section 2.1
		}
		return reply{}, err
	}
	if q.Return.Save {
		v.saved = f.save(q.Return)
	}
	if q.Return.Extended || c.rev2 {
		c.tellExtended(cmd, &q, f)
	} else {
		c.tellSearch(&q, f)
	}
	return reply{}, nil
}

// found is the result of a search.
type found struct {
	v       *view
	uids    []imap.Range
	numbers []imap.Range // UIDs again for UID SEARCH
	modSeq  store.ModSeq // the highest
}

func (f *found) add(i int, e store.Entry, byUID bool) {
	f.modSeq = max(f.modSeq, e.ModSeq)
	f.uids = append1(f.uids, uint32(e.UID))
	if !byUID {
		f.numbers = append1(f.numbers, uint32(i+1))
	}
}

// append1 appends a number; what comes out of order is put right at the end.
func append1(ranges []imap.Range, n uint32) []imap.Range {
	if k := len(ranges); k > 0 && ranges[k-1].Hi+1 == n {
		ranges[k-1].Hi = n
		return ranges
	}
	return append(ranges, imap.Range{Lo: n, Hi: n})
}

func (f *found) done(byUID bool) {
	f.uids = imap.Normalize(f.uids)
	if f.numbers = imap.Normalize(f.numbers); byUID {
		f.numbers = f.uids
	}
}

// save gives what "$" shall stand for, RFC 5182 section 2.1: all, unless only
// the first or last is asked for.
func (f *found) save(r imap.SearchReturn) []imap.Range {
	if r.All || r.Count || !r.Min && !r.Max || len(f.uids) == 0 {
		return f.uids
	}
	var out []imap.Range
	if first := f.uids[0].Lo; r.Min {
		out = append(out, imap.Range{Lo: first, Hi: first})
	}
	if last := f.uids[len(f.uids)-1].Hi; r.Max {
		out = append(out, imap.Range{Lo: last, Hi: last})
	}
	return imap.Normalize(out)
}

// find runs a search.
func (c *conn) find(ctx context.Context, q *imap.Search, byUID bool) (*found, error) {
	switch q.Charset {
	case "", "UTF-8", "US-ASCII":
	default:
		return nil, no("BADCHARSET (UTF-8 US-ASCII)", "the charset is not known")
	}
	if c.uidOnly && keyNamesNumbers(&q.Key) {
		return nil, errUIDRequired
	}
	v := c.view
	p, err := v.compile(&q.Key)
	if err != nil {
		return nil, err
	}
	f := &found{v: v}
	if p.level > inIndex || p.size*v.seq.Len() > longSearch {
		var release func()
		if ctx, release, err = c.takeTurn(ctx); err != nil {
			return nil, err
		}
		defer release()
	}
	pending, err := f.look(ctx, p, byUID)
	if err != nil {
		return nil, err
	}
	m := matcher{ctx: ctx, mb: v.mb, pool: c.server}
	defer m.close()
	err = v.sweep(ctx, pending, func(i int, it item, d *store.Detail) error {
		if d == nil {
			return nil // it went meanwhile
		}
		ok, err := m.matches(p, i, it.Entry, d)
		if ok {
			f.add(i, it.Entry, byUID)
		}
		return err
	})
	f.done(byUID)
	return f, err
}

// longSearch is how many tests a search may make before it counts as long.
const longSearch = 4 << 20

// takeTurn is for searches that take long: few of an account run at a time, and
// they end, by the context, when their client goes away.
func (c *conn) takeTurn(ctx context.Context) (_ context.Context, release func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	_, stop := c.in.ahead(func() {
		for !c.in.full() {
			if err := c.in.fill(); err != nil {
				if !isTimeout(err) {
					cancel()
				}
				return
			}
		}
	})
	leave, err := c.server.searches.enter(ctx, c.account.Name())
	if err != nil {
		stop()
		cancel()
		return nil, nil, err
	}
	return ctx, func() { leave(); stop(); cancel() }, nil
}

// look tests what the index knows, and gives the messages that must be looked
// into.
func (f *found) look(ctx context.Context, p *test, byUID bool) (pending []span, err error) {
	for i, it := range f.v.entries([]span{{0, f.v.seq.Len()}}) {
		if i%256 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if !it.there {
			continue
		}
		switch p.index(i, &it.Entry) {
		case yes:
			f.add(i, it.Entry, byUID)
		case unknown:
			pending = addIndex(pending, i)
		}
	}
	return pending, nil
}

// tellSearch sends SEARCH, RFC 3501 section 7.2.5.
func (c *conn) tellSearch(q *imap.Search, f *found) {
	c.out.end(append(c.out.line(), "* SEARCH"...))
	for _, r := range f.numbers {
		for n := uint64(r.Lo); n <= uint64(r.Hi); n++ {
			c.out.end(strconv.AppendUint(append(c.out.line(), ' '), n, 10))
		}
	}
	b := c.out.line()
	if q.ModSeq && len(f.numbers) > 0 {
		b = append(append(b, ' '), "("...)
		b = append(b, "MODSEQ "...)
		b = strconv.AppendUint(b, uint64(f.modSeq), 10)
		b = append(b, ')')
	}
	c.out.end(append(b, '\r', '\n'))
}

// tellExtended sends ESEARCH, RFC 9051 section 7.3.4. With SAVE alone there is
// nothing to send.
func (c *conn) tellExtended(cmd *imap.Command, q *imap.Search, f *found) {
	r := q.Return
	if r.Save && !r.Min && !r.Max && !r.All && !r.Count {
		return
	}
	if !r.Extended {
		r.All = true
	}
	b := append(c.out.line(), "* ESEARCH (TAG "...)
	b = imap.AppendQuoted(b, cmd.Tag)
	b = append(b, ')')
	if byUID(cmd) {
		b = append(b, " UID"...)
	}
	number := func(name string, n uint64) {
		b = append(append(append(b, ' '), name...), ' ')
		b = strconv.AppendUint(b, n, 10)
	}
	if k := len(f.numbers); k > 0 {
		if r.Min {
			number("MIN", uint64(f.numbers[0].Lo))
		}
		if r.Max {
			number("MAX", uint64(f.numbers[k-1].Hi))
		}
		if r.All {
			b = imap.AppendSet(append(b, " ALL "...), f.numbers)
		}
	}
	if r.Count {
		number("COUNT", uint64(imap.Numbers(f.numbers)))
	}
	if q.ModSeq && len(f.numbers) > 0 {
		number("MODSEQ", uint64(f.modSeqOf(r)))
	}
	c.out.end(append(b, '\r', '\n'))
}

// modSeqOf is the mod-sequence of what is told, RFC 7162 section 3.1.10.
func (f *found) modSeqOf(r imap.SearchReturn) store.ModSeq {
	if r.All || r.Count {
		return f.modSeq
	}
	var highest store.ModSeq
	if e, ok := f.v.now.Get(store.UID(f.uids[0].Lo)); ok && r.Min {
		highest = e.ModSeq
	}
	if e, ok := f.v.now.Get(store.UID(f.uids[len(f.uids)-1].Hi)); ok && r.Max {
		highest = max(highest, e.ModSeq)
	}
	return highest
}

// errNotText is the answer to a search string that no text can hold.
var errNotText = errors.New("a search string is not UTF-8")

func checkNeedle(text string) error {
	if !utf8.ValidString(text) {
		return bad(errNotText)
	}
	return nil
}
