package imapd

import (
	"bytes"
	"context"
	"slices"
	"time"

	"plic/internal/casemap"
	"plic/internal/imap"
	"plic/internal/message"
	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/store/search"
)

// test is a search key made ready: sets resolved, strings folded, the cheap
// keys of a list before the dear ones.
type test struct {
	op     imap.SearchOp
	keys   []test
	ranges []imap.Range
	flag   engine.Flags
	needle []byte
	raw    bool // what matches stands as it is in an ENVELOPE that encodes nothing
	field  string
	number int64
	date   int64 // days since 1970
	level  level
	size   int          // tests in it
	hits   *search.Hits // what the search index knows; nil if it was not asked
}

// level is how far one must look into a message for a test.
type level uint8

const (
	inIndex level = iota
	inEnvelope
	inMessage
)

// verdict is the outcome of a test; unknown is that of one that would have to
// look further than it may.
type verdict uint8

const (
	nope verdict = iota
	yes
	unknown
)

func decided(ok bool) verdict {
	if ok {
		return yes
	}
	return nope
}

// compiler makes search keys ready for a view.
type compiler struct {
	v   *view
	now int64 // seconds since 1970
}

// compile makes a search key ready.
func (c *compiler) compile(k *imap.SearchKey) (*test, error) {
	if k.Op == imap.SearchFuzzy {
		return c.compileFuzzy(&k.Keys[0])
	}
	t := &test{op: k.Op, field: k.Field, number: k.Number, size: 1}
	for i := range k.Keys {
		sub, err := c.compile(&k.Keys[i])
		if err != nil {
			return nil, err
		}
		t.add(sub)
	}
	slices.SortStableFunc(t.keys, func(a, b test) int { return int(a.level) - int(b.level) })
	switch k.Op {
	case imap.SearchNumbers:
		return t, c.v.compileSet(t, k.Set, false)
	case imap.SearchUIDs:
		return t, c.v.compileSet(t, k.Set, true)
	case imap.SearchFlag:
		t.flag = c.v.flagBit(k.Text)
	case imap.SearchRecent:
		t.op, t.ranges = imap.SearchUIDs, c.v.recent
	case imap.SearchOlder, imap.SearchYounger:
		t.number = c.now - k.Number
	case imap.SearchBefore, imap.SearchSince, imap.SearchOn, imap.SearchSavedBefore, imap.SearchSavedSince, imap.SearchSavedOn:
		t.date = day(k.Date)
	case imap.SearchSentBefore, imap.SearchSentSince, imap.SearchSentOn:
		t.date, t.level = day(k.Date), inEnvelope
	case imap.SearchFrom, imap.SearchTo, imap.SearchCc, imap.SearchBcc, imap.SearchSubject:
		t.needle, t.level = casemap.Fold(k.Text), inEnvelope
	case imap.SearchHeader:
		t.needle, t.level = casemap.Fold(k.Text), inMessage
		if equalFold(k.Field, "Message-ID") || equalFold(k.Field, "In-Reply-To") {
			t.level = inEnvelope
		}
	case imap.SearchBody, imap.SearchText:
		t.needle, t.level = casemap.Fold(k.Text), inMessage
	case imap.SearchEmailID:
		t.needle = []byte(k.Text)
	case imap.SearchThreadID:
		t.needle, t.level = []byte(k.Text), inEnvelope
	}
	t.raw = t.level == inEnvelope && standsRaw(t.op, t.needle)
	return t, checkNeedle(k.Text)
}

func (t *test) add(sub *test) {
	t.keys = append(t.keys, *sub)
	t.level = max(t.level, sub.level)
	t.size += sub.size
}

// standsRaw says whether a string can be found in an ENVELOPE only where it
// stands in one piece and unchanged. Addresses are put together for matching.
func standsRaw(op imap.SearchOp, needle []byte) bool {
	special := `"\`
	switch op {
	case imap.SearchFrom, imap.SearchTo, imap.SearchCc, imap.SearchBcc:
		special = `"\@<>`
	case imap.SearchSubject, imap.SearchHeader:
	default:
		return false
	}
	return len(needle) > 0 && len(bytes.TrimSpace(needle)) == len(needle) &&
		!bytes.ContainsAny(needle, special) && casemap.IsASCII(needle)
}

// compileSet turns a set into UIDs.
func (v *view) compileSet(t *test, set imap.Set, byUID bool) error {
	spans, err := v.spans(set, byUID)
	if err != nil {
		return err
	}
	t.op = imap.SearchUIDs
	for _, s := range spans {
		t.ranges = append(t.ranges, imap.Range{Lo: uint32(v.seq.At(s.from).UID), Hi: uint32(v.seq.At(s.to - 1).UID)})
	}
	return nil
}

// flagBit finds a flag or keyword; 0 if no message can have it.
func (v *view) flagBit(name string) engine.Flags {
	for _, f := range systemFlags {
		if equalFold(f.name, name) {
			return f.bit
		}
	}
	for i, k := range v.now.Keywords() {
		if k != "" && equalFold(k, name) {
			return store.KeywordBit(i)
		}
	}
	return 0
}

// day counts the days to a date, whatever its zone.
func day(t time.Time) int64 {
	y, m, d := t.Date()
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / 86400
}

// unixDay is the day of a time in UTC.
func unixDay(seconds int64) int64 {
	if seconds < 0 {
		seconds -= 86399
	}
	return seconds / 86400
}

// index tests what the index knows.
func (t *test) index(e *store.Entry) verdict {
	switch t.op {
	case imap.SearchAnd, imap.SearchOr, imap.SearchNot:
		return t.combine(func(k *test) verdict { return k.index(e) })
	case imap.SearchFuzzy:
		v, _ := t.fuzzy(func(k *test) verdict { return k.index(e) })
		return v
	case imap.SearchUIDs:
		return decided(imap.Contains(t.ranges, uint32(e.UID)))
	case imap.SearchFlag:
		return decided(e.Flags&t.flag != 0)
	case imap.SearchBefore:
		return decided(e.Internal.Day() < t.date)
	case imap.SearchSince:
		return decided(e.Internal.Day() >= t.date)
	case imap.SearchOn:
		return decided(e.Internal.Day() == t.date)
	case imap.SearchSavedBefore:
		return decided(unixDay(e.Saved) < t.date)
	case imap.SearchSavedSince:
		return decided(unixDay(e.Saved) >= t.date)
	case imap.SearchSavedOn:
		return decided(unixDay(e.Saved) == t.date)
	case imap.SearchOlder:
		return decided(e.Internal.Unix() <= t.number)
	case imap.SearchYounger:
		return decided(e.Internal.Unix() >= t.number)
	case imap.SearchLarger:
		return decided(e.Size > t.number)
	case imap.SearchSmaller:
		return decided(e.Size < t.number)
	case imap.SearchModSeq:
		return decided(int64(e.ModSeq) >= t.number)
	case imap.SearchEmailID:
		return decided(emailID(*e) == string(t.needle))
	}
	if t.hits != nil {
		switch t.hits.Of(e.UID) {
		case search.Yes:
			return yes
		case search.No:
			return nope
		}
	}
	return unknown
}

// blind says that the index decides of no message.
func (t *test) blind() bool {
	for i := range t.keys {
		if !t.keys[i].blind() {
			return false
		}
	}
	return t.level > inIndex
}

// ask asks the search index for all that it may know.
func (t *test) ask(ctx context.Context, r *search.Reader) (err error) {
	for i := range t.keys {
		if err := t.keys[i].ask(ctx, r); err != nil {
			return err
		}
	}
	switch t.op {
	case imap.SearchFrom:
		t.hits, err = r.Find(ctx, t.needle, search.From)
	case imap.SearchTo:
		t.hits, err = r.Find(ctx, t.needle, search.To)
	case imap.SearchCc:
		t.hits, err = r.Find(ctx, t.needle, search.Cc)
	case imap.SearchBcc:
		t.hits, err = r.Find(ctx, t.needle, search.Bcc)
	case imap.SearchSubject:
		t.hits, err = r.Find(ctx, t.needle, search.Subject)
	case imap.SearchHeader:
		t.hits, err = r.FindField(ctx, casemap.Fold(t.field), t.needle)
	case imap.SearchBody:
		t.hits, err = r.Find(ctx, t.needle, search.Body)
	case imap.SearchText:
		t.hits, err = r.Find(ctx, t.needle, search.Header|search.Body)
	}
	return err
}

// combine joins the verdicts of keys; one that is decided ends it.
func (t *test) combine(test func(*test) verdict) verdict {
	stop, out := nope, yes // of AND
	switch t.op {
	case imap.SearchNot:
		switch test(&t.keys[0]) {
		case yes:
			return nope
		case nope:
			return yes
		}
		return unknown
	case imap.SearchOr:
		stop, out = yes, nope
	}
	for i := range t.keys {
		switch got := test(&t.keys[i]); got {
		case stop:
			return stop
		case unknown:
			out = unknown
		}
	}
	return out
}

// envelope tests what the envelope knows.
func (t *test) envelope(e *message.Envelope) verdict {
	switch t.op {
	case imap.SearchFrom:
		return decided(hasAddress(e.From, t.needle))
	case imap.SearchTo:
		return decided(hasAddress(e.To, t.needle))
	case imap.SearchCc:
		return decided(hasAddress(e.Cc, t.needle))
	case imap.SearchBcc:
		return decided(hasAddress(e.Bcc, t.needle))
	case imap.SearchSubject:
		return decided(hasText(message.DecodeHeader(e.Subject), t.needle))
	case imap.SearchHeader:
		switch {
		case equalFold(t.field, "Message-ID"):
			return decided(e.MessageID != "" && hasText(e.MessageID, t.needle))
		case equalFold(t.field, "In-Reply-To"):
			return decided(e.InReplyTo != "" && hasText(e.InReplyTo, t.needle))
		}
	case imap.SearchSentBefore, imap.SearchSentSince, imap.SearchSentOn:
		sent, err := message.ParseDate(e.Date)
		if err != nil {
			return nope
		}
		d := day(sent)
		return decided(t.op == imap.SearchSentBefore && d < t.date ||
			t.op == imap.SearchSentSince && d >= t.date || t.op == imap.SearchSentOn && d == t.date)
	}
	return unknown
}
