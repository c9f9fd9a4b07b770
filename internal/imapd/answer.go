package imapd

import (
	"slices"
	"strconv"

	"plic/internal/imap"
	"plic/internal/store"
)

// answer is the result of a search as its client wants it: UIDs or numbers, as a
// set, or as a list where there is an order.
type answer struct {
	ranges  []imap.Range
	list    []uint32
	ordered bool
}

// answer gives what was found in UIDs or numbers.
func (f *found) answer(byUID bool) answer {
	a := answer{ranges: f.uids, list: f.sorted, ordered: f.order != nil}
	if byUID {
		return a
	}
	if a.ordered {
		a.list = make([]uint32, len(f.sorted))
		for i, uid := range f.sorted {
			a.list[i] = f.v.number(store.UID(uid))
		}
		return a
	}
	a.ranges = f.v.numbers(f.uids)
	return a
}

// number is that of a message in the client's eyes.
func (v *view) number(uid store.UID) uint32 {
	i, _ := v.seq.Find(uid)
	return uint32(i + 1)
}

// numbers turns ranges of UIDs that are all there into ranges of numbers.
func (v *view) numbers(uids []imap.Range) []imap.Range {
	out := make([]imap.Range, len(uids))
	for i, r := range uids {
		out[i] = imap.Range{Lo: v.number(store.UID(r.Lo)), Hi: v.number(store.UID(r.Hi))}
	}
	return imap.Normalize(out)
}

func (a *answer) len() int {
	if a.ordered {
		return len(a.list)
	}
	return imap.Numbers(a.ranges)
}

// first and last are those of an answer that is not empty.
func (a *answer) first() uint32 {
	if a.ordered {
		return a.list[0]
	}
	return a.ranges[0].Lo
}

func (a *answer) last() uint32 {
	if a.ordered {
		return a.list[len(a.list)-1]
	}
	return a.ranges[len(a.ranges)-1].Hi
}

func (a *answer) appendSet(b []byte) []byte {
	if a.ordered {
		return imap.AppendNumbers(b, slices.Values(a.list))
	}
	return imap.AppendSet(b, a.ranges)
}

// page is the part of an answer from one index to another, the end excluded.
func (a *answer) page(from, to int) answer {
	if a.ordered {
		return answer{list: a.list[from:to], ordered: true}
	}
	var out answer
	for _, r := range a.ranges {
		n := int(r.Hi-r.Lo) + 1
		if lo, hi := max(from, 0), min(to, n); lo < hi {
			out.ranges = append(out.ranges, imap.Range{Lo: r.Lo + uint32(lo), Hi: r.Lo + uint32(hi) - 1})
		}
		from, to = from-n, to-n
	}
	return out
}

// singled is what MIN, MAX and PARTIAL tell of an answer, in its order, each once.
func (a *answer) singled(r imap.SearchReturn) answer {
	n := a.len()
	var spans []span
	if r.Min && n > 0 {
		spans = append(spans, span{0, 1})
	}
	if r.Partial != nil {
		from, to := r.Partial.Of(n)
		spans = append(spans, span{from, to})
	}
	if r.Max && n > 0 {
		spans = append(spans, span{n - 1, n})
	}
	out, done := answer{ordered: a.ordered}, 0
	slices.SortFunc(spans, func(a, b span) int { return a.from - b.from })
	for _, s := range spans {
		if s.from = max(s.from, done); s.from < s.to {
			page := a.page(s.from, s.to)
			out.ranges, out.list = append(out.ranges, page.ranges...), append(out.list, page.list...)
			done = s.to
		}
	}
	return out
}

// told is the UIDs of what is told of when not all is, RFC 5182 section 2.1, RFC
// 7162 section 3.1.10 and RFC 9394 section 3.1.
func (f *found) told(r imap.SearchReturn) []imap.Range {
	a := f.answer(true)
	if r.All || r.Count || !r.Min && !r.Max && r.Partial == nil || a.len() == 0 {
		return f.uids
	}
	some := a.singled(r)
	for _, uid := range some.list {
		some.ranges = append(some.ranges, imap.Range{Lo: uid, Hi: uid})
	}
	return imap.Normalize(some.ranges)
}

// save gives what "$" shall stand for.
func (f *found) save(r imap.SearchReturn) []imap.Range { return f.told(r) }

// modSeqOf is the highest mod-sequence of what is told.
func (f *found) modSeqOf(r imap.SearchReturn) (highest store.ModSeq) {
	if r.All || r.Count {
		return f.modSeq
	}
	for _, r := range f.told(r) {
		for uid := uint64(r.Lo); uid <= uint64(r.Hi); uid++ {
			if e, ok := f.v.now.Get(store.UID(uid)); ok {
				highest = max(highest, e.ModSeq)
			}
		}
	}
	return highest
}

// tellPlain sends SEARCH, RFC 3501 section 7.2.5, or SORT, RFC 5256 section 4.
func (c *conn) tellPlain(q *imap.Search, f *found, a answer) {
	name := "* SEARCH"
	if a.ordered {
		name = "* SORT"
	}
	c.out.end(append(c.out.line(), name...))
	number := func(n uint64) { c.out.end(strconv.AppendUint(append(c.out.line(), ' '), n, 10)) }
	for _, n := range a.list {
		number(uint64(n))
	}
	if !a.ordered {
		for _, r := range a.ranges {
			for n := uint64(r.Lo); n <= uint64(r.Hi); n++ {
				number(n)
			}
		}
	}
	b := c.out.line()
	if q.ModSeq && a.len() > 0 {
		b = append(b, " (MODSEQ "...)
		b = strconv.AppendUint(b, uint64(f.modSeq), 10)
		b = append(b, ')')
	}
	c.out.end(append(b, '\r', '\n'))
}

// correlator says what an ESEARCH response belongs to.
type correlator struct {
	tag         string
	uid         bool
	mailbox     string // of a search in several, RFC 7377 section 2.1
	uidValidity uint32
}

// beginExtended begins an ESEARCH response.
func (c *conn) beginExtended(to correlator) []byte {
	b := append(c.out.line(), "* ESEARCH (TAG "...)
	b = imap.AppendQuoted(b, to.tag)
	if to.mailbox != "" {
		b = imap.AppendMailbox(append(b, " MAILBOX "...), to.mailbox, c.utf8Names())
		b = strconv.AppendUint(append(b, " UIDVALIDITY "...), uint64(to.uidValidity), 10)
	}
	b = append(b, ')')
	if to.uid {
		b = append(b, " UID"...)
	}
	return b
}

// tellExtended sends ESEARCH, RFC 9051 section 7.3.4. Where nothing but SAVE or
// UPDATE is asked for there is nothing to send.
func (c *conn) tellExtended(q *imap.Search, f *found, a answer, to correlator) {
	r := q.Return
	if !r.Min && !r.Max && !r.All && !r.Count && !r.Relevancy && r.Partial == nil {
		if r.Save || r.Update {
			return
		}
		r.All = true
	}
	b := c.beginExtended(to)
	number := func(name string, n uint64) {
		b = append(append(append(b, ' '), name...), ' ')
		b = strconv.AppendUint(b, n, 10)
	}
	n := a.len()
	if n > 0 {
		if r.Min {
			number("MIN", uint64(a.first()))
		}
		if r.Max {
			number("MAX", uint64(a.last()))
		}
		if r.All {
			b = a.appendSet(append(b, " ALL "...))
		}
	}
	if r.Count {
		number("COUNT", uint64(n))
	}
	if r.Partial != nil {
		b = append(append(append(b, " PARTIAL ("...), r.Partial.Text...), ' ')
		if page := a.page(r.Partial.Of(n)); page.len() > 0 {
			b = page.appendSet(b)
		} else {
			b = append(b, "NIL"...)
		}
		b = append(b, ')')
	}
	if r.Relevancy {
		scored := f.answer(true)
		if !r.All && (r.Min || r.Max || r.Partial != nil) { // a score for each that is told
			scored = scored.singled(r)
		}
		b = f.appendScores(append(b, " RELEVANCY ("...), &scored)
		b = append(b, ')')
	}
	if q.ModSeq && n > 0 {
		number("MODSEQ", uint64(f.modSeqOf(r)))
	}
	c.out.end(append(b, '\r', '\n'))
}

// appendScores writes how well each message of an answer in UIDs matches, in its
// order, RFC 6203 section 4.
func (f *found) appendScores(b []byte, of *answer) []byte {
	start := len(b)
	score := func(uid uint32) {
		if len(b) > start {
			b = append(b, ' ')
		}
		b = strconv.AppendInt(b, int64(max(f.scores[store.UID(uid)], 1)), 10)
	}
	for _, uid := range of.list {
		score(uid)
	}
	if of.ordered {
		return b
	}
	for _, r := range of.ranges {
		for uid := uint64(r.Lo); uid <= uint64(r.Hi); uid++ {
			score(uint32(uid))
		}
	}
	return b
}
