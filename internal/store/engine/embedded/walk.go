package embedded

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// walker goes through the index of a mailbox.
type walker struct {
	e     *Engine
	ctx   context.Context
	at    pebble.Reader
	m     mailboxRef
	from  engine.UID
	yield func(engine.Entry, error) bool

	o     *overlay
	uids  []engine.UID // of the overlay, those to come
	next  engine.UID   // behind the last page
	count int

	rest  *pages         // to read the second part of pages
	hurt  bool           // a page before the next one could not be read
	bad   broken         // such pages
	found []engine.Entry // what was in them, as far as it is known
	went  []engine.UID   // messages that were expunged, as is known from elsewhere
}

// walk gives the entries of a mailbox from a UID on. What a damaged record held
// is found by the details and references of its messages; with mend it is put
// down again, and the record set aside.
func (e *Engine) walk(ctx context.Context, at pebble.Reader, m mailboxRef, from engine.UID, mend bool, yield func(engine.Entry, error) bool) {
	w := &walker{e: e, ctx: ctx, at: at, m: m, from: from, yield: yield}
	err := w.run()
	if mend && (len(w.bad.keys) > 0 || w.o != nil && w.o.hurt || len(w.found) > 0) {
		err = errors.Join(err, e.mend(w))
	}
	if err != nil {
		yield(engine.Entry{}, e.readError(err))
	}
}

// Marks gives UID, MODSEQ and flags of a mailbox's messages, some at a time.
func (e *Engine) Marks(ctx context.Context, a engine.AccountID, m engine.MailboxID) iter.Seq2[[]engine.Entry, error] {
	return ofMailbox(e, a, m, func(yield func([]engine.Entry, error) bool) {
		at := e.db.NewSnapshot()
		defer at.Close()
		e.marks(ctx, at, mailboxRef{a, m}, yield)
	})
}

func (e *Engine) marks(ctx context.Context, at pebble.Reader, m mailboxRef, yield func([]engine.Entry, error) bool) {
	o, err := e.overlay(ctx, at, m.account, m.mailbox)
	if err != nil {
		yield(nil, e.readError(err))
		return
	}
	w := &walker{e: e, ctx: ctx, at: at, m: m, o: o, hurt: o.hurt}
	var list, merged []engine.Entry
	uids, next, more := o.order, engine.UID(0), true
	decode := func(key, value []byte) ([]engine.Entry, error) {
		page, err := decodePageInto(list, key, value)
		list = page[:0]
		return page, err
	}
	give := func(page []engine.Entry, limit engine.UID) bool {
		var mine []engine.UID
		mine, uids = before(uids, limit)
		next = limit
		if len(mine) == 0 {
			return len(page) == 0 || yield(page, nil)
		}
		merged = merged[:0]
		o.merge(page, mine, func(entry engine.Entry) bool {
			merged = append(merged, entry)
			return true
		})
		return yield(merged, nil)
	}
	if !w.hurt {
		scanAt(ctx, e, at, w.pages(mailboxKey(m.account, partPage, m.mailbox)), decode, func(page []engine.Entry, perr error) bool {
			if err = perr; err != nil || w.hurt || len(page) == 0 {
				return err == nil && !w.hurt
			}
			more = give(page, page[len(page)-1].UID+1)
			return more
		})
	}
	switch {
	case err != nil:
		yield(nil, e.readError(err))
	case !more:
	case w.hurt: // from here on with care
		e.walk(ctx, at, m, next, true, func(entry engine.Entry, err error) bool { return yield([]engine.Entry{entry}, err) })
	default:
		give(nil, math.MaxUint32)
	}
}

// run gives the error that has ended it, unless it was told of.
func (w *walker) run() (err error) {
	if w.o, err = w.e.overlay(w.ctx, w.at, w.m.account, w.m.mailbox); err != nil {
		return err
	}
	if w.o.hurt {
		if err := w.missing(); err != nil {
			return err
		}
	}
	if w.o.records > w.e.o.fold {
		w.e.folds.want(w.m)
	}
	first, err := w.e.pageOf(w.at, w.m.account, w.m.mailbox, w.from)
	if err != nil {
		return err
	}
	_, w.uids = before(w.o.order, w.from)
	r := w.pages(first)
	more := true
	if w.rest, err = openPages(w.at, w.m); err != nil {
		return err
	}
	defer w.rest.close()
	var list []engine.Entry
	decode := func(key, value []byte) ([]engine.Entry, error) {
		page, err := decodePageInto(list, key, value)
		if err != nil {
			return nil, err
		}
		list = page[:0]
		return page, w.rest.fill(key, page)
	}
	scanAt(w.ctx, w.e, w.at, r, decode, func(page []engine.Entry, perr error) bool {
		if err = perr; err != nil || len(page) == 0 {
			return err == nil
		}
		if w.hurt {
			if more, err = w.gap(page[0].UID); err != nil || !more {
				return false
			}
		}
		more = w.give(page, page[len(page)-1].UID+1)
		return more
	})
	if err != nil || !more {
		return err
	}
	if w.hurt {
		if more, err = w.gap(math.MaxUint32); err != nil || !more {
			return err
		}
	}
	w.give(nil, math.MaxUint32)
	return nil
}

// pages is the span of the pages from a key on.
func (w *walker) pages(first []byte) span {
	return span{
		from: first, to: after(mailboxKey(w.m.account, partPage, w.m.mailbox)),
		key: func(n uint64) []byte { return pageKey(w.m.account, w.m.mailbox, engine.UID(n)) },
		of:  func(key []byte) uint64 { return uint64(uidOf(key)) },
		max: math.MaxUint32,
		bad: &w.bad, hurt: func() { w.hurt = true },
	}
}

// give yields a page with what the log says of it.
func (w *walker) give(page []engine.Entry, limit engine.UID) (more bool) {
	var mine []engine.UID
	mine, w.uids = before(w.uids, limit)
	w.next = limit
	if len(mine) == 0 {
		return w.giveAll(page)
	}
	return w.o.merge(page, mine, func(entry engine.Entry) bool {
		if w.count++; w.count%1024 == 0 && w.ctx.Err() != nil {
			w.yield(engine.Entry{}, w.ctx.Err())
			return false
		}
		return entry.UID < w.from || w.yield(entry, nil)
	})
}

// giveAll yields a page that the log says nothing of.
func (w *walker) giveAll(page []engine.Entry) bool {
	if w.ctx.Err() != nil {
		w.yield(engine.Entry{}, w.ctx.Err())
		return false
	}
	for i := range page {
		if page[i].UID >= w.from && !w.yield(page[i], nil) {
			return false
		}
	}
	return true
}

// gap yields what was in the pages that could not be read.
func (w *walker) gap(limit engine.UID) (more bool, err error) {
	w.hurt = false
	lost, err := w.e.recover(w.ctx, w.at, w.m, w.next, limit, func(uid engine.UID) bool {
		_, known := w.o.over[uid]
		return known
	})
	if err != nil {
		return false, err
	}
	w.found = append(w.found, lost...)
	return w.give(lost, limit), nil
}

// missing finds messages that no page has and that the log, of which something
// could not be read, does not know: they are taken for new ones.
func (w *walker) missing() error {
	known := map[engine.UID]bool{}
	var err error
	scanAt(w.ctx, w.e, w.at, w.pages(mailboxKey(w.m.account, partPage, w.m.mailbox)), decodePage, func(page []engine.Entry, perr error) bool {
		for i := range page {
			known[page[i].UID] = true
		}
		err = perr
		return err == nil
	})
	if err != nil {
		return err
	}
	w.bad, w.hurt = broken{}, false // they will be met again
	lost, err := w.e.recover(w.ctx, w.at, w.m, 0, math.MaxUint32, func(uid engine.UID) bool {
		_, changed := w.o.over[uid]
		return changed || known[uid]
	})
	if err != nil {
		return err
	}
	w.found = append(w.found, lost...)
	if w.o.over == nil {
		w.o.over = map[engine.UID]change1{}
	}
	for _, entry := range lost {
		w.o.set(entry.UID, change1{entry, put})
	}
	if err := w.departed(known); err != nil {
		return err
	}
	slices.Sort(w.o.order)
	return nil
}

// departed takes messages out that are remembered as expunged.
func (w *walker) departed(known map[engine.UID]bool) (err error) {
	all := mailboxKey(w.m.account, partGone, w.m.mailbox)
	scanAt(w.ctx, w.e, w.at, span{from: all, to: after(all)}, decodeGone, func(gone expunged, gerr error) bool {
		for _, uid := range gone.uids {
			if _, changed := w.o.over[uid]; changed || known[uid] {
				w.o.set(uid, change1{kind: expunge})
				w.went = append(w.went, uid)
			}
		}
		err = gerr
		return err == nil
	})
	return err
}

// recover makes entries of messages that have details but no place in the
// index any more. Their flags are lost.
func (e *Engine) recover(ctx context.Context, at pebble.Reader, m mailboxRef, from, to engine.UID, known func(engine.UID) bool) ([]engine.Entry, error) {
	var lost []engine.Entry
	err := e.eachReadableIn(ctx, at, messageKey(m.account, partDetail, m.mailbox, from), messageKey(m.account, partDetail, m.mailbox, to), func(key, value []byte) error {
		if uid := uidOf(key); !known(uid) {
			entry := engine.Entry{UID: uid}
			if d, err := decodeDetail(key, value); err == nil {
				entry.Size = int64(len(d.Prefix))
			}
			lost = append(lost, entry)
		}
		return nil
	})
	if err != nil || len(lost) == 0 {
		return nil, err
	}
	bodies, err := e.bodiesOf(ctx, at, m)
	if err != nil {
		return nil, err
	}
	modSeq := e.highest(at, m)
	kept := lost[:0]
	for _, entry := range lost {
		var ok bool
		if entry.Body, ok = bodies[entry.UID]; !ok {
			continue
		}
		if l, err := e.locate(entry.Body); err == nil {
			entry.Size += l.size
		}
		entry.ModSeq = modSeq
		entry.Saved = entry.Body.Time().Unix()
		entry.Internal = engine.Date(entry.Saved)
		kept = append(kept, entry)
	}
	return kept, nil
}

// bodiesOf finds the bodies of a mailbox's messages in the references.
func (e *Engine) bodiesOf(ctx context.Context, at pebble.Reader, m mailboxRef) (map[engine.UID]mail.ID, error) {
	owner := messageRef(mail.ID{}, m.account, m.mailbox, 0)[17:][:13] // without the UID
	bodies := map[engine.UID]mail.ID{}
	err := e.eachReadable(ctx, at, kindRef, func(key, _ []byte) error {
		if len(key) == 34 && bytes.HasPrefix(key[17:], owner) {
			bodies[engine.UID(binary.BigEndian.Uint32(key[30:]))] = mail.ID(key[1:17])
		}
		return nil
	})
	return bodies, err
}

// highest is the MODSEQ of a mailbox, 0 if it is not known.
func (e *Engine) highest(at pebble.Reader, m mailboxRef) engine.ModSeq {
	key := mailboxKey(m.account, partMailbox, m.mailbox)
	value, closer, err := at.Get(key)
	if err != nil {
		return 0
	}
	defer closer.Close()
	box, err := decodeMailbox(key, value)
	if err != nil {
		return 0
	}
	return box.HighestModSeq
}

// mend puts down what was found of damaged records, which it sets aside. What
// went meanwhile has no details any more.
func (e *Engine) mend(w *walker) error {
	e.mending.Lock()
	defer e.mending.Unlock()
	slices.Sort(w.went)
	c := &engine.MailboxChange{Expunge: slices.Compact(w.went)}
	slices.SortFunc(w.found, func(x, y engine.Entry) int { return cmp.Compare(x.UID, y.UID) })
	for _, entry := range w.found {
		_, closer, err := e.db.Get(messageKey(w.m.account, partDetail, w.m.mailbox, entry.UID))
		if err == nil {
			closer.Close()
			c.Add = append(c.Add, engine.Message{Entry: entry})
		}
	}
	b := e.db.NewBatch()
	e.moveAside(b, &w.bad)
	for _, key := range w.bad.keys {
		b.Delete(messageTwin(key, partRest), nil)
	}
	if w.o != nil {
		e.moveAside(b, &w.o.bad)
	}
	if n := len(c.Add) + len(c.Expunge); n > 0 {
		seq, err := e.nextLog(w.m, n)
		if err != nil {
			b.Close()
			return err
		}
		key := logKey(w.m.account, w.m.mailbox, seq)
		b.Set(key, encodeChange(key, c), nil)
		e.o.Log.Error("messages were put back into a damaged index, without their flags", "account", w.m.account, "mailbox", w.m.mailbox, "messages", len(c.Add))
	}
	return e.commitLater(b)
}
