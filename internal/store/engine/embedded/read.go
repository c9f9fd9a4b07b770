package embedded

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/mail"
	"plic/internal/store/engine"
)

// Lists leave a damaged record out: it is set aside, its octets kept under
// another key, reported and counted. Where a caller asks for one thing by name
// (an account, a body) damage is an error, engine.ErrDamaged, and the record
// stays where it is.

func numberOf(key []byte) uint64 { return binary.BigEndian.Uint64(key[1:9]) }

// ownerOf gives account and mailbox of an entry's key.
func ownerOf(key []byte) (engine.AccountID, engine.MailboxID, bool) {
	if len(key) != 1+8+1+4+4 {
		return 0, 0, false
	}
	return engine.AccountID(numberOf(key)), engine.MailboxID(binary.BigEndian.Uint32(key[10:])), true
}

// eachRecord goes through all records of a kind.
func (e *Engine) eachRecord(kind byte, do func(key, value []byte) error) error {
	it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		return err
	}
	defer it.Close()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		if err := do(it.Key(), value); err != nil {
			return err
		}
	}
	return it.Error()
}

// broken collects the damaged records that a scan met.
type broken struct {
	keys, values [][]byte
	causes       []error
}

// maxBroken is how many damaged records one scan sets aside.
const maxBroken = 1000

func (d *broken) add(key, value []byte, cause error) {
	if len(d.keys) < maxBroken {
		d.keys = append(d.keys, bytes.Clone(key))
		d.values = append(d.values, bytes.Clone(value))
		d.causes = append(d.causes, cause)
	}
}

// setAside moves damaged records away, if they are still as they were seen.
func (e *Engine) setAside(d *broken) {
	if len(d.keys) == 0 {
		return
	}
	b := e.db.NewBatch()
	e.moveAside(b, d)
	if err := e.commitLater(b); err != nil {
		e.o.Log.Error("setting damaged records aside failed", "error", err)
	}
}

func (e *Engine) moveAside(b *pebble.Batch, d *broken) {
	for i, key := range d.keys {
		value, closer, err := e.db.Get(key)
		if err != nil {
			continue
		}
		if bytes.Equal(value, d.values[i]) {
			b.Set(append([]byte{kindDamaged}, key...), value, nil)
			b.Delete(key, nil)
			e.damaged.Add(1)
			e.o.Log.Error("a damaged record was set aside", "key", fmt.Sprintf("%x", key), "error", d.causes[i])
		}
		closer.Close()
	}
}

func (e *Engine) countDamaged() error {
	return e.eachRecord(kindDamaged, func(_, _ []byte) error {
		e.damaged.Add(1)
		return nil
	})
}

// scan yields the records in a range, decoded. Damaged ones are left out and
// set aside; any other error ends it.
func scan[T any](ctx context.Context, e *Engine, r span, decode func(key, value []byte) (T, error), yield func(T, error) bool) {
	scanAt(ctx, e, e.db, r, decode, yield)
}

// scanAt is scan on a snapshot.
func scanAt[T any](ctx context.Context, e *Engine, at pebble.Reader, r span, decode func(key, value []byte) (T, error), yield func(T, error) bool) {
	var none T
	it, err := at.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: r.from, UpperBound: r.to})
	if err != nil {
		yield(none, e.readError(err))
		return
	}
	bad := r.bad
	if bad == nil {
		bad = &broken{}
		defer func() { e.setAside(bad) }()
	}
	defer it.Close()
	last := append(make([]byte, 0, 32), r.from...)
	for n, ok := 0, it.First(); ok || it.Error() != nil; n, ok = n+1, it.Next() {
		if n%1024 == 1023 && ctx.Err() != nil {
			yield(none, ctx.Err())
			return
		}
		if !ok {
			if err := e.leap(it, &r, last); err != nil {
				yield(none, e.readError(err))
				return
			}
			r.miss()
			if !it.Valid() {
				return
			}
		}
		value, err := it.ValueAndErr()
		if err != nil {
			yield(none, e.readError(err))
			return
		}
		last = append(last[:0], it.Key()...)
		got, err := decode(it.Key(), value)
		if errors.Is(err, engine.ErrDamaged) {
			bad.add(it.Key(), value, err)
			r.miss()
			continue
		}
		if !yield(got, err) {
			return
		}
	}
}

// guarded is a sequence that keeps the engine open while it runs.
func guarded[T any](e *Engine, run func(yield func(T, error) bool)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		if err := e.enter(); err != nil {
			var none T
			yield(none, err)
			return
		}
		defer e.leave()
		run(yield)
	}
}

// Accounts lists every account, by name. A damaged one is left out and
// reported, but never set aside: its name must not look free.
func (e *Engine) Accounts(ctx context.Context) iter.Seq2[engine.Account, error] {
	return guarded(e, func(yield func(engine.Account, error) bool) {
		find := func(key, value []byte) (engine.Account, error) {
			id, err := decodeNumber(key, value)
			if err != nil {
				return engine.Account{}, fmt.Errorf("%w: %v", errLeftOut, err)
			}
			a, err := e.account(engine.AccountID(id))
			if errors.Is(err, engine.ErrDamaged) {
				err = fmt.Errorf("%w: %v", errLeftOut, err)
			}
			return a, err
		}
		each := func(a engine.Account, err error) bool {
			if errors.Is(err, errLeftOut) {
				e.o.Log.Error("a damaged account", "error", err)
				return true
			}
			if errors.Is(err, engine.ErrNotFound) {
				return true // forgotten while we looked
			}
			return yield(a, err)
		}
		scan(ctx, e, span{from: []byte{kindName}, to: []byte{kindName + 1}}, find, each)
	})
}

var errLeftOut = errors.New("account left out")

func (e *Engine) account(id engine.AccountID) (engine.Account, error) {
	key := partKey(id, partRecord)
	value, closer, err := e.db.Get(key)
	if err != nil {
		return engine.Account{}, e.readError(err)
	}
	defer closer.Close()
	return decodeAccount(key, value)
}

// Account finds an account by name, with all its mailboxes.
func (e *Engine) Account(ctx context.Context, name string) (engine.Account, []engine.Mailbox, error) {
	if err := e.enter(); err != nil {
		return engine.Account{}, nil, err
	}
	defer e.leave()
	a, boxes, err := e.findAccount(ctx, name)
	if err != nil {
		return engine.Account{}, nil, fmt.Errorf("account %q: %w", name, err)
	}
	return a, boxes, nil
}

func (e *Engine) findAccount(ctx context.Context, name string) (engine.Account, []engine.Mailbox, error) {
	key := nameKey(name)
	value, closer, err := e.db.Get(key)
	if err != nil {
		return engine.Account{}, nil, e.readError(err)
	}
	id, err := decodeNumber(key, value)
	closer.Close()
	if err != nil {
		return engine.Account{}, nil, err
	}
	a, err := e.account(engine.AccountID(id))
	if err != nil {
		return engine.Account{}, nil, err
	}
	var boxes []engine.Mailbox
	from := partKey(a.ID, partMailbox)
	scan(ctx, e, span{from: from, to: after(from)}, decodeMailbox, func(m engine.Mailbox, merr error) bool {
		if err = merr; err == nil {
			boxes = append(boxes, m)
		}
		return err == nil
	})
	return a, boxes, err
}

// alive says whether a mailbox has a record. Without one, what is under it is
// only waiting to be buried.
func (e *Engine) alive(a engine.AccountID, m engine.MailboxID) (bool, error) {
	_, closer, err := e.db.Get(mailboxKey(a, partMailbox, m))
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if pebble.IsCorruptionError(err) {
		return true, nil // what is under it may be well
	}
	if err != nil {
		return false, e.readError(err)
	}
	return true, closer.Close()
}

// ofMailbox is guarded, and yields nothing for a mailbox that is not there.
func ofMailbox[T any](e *Engine, a engine.AccountID, m engine.MailboxID, run func(yield func(T, error) bool)) iter.Seq2[T, error] {
	return guarded(e, func(yield func(T, error) bool) {
		switch alive, err := e.alive(a, m); {
		case err != nil:
			var none T
			yield(none, err)
		case alive:
			run(yield)
		}
	})
}

// Entries gives a mailbox's index by rising UID, starting at from.
func (e *Engine) Entries(ctx context.Context, a engine.AccountID, m engine.MailboxID, from engine.UID) iter.Seq2[engine.Entry, error] {
	return ofMailbox(e, a, m, func(yield func(engine.Entry, error) bool) {
		at := e.db.NewSnapshot()
		defer at.Close()
		e.walk(ctx, at, mailboxRef{a, m}, from, true, yield)
	})
}

// Details gives the details of messages; they lie in the blocks of the database,
// and hold until the next.
func (e *Engine) Details(ctx context.Context, a engine.AccountID, m engine.MailboxID, uids []engine.UID) iter.Seq2[engine.Detailed, error] {
	return ofMailbox(e, a, m, func(yield func(engine.Detailed, error) bool) {
		if len(uids) == 1 {
			if d, ok := e.detail(a, m, uids[0]); ok {
				yield(d, nil)
				return
			}
		}
		if len(uids) > 0 {
			e.details(ctx, a, m, uids, yield)
		}
	})
}

// detail reads one that is there and well, for which an iterator is not worth
// its making.
func (e *Engine) detail(a engine.AccountID, m engine.MailboxID, uid engine.UID) (engine.Detailed, bool) {
	key := messageKey(a, partDetail, m, uid)
	value, closer, err := e.db.Get(key)
	if err != nil {
		return engine.Detailed{}, false
	}
	defer closer.Close()
	d, err := decodeDetail(key, bytes.Clone(value))
	return engine.Detailed{UID: uid, Detail: d}, err == nil
}

func (e *Engine) details(ctx context.Context, a engine.AccountID, m engine.MailboxID, uids []engine.UID, yield func(engine.Detailed, error) bool) {
	var none engine.Detailed
	all := mailboxKey(a, partDetail, m)
	it, err := e.db.NewIterWithContext(ctx, &pebble.IterOptions{
		LowerBound: messageKey(a, partDetail, m, uids[0]), UpperBound: after(all),
	})
	if err != nil {
		yield(none, e.readError(err))
		return
	}
	var bad broken
	defer func() { e.setAside(&bad) }()
	defer it.Close()
	key := make([]byte, 0, messageKeySize)
	for n, uid := range uids {
		if n%1024 == 1023 && ctx.Err() != nil {
			yield(none, ctx.Err())
			return
		}
		key = appendMessageKey(key[:0], a, partDetail, m, uid)
		if !nextOrSeek(it, key) {
			if err := it.Error(); pebble.IsCorruptionError(err) {
				continue // reported when it was read; later ones may be well
			} else if err != nil {
				yield(none, e.readError(err))
			}
			return
		}
		if !bytes.Equal(it.Key(), key) {
			continue
		}
		d, err := decodeDetail(key, it.Value())
		if errors.Is(err, engine.ErrDamaged) {
			bad.add(key, it.Value(), err)
			continue
		}
		if !yield(engine.Detailed{UID: uid, Detail: d}, err) {
			return
		}
	}
}

// nextOrSeek moves on to a key, which is mostly the next one.
func nextOrSeek(it *pebble.Iterator, key []byte) bool {
	for range 2 {
		if !it.Valid() {
			break
		}
		if bytes.Compare(it.Key(), key) >= 0 {
			return true
		}
		it.Next()
	}
	return it.SeekGE(key)
}

// Expunged gives the UIDs expunged after a MODSEQ.
func (e *Engine) Expunged(ctx context.Context, a engine.AccountID, m engine.MailboxID, since engine.ModSeq) iter.Seq2[engine.Expunged, error] {
	return ofMailbox(e, a, m, func(yield func(engine.Expunged, error) bool) {
		if since+1 == 0 {
			return
		}
		r := span{
			from: goneKey(a, m, since+1, 0),
			to:   after(mailboxKey(a, partGone, m)),
			key:  func(n uint64) []byte { return goneKey(a, m, engine.ModSeq(n), 0) },
			of:   func(key []byte) uint64 { return binary.BigEndian.Uint64(key[14:]) },
			max:  math.MaxInt64, // RFC 7162 section 3.1.1: 63 bits
		}
		scan(ctx, e, r, decodeGone, func(gone expunged, err error) bool {
			if err != nil {
				return yield(engine.Expunged{}, err)
			}
			for _, uid := range gone.uids {
				if !yield(engine.Expunged{UID: uid, ModSeq: gone.at}, nil) {
					return false
				}
			}
			return true
		})
	})
}

// expunged are the messages that went with one commit.
type expunged struct {
	at   engine.ModSeq
	uids []engine.UID
}

// encodeGone names the first UID in the key and the others in the record.
func encodeGone(key []byte, uids []engine.UID) []byte {
	b := append(make([]byte, 0, 8+2*len(uids)), recordVersion)
	before := uids[0]
	for _, uid := range uids[1:] {
		b = binary.AppendUvarint(b, uint64(uid-before))
		before = uid
	}
	return seal(key, b)
}

func decodeGone(key, value []byte) (expunged, error) {
	raw, err := unseal(key, value)
	if err != nil {
		return expunged{}, err
	}
	if len(key) != 1+8+1+4+8+4 {
		return expunged{}, fmt.Errorf("%w: key of %d octets", engine.ErrDamaged, len(key))
	}
	gone := expunged{at: engine.ModSeq(binary.BigEndian.Uint64(key[14:])), uids: []engine.UID{uidOf(key)}}
	f := fields{rest: raw}
	for at := uint64(uidOf(key)); len(f.rest) > 0 && !f.bad; {
		step := f.uint()
		if at += step; step == 0 || at > math.MaxUint32 {
			f.bad = true
		}
		gone.uids = append(gone.uids, engine.UID(at))
	}
	return gone, f.end()
}

// Items gives every queue item by rising ID.
func (e *Engine) Items(ctx context.Context) iter.Seq2[mail.Item, error] {
	return guarded(e, func(yield func(mail.Item, error) bool) {
		r := span{
			from: idKey(kindItem, mail.ID{}),
			to:   []byte{kindItem + 1},
			key:  func(n uint64) []byte { return idKey(kindItem, mail.FirstID(time.UnixMilli(int64(n)))) },
			of:   func(key []byte) uint64 { return uint64(mail.ID(key[1:17]).Time().UnixMilli()) },
			max:  1<<48 - 1,
		}
		scan(ctx, e, r, decodeItem, yield)
	})
}

// Room says whether mail of the size can be taken now.
func (e *Engine) Room(size int64) error {
	if err := e.enter(); err != nil {
		return err
	}
	defer e.leave()
	return e.space.room(size)
}

var _ engine.Engine = (*Engine)(nil)
