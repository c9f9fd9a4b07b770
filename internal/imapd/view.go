package imapd

import (
	"context"
	"iter"
	"slices"

	"plic/internal/imap"
	"plic/internal/store"
)

// view is the selected mailbox as its client sees it. Its numbers are those of
// seq, which moves on only when the client is told; what is read is read from
// now.
type view struct {
	mb       *store.Mailbox
	who      string       // whose session it is
	groups   []string     // that the account is in
	rights   store.Rights // to the mailbox, at the last look
	readOnly bool
	seq      *store.Snapshot // gives the numbers that the client knows
	told     *store.Snapshot // the flags that the client knows
	now      *store.Snapshot // the newest, as the command at work sees it
	keywords []string        // that the client knows
	recent   []imap.Range    // UIDs that are \Recent in this session
	taken    store.UID       // messages below it are in recent, or not to be
	saved    []imap.Range    // UIDs of the last SEARCH with SAVE, RFC 5182
	own      []store.Entry   // changed by the command at work, which told of them
	nextOwn  int             // in own, where the next one asked for mostly is
	contexts contexts        // results of searches that are kept up to date, RFC 5267
	turn     inTurn          // what is read one message after the other
	contents contents        // of the message whose parts are read bit by bit
}

// errGone is the answer when the mailbox is not what it was.
var errGone = &refusal{"BYE", "", "the mailbox was deleted or renamed meanwhile"}

// errMoved ends a session whose account is to be opened anew: the client comes
// back and finds all as it was.
var errMoved = &refusal{"BYE", "UNAVAILABLE", "the account was moved to another place, come back at once"}

// refresh looks at the mailbox as it is now.
func (v *view) refresh(ctx context.Context) error {
	v.own = nil
	if _, err := v.mb.Snapshot(ctx); err != nil && !v.mb.Gone() && !v.mb.Account().Moved() {
		return err
	}
	return v.reload(ctx)
}

// reload looks at it without reading what nobody has asked for: after SELECT.
func (v *view) reload(ctx context.Context) error {
	if v.mb.Account().Moved() {
		return errMoved
	}
	now, err := v.mb.Outline(ctx)
	if err != nil {
		if v.mb.Gone() {
			return errGone
		}
		return err
	}
	if now.UIDValidity() != v.seq.UIDValidity() || v.seq.Wrong() {
		return errGone
	}
	v.now = now
	return v.allowed()
}

// changing are the rights without which a mailbox is for reading only.
const changing = store.MaySee | store.MayWrite | store.MayInsert | store.MayDelete | store.MayExpunge

// allowed looks at the rights. To who may not read any more the mailbox is
// gone.
func (v *view) allowed() error {
	v.rights = v.mb.RightsOf(v.who, v.groups...)
	if !v.rights.Has(store.MayLookup | store.MayRead) {
		return errGone
	}
	return nil
}

// need says why something cannot be changed in the mailbox.
func (v *view) need(r store.Rights) error {
	switch {
	case v.readOnly:
		return errReadOnly
	case !v.rights.Has(r):
		return errNoRight
	}
	return nil
}

// span is a run of indexes in seq, the end excluded.
type span struct{ from, to int }

// sizeOf is how many messages are in spans.
func sizeOf(spans []span) (n int) {
	for _, s := range spans {
		n += s.to - s.from
	}
	return n
}

// addIndex adds an index above all others.
func addIndex(spans []span, i int) []span {
	if k := len(spans); k > 0 && spans[k-1].to == i {
		spans[k-1].to++
		return spans
	}
	return append(spans, span{i, i + 1})
}

// spans finds the messages that a set names, by number or UID. A number that
// no message has is an error, RFC 9051 section 9 (seq-number); a UID is not.
func (v *view) spans(set imap.Set, byUID bool) ([]span, error) {
	var uids []imap.Range
	switch n := v.seq.Len(); {
	case set.Saved:
		uids = v.saved
	case byUID:
		largest := uint32(0)
		if n > 0 {
			largest = uint32(v.seq.At(n - 1).UID)
		}
		uids = set.Resolve(largest)
	default:
		return numberSpans(set, n)
	}
	return v.uidSpans(uids), nil
}

func numberSpans(set imap.Set, n int) ([]span, error) {
	for _, r := range set.Ranges {
		if r.Hi != imap.Star && int(r.Hi) > n {
			return nil, &refusal{"BAD", "", "there is no message of that number"}
		}
	}
	ranges := set.Resolve(uint32(n))
	out := make([]span, 0, len(ranges))
	for _, r := range ranges {
		if s := (span{int(r.Lo) - 1, min(int(r.Hi), n)}); s.from < s.to {
			out = append(out, s)
		}
	}
	return out, nil
}

// entries gives the messages of spans as they are now, with their indexes in
// seq; ok says that they are still there, else they are as they were.
func (v *view) entries(spans []span) iter.Seq2[int, item] {
	return func(yield func(int, item) bool) {
		at := position{}
		for _, s := range spans {
			for i, e := range v.seq.Range(s.from, s.to) {
				if !yield(i, v.current(e, &at)) {
					return
				}
			}
		}
	}
}

// item is a message with the news whether it is still there.
type item struct {
	store.Entry
	there bool
}

// position is where in the mailbox as it is now the message before was.
type position struct {
	in *store.Snapshot
	store.Cursor
}

// current is a message as it is now.
func (v *view) current(e store.Entry, at *position) item {
	if v.now == v.seq {
		return item{e, true}
	}
	if at.in != v.now {
		*at = position{v.now, v.now.Cursor()}
	}
	if newer, ok := at.Get(e.UID); ok {
		return item{newer, true}
	}
	return item{e, false}
}

// uids gives the UIDs of spans that are still there, and whether some are not.
func (v *view) uids(spans []span) (uids []store.UID, missing bool) {
	uids = make([]store.UID, 0, sizeOf(spans))
	for _, it := range v.entries(spans) {
		if it.there {
			uids = append(uids, it.UID)
		} else {
			missing = true
		}
	}
	return uids, missing
}

// isRecent says that a message is \Recent in this session.
func (v *view) isRecent(uid store.UID) bool {
	return len(v.recent) > 0 && imap.Contains(v.recent, uint32(uid))
}

// countRecent counts the \Recent messages that seq has.
func (v *view) countRecent() (n int) {
	for _, r := range v.recent {
		n += v.seq.Search(store.UID(r.Hi)+1) - v.seq.Search(store.UID(r.Lo))
	}
	return n
}

// takeRecent makes the messages that came since the last time \Recent here. In
// which of several sessions a message is so is undefined, RFC 3501 section
// 2.3.2: what arrives is so in all of them, and claimed when they end.
func (v *view) takeRecent() {
	if next := v.seq.UIDNext(); next > v.taken {
		if k := len(v.recent); k > 0 && v.recent[k-1].Hi+1 == uint32(v.taken) {
			v.recent[k-1].Hi = uint32(next) - 1
		} else {
			v.recent = append(v.recent, imap.Range{Lo: uint32(v.taken), Hi: uint32(next) - 1})
		}
		v.taken = next
	}
}

// renewOwn takes what a script has added to changes of our own for ours too.
func (v *view) renewOwn() {
	at := v.now.Cursor()
	for i := range v.own {
		if now, ok := at.Get(v.own[i].UID); ok {
			v.own[i] = now
		}
	}
}

// isOwn says that a change is the one that the command at work has told of.
func (v *view) isOwn(e store.Entry) bool {
	i, ok := v.nextOwn, v.nextOwn < len(v.own) && v.own[v.nextOwn].UID == e.UID
	if !ok {
		i, ok = slices.BinarySearchFunc(v.own, e.UID, func(o store.Entry, uid store.UID) int {
			return int(int64(o.UID) - int64(uid))
		})
	}
	v.nextOwn = i + 1
	return ok && v.own[i].ModSeq == e.ModSeq
}
