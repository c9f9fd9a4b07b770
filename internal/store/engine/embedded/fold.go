package embedded

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/store/engine"
)

const (
	foldRecords = 256  // records of a log that are folded into the pages
	foldChanges = 4096 // or so many changed messages
	maxLogs     = 50_000
)

// mailboxRef names a mailbox.
type mailboxRef struct {
	account engine.AccountID
	mailbox engine.MailboxID
}

// folds knows the logs of mailboxes: the number of the next record of each that
// was written to, and which are long.
type folds struct {
	mu   sync.Mutex
	logs map[mailboxRef]*logState
	long map[mailboxRef]bool
}

type logState struct {
	next             uint64
	folded           uint64 // the last record that a fold of ours took away
	records, changes int    // since the last fold, at least
}

// want notes that a log is to be folded.
func (f *folds) want(m mailboxRef) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.long == nil {
		f.long = map[mailboxRef]bool{}
	}
	f.long[m] = true
}

// take gives the mailboxes whose logs are long.
func (f *folds) take() []mailboxRef {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []mailboxRef
	for m := range f.long {
		all = append(all, m)
		if s := f.logs[m]; s != nil {
			s.records, s.changes = 0, 0
		}
	}
	f.long = nil
	return all
}

// forget is for mailboxes that went.
func (f *folds) forget(m mailboxRef) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.logs, m)
}

// after is where the log of a mailbox begins for the next fold: what was taken
// away is there to be passed over until it is flushed.
func (f *folds) after(m mailboxRef) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.logs[m]; s != nil && s.folded > 0 {
		return s.folded + 1
	}
	return 0
}

func (f *folds) folded(m mailboxRef, last uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.logs[m]; s != nil {
		s.folded = last
	}
}

// nextLog gives the number of the next record in a mailbox's log, which holds
// some changes.
func (e *Engine) nextLog(m mailboxRef, changes int) (uint64, error) {
	f := &e.folds
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.logs[m]
	if s == nil {
		last, err := e.lastLog(m)
		if err != nil {
			return 0, err
		}
		if f.logs == nil || len(f.logs) >= maxLogs {
			f.logs = map[mailboxRef]*logState{}
		}
		s = &logState{next: last + 1}
		f.logs[m] = s
	}
	seq := s.next
	s.next++
	s.records++
	s.changes += changes
	if s.records > e.o.fold || s.changes > foldChanges {
		if f.long == nil {
			f.long = map[mailboxRef]bool{}
		}
		if !f.long[m] {
			f.long[m] = true
			e.poke()
		}
	}
	return seq, nil
}

func (e *Engine) lastLog(m mailboxRef) (uint64, error) {
	all := mailboxKey(m.account, partLog, m.mailbox)
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: all, UpperBound: after(all)})
	if err != nil {
		return 0, e.readError(err)
	}
	defer it.Close()
	if it.Last() {
		return logSeq(it.Key()), nil
	}
	return 0, e.readError(it.Error())
}

// Fold folds the logs that are long into the pages. The engine does it by
// itself.
func (e *Engine) Fold(ctx context.Context) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	for _, m := range e.folds.take() {
		e.indexing.Lock()
		err := e.fold(ctx, m)
		e.indexing.Unlock()
		if err != nil {
			return fmt.Errorf("fold the index of account %d, mailbox %d: %w", m.account, m.mailbox, err)
		}
	}
	return nil
}

// fold writes the pages anew that a log changes, and drops what it has read of
// the log. Commits go on: they only add to the log.
func (e *Engine) fold(ctx context.Context, m mailboxRef) error {
	from := e.folds.after(m)
	at := e.db.NewSnapshot() // later, or records could be passed over
	defer at.Close()
	o, err := e.overlayFrom(ctx, at, m, from)
	if err != nil || o.records == 0 {
		return err
	}
	if o.hurt {
		return nil // who reads the index next mends it first
	}
	p, err := openPages(at, m)
	if err != nil {
		return e.readError(err)
	}
	defer p.close()
	b := e.db.NewBatch()
	for uids := o.order; len(uids) > 0; {
		page, limit, err := p.at(uids[0])
		if err != nil {
			b.Close()
			return err // the log stays: nothing of it is lost
		}
		var mine []engine.UID
		mine, uids = before(uids, limit)
		next := make([]engine.Entry, 0, len(page)+len(mine))
		o.merge(page, mine, func(entry engine.Entry) bool {
			next = append(next, entry)
			return true
		})
		if len(page) > 0 && (len(next) == 0 || next[0].UID != page[0].UID) {
			b.Delete(pageKey(m.account, m.mailbox, page[0].UID), nil)
			b.Delete(restKey(m.account, m.mailbox, page[0].UID), nil)
		}
		writePages(b, m, next)
	}
	if err := o.drop(b, m); err != nil {
		return err
	}
	if err := e.commitLater(b); err != nil {
		return err
	}
	e.folds.folded(m, o.last)
	return nil
}

// drop takes what was read of a log. A range is something that every reader
// looks at from then on: a few records go one by one.
func (o *overlay) drop(b *pebble.Batch, m mailboxRef) error {
	const few = 32
	if o.records > few || o.last-o.first != uint64(o.records-1) {
		logs := mailboxKey(m.account, partLog, m.mailbox)
		return b.DeleteRange(logs, logKey(m.account, m.mailbox, o.last+1), nil)
	}
	for seq := o.first; seq <= o.last; seq++ {
		if err := b.Delete(logKey(m.account, m.mailbox, seq), nil); err != nil {
			return err
		}
	}
	return nil
}

func writePages(b *pebble.Batch, m mailboxRef, list []engine.Entry) {
	for len(list) > 0 {
		n := len(list)
		if n > pageLimit {
			n = pageSize
		}
		key := pageKey(m.account, m.mailbox, list[0].UID)
		b.Set(key, encodePage(key, list[:n]), nil)
		key = restKey(m.account, m.mailbox, list[0].UID)
		b.Set(key, encodeRest(key, list[:n]), nil)
		list = list[n:]
	}
}

// convert makes pages of the entries that stores of format 1 kept one by one.
func (e *Engine) convert(ctx context.Context) error {
	it, err := e.db.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: []byte{kindAccount}, UpperBound: []byte{kindAccount + 1}})
	if err != nil {
		return err
	}
	defer it.Close()
	for from := []byte{kindAccount}; it.SeekGE(from); {
		a := engine.AccountID(numberOf(it.Key()))
		entries := partKey(a, partEntry)
		switch {
		case bytes.Compare(it.Key(), entries) < 0:
			from = entries
		case !bytes.HasPrefix(it.Key(), entries):
			from = after(accountKey(a))
		default:
			m := mailboxRef{a, engine.MailboxID(binary.BigEndian.Uint32(it.Key()[10:]))}
			if err := e.convertMailbox(it, m); err != nil {
				return err
			}
			from = after(mailboxKey(a, partEntry, m.mailbox))
		}
	}
	return it.Error()
}

// convertMailbox makes pages of the old entries of a mailbox, at which the
// iterator is.
func (e *Engine) convertMailbox(it *pebble.Iterator, m mailboxRef) error {
	old := mailboxKey(m.account, partEntry, m.mailbox)
	b := e.db.NewBatch()
	var list []engine.Entry
	ok := it.Valid()
	for ; ok && bytes.HasPrefix(it.Key(), old); ok = it.Next() {
		entry, err := decodeEntry(it.Key(), it.Value())
		if err != nil {
			e.damaged.Add(1)
			e.o.Log.Error("a damaged record was set aside", "key", fmt.Sprintf("%x", it.Key()), "error", err)
			b.Set(append([]byte{kindDamaged}, it.Key()...), slices.Clone(it.Value()), nil)
			continue
		}
		list = append(list, entry)
	}
	writePages(b, m, list)
	b.DeleteRange(old, after(old), nil)
	return e.commitWait(b)
}
