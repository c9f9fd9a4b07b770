package embedded

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// Repaired is something that Repair has set right.
type Repaired struct {
	Record string // which one, for people
	Done   string // what was done
	Kept   string // the file that keeps what was set aside, "" if there is none
}

// Repair makes a store that Check finds no fault with, and says what it did.
// Nothing is thrown away: what cannot be read is written to files in a
// directory, aside, as far as there are octets of it, before it goes from the
// store. Nobody else may use the engine meanwhile.
func (e *Engine) Repair(ctx context.Context, aside string) iter.Seq2[Repaired, error] {
	return func(yield func(Repaired, error) bool) {
		if err := e.enter(); err != nil {
			yield(Repaired{}, err)
			return
		}
		defer e.leave()
		e.reclaimer.mu.Lock()
		defer e.reclaimer.mu.Unlock()
		e.indexing.Lock()
		defer e.indexing.Unlock()
		r := &repairer{e: e, ctx: ctx, aside: aside, yield: yield, accounts: map[engine.AccountID]*account{}}
		for _, step := range []func() error{
			r.flat, r.accountRecords, r.places, r.names, r.mailboxes, r.items, r.owners, r.orphans, r.lost, r.export,
		} {
			if err := step(); err != nil {
				if !errors.Is(err, errEnough) {
					yield(Repaired{}, e.readError(err))
				}
				return
			}
		}
	}
}

// errEnough says that nobody wants to hear more.
var errEnough = errors.New("enough")

type repairer struct {
	e     *Engine
	ctx   context.Context
	aside string
	files int
	yield func(Repaired, error) bool

	accounts map[engine.AccountID]*account
}

// account is what is left of one.
type account struct {
	rec   *engine.Account // nil if it is lost
	boxes map[engine.MailboxID]*engine.Mailbox
	heirs map[engine.MailboxID]bool // with messages, whether or not there is a record
}

func (r *repairer) say(record, kept, format string, args ...any) error {
	if err := r.ctx.Err(); err != nil {
		return err
	}
	if !r.yield(Repaired{Record: record, Done: fmt.Sprintf(format, args...), Kept: kept}, nil) {
		return errEnough
	}
	return nil
}

// finish commits what a step has changed.
func (r *repairer) finish(b *pebble.Batch, err error) error {
	if err != nil || b.Empty() {
		return errors.Join(err, b.Close())
	}
	return r.e.commitWait(b)
}

// each goes through all records of a kind that can be read, and sets aside those
// that check finds damaged.
func (r *repairer) each(kind byte, check func(key, value []byte) error) error {
	var bad broken
	err := r.e.eachReadable(r.ctx, r.e.db, kind, func(key, value []byte) error {
		if err := check(key, value); errors.Is(err, engine.ErrDamaged) {
			bad.add(key, value, err)
			return r.say(describe(key), "", "set aside: %v", err)
		} else if err != nil {
			return err
		}
		return nil
	})
	r.e.setAside(&bad)
	if err == nil && len(bad.keys) == maxBroken {
		return r.each(kind, check)
	}
	return err
}

// eachReadable goes through the records of a kind, over what cannot be read.
func (e *Engine) eachReadable(ctx context.Context, at pebble.Reader, kind byte, do func(key, value []byte) error) error {
	return e.eachReadableIn(ctx, at, []byte{kind}, []byte{kind + 1}, do)
}

// eachReadableIn goes through a range of keys.
func (e *Engine) eachReadableIn(ctx context.Context, at pebble.Reader, from, to []byte, do func(key, value []byte) error) error {
	it, err := at.NewIterWithContext(ctx, &pebble.IterOptions{LowerBound: from, UpperBound: to})
	if err != nil {
		return err
	}
	defer it.Close()
	last := bytes.Clone(from)
	for ok := it.First(); ok || it.Error() != nil; ok = it.Next() {
		if !ok {
			if err := e.leapAnywhere(it, last); err != nil {
				return err
			}
			if !it.Valid() {
				return nil
			}
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		last = append(last[:0], it.Key()...)
		if err := do(it.Key(), value); err != nil {
			return err
		}
	}
	return nil
}

// leapAnywhere is leap over keys of any kind: whatever follows a prefix of the
// last key is taken for a number, the longest prefix first. Where even that
// does not help, the damage reaches to the end: the iterator is then not valid.
func (e *Engine) leapAnywhere(it *pebble.Iterator, last []byte) error {
	cause := it.Error()
	if !pebble.IsCorruptionError(cause) {
		return cause
	}
	for n := max(len(last)-8, 1); n >= 1; n-- {
		prefix := bytes.Clone(last[:n])
		r := span{
			key: func(n uint64) []byte { return binary.BigEndian.AppendUint64(bytes.Clone(prefix), n) },
			of: func(key []byte) uint64 {
				var number [8]byte
				copy(number[:], key[len(prefix):])
				return binary.BigEndian.Uint64(number[:])
			},
			max: math.MaxUint64,
		}
		if it.SeekGE(r.key(math.MaxUint64)); it.Error() != nil {
			continue
		}
		if e.leapOver(it, &r, last, cause) == nil {
			return nil
		}
	}
	e.leaps.Add(1)
	e.damaged.Add(1)
	e.o.Log.Error("records cannot be read", "after", describe(last), "error", cause)
	return nil
}

// flat sets aside damaged records that stand by themselves.
func (r *repairer) flat() error {
	for _, k := range []struct {
		kind  byte
		check func(key, value []byte) error
	}{
		{kindName, func(key, value []byte) error { _, err := decodeNumber(key, value); return err }},
		{kindItem, func(key, value []byte) error { _, err := decodeItem(key, value); return err }},
		{kindSegment, func(key, value []byte) error { _, err := decodeSegment(key, value); return err }},
		{kindLocation, func(key, value []byte) error { _, err := decodeLocation(key, value); return err }},
		{kindRedo, func(_, value []byte) error { _, _, err := openFrame(value); return err }},
		{kindSuspect, func(key, value []byte) error {
			if _, ok := suspectsOf(key, value); !ok {
				return fmt.Errorf("%w: key of %d octets", engine.ErrDamaged, len(key))
			}
			return nil
		}},
	} {
		if err := r.each(k.kind, k.check); err != nil {
			return err
		}
	}
	return nil
}

// accountRecords takes stock of the accounts and their mailboxes, and sets
// aside what is damaged, but for the indexes, which mend themselves.
func (r *repairer) accountRecords() error {
	return r.each(kindAccount, func(key, value []byte) error {
		if len(key) < 10 {
			return fmt.Errorf("%w: key of %d octets", engine.ErrDamaged, len(key))
		}
		id := engine.AccountID(numberOf(key))
		if r.e.graves.has(grave{account: id, all: true}) {
			return nil
		}
		a := r.accounts[id]
		if a == nil {
			a = &account{boxes: map[engine.MailboxID]*engine.Mailbox{}, heirs: map[engine.MailboxID]bool{}}
			r.accounts[id] = a
		}
		switch key[9] {
		case partRecord:
			rec, err := decodeAccount(key, value)
			if err == nil {
				a.rec = &rec
			}
			return err
		case partMailbox:
			rec, err := decodeMailbox(key, value)
			if err == nil {
				a.boxes[rec.ID] = &rec
			}
			return err
		case partNote:
			_, err := decodeNote(key, value)
			return err
		case partGone:
			_, err := decodeGone(key, value)
			return err
		case partDetail:
			if len(key) == 18 {
				a.heirs[engine.MailboxID(binary.BigEndian.Uint32(key[10:]))] = true
			}
			_, err := decodeDetail(key, value)
			return err
		case partLog, partPage, partRest:
			return nil
		}
		return fmt.Errorf("%w: unknown part %q", engine.ErrDamaged, key[9])
	})
}

// names gives every account a record and a name that leads to it.
func (r *repairer) names() error {
	named := map[engine.AccountID]string{}
	err := r.e.eachReadable(r.ctx, r.e.db, kindName, func(key, value []byte) error {
		if id, err := decodeNumber(key, value); err == nil {
			named[engine.AccountID(id)] = string(key[1:])
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(r.accounts)) {
		a := r.accounts[id]
		if id == 0 { // notes of the site
			continue
		}
		if a.rec == nil {
			if err := r.newAccount(id, a, named[id]); err != nil {
				return err
			}
		}
		if named[id] == a.rec.Name {
			continue
		}
		key := nameKey(a.rec.Name)
		if err := r.e.set(key, encodeNumber(key, uint64(id))); err != nil {
			return err
		}
		if err := r.say(fmt.Sprintf("account %d", id), "", "found again as %q", a.rec.Name); err != nil {
			return err
		}
	}
	for id, name := range named {
		if r.accounts[id] != nil {
			continue
		}
		b := r.e.db.NewBatch()
		if err := errors.Join(b.Delete(nameKey(name), nil), r.e.commitWait(b)); err != nil {
			return err
		}
		if err := r.say(fmt.Sprintf("name %q", name), "", "removed: nothing is left of account %d", id); err != nil {
			return err
		}
	}
	return nil
}

// newAccount makes the record of an account anew.
func (r *repairer) newAccount(id engine.AccountID, a *account, name string) error {
	if name == "" {
		name = fmt.Sprintf("recovered-%d", id)
	}
	now := r.e.o.Now()
	rec := engine.Account{ID: id, Name: name, NextMailbox: 1, NextUIDValidity: uint32(max(now.Unix(), 1)), Created: now}
	for m := range a.heirs {
		rec.NextMailbox = max(rec.NextMailbox, m+1)
	}
	for m, box := range a.boxes {
		rec.NextMailbox = max(rec.NextMailbox, m+1)
		rec.NextUIDValidity = max(rec.NextUIDValidity, box.UIDValidity+1)
	}
	a.rec = &rec
	key := partKey(id, partRecord)
	if err := r.e.set(key, encodeAccount(key, &rec)); err != nil {
		return err
	}
	return r.say(fmt.Sprintf("account %d", id), "", "its record was made anew for %q", name)
}

// keep writes what is set aside to a file of its own.
func (r *repairer) keep(name string, from io.Reader) (string, error) {
	fs := r.e.fs
	if err := vfs.MakeDir(fs, r.aside); err != nil {
		return "", err
	}
	r.files++
	path := fs.PathJoin(r.aside, fmt.Sprintf("%04d-%s", r.files, name))
	f, err := vfs.CreatePrivate(fs, path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if _, err := io.Copy(f, from); err != nil {
		return "", fmt.Errorf("set aside %s: %w", path, err)
	}
	if err := f.Sync(); err != nil {
		return "", fmt.Errorf("set aside %s: %w", path, err)
	}
	return path, vfs.SyncDir(fs, r.aside)
}

// keepBody writes a body that cannot be read to files, as far as it can.
func (r *repairer) keepBody(name string, id mail.ID) (string, error) {
	raw, err := r.e.rawBody(id)
	if err != nil {
		return "", nil // there is nothing of it
	}
	defer raw.Close()
	path, err := r.keep(name+".raw", raw)
	if err != nil {
		return "", err
	}
	text := r.e.rest(id)
	if text == nil {
		return path, nil
	}
	defer text.Close()
	return r.keep(name+".eml", text)
}

// export moves the damaged records to a file.
func (r *repairer) export() error {
	var lines bytes.Buffer
	b := r.e.db.NewBatch()
	err := r.e.eachReadable(r.ctx, r.e.db, kindDamaged, func(key, value []byte) error {
		fmt.Fprintf(&lines, "%s\t%x\t%x\n", describe(key[1:]), key[1:], value)
		return b.Delete(key, nil)
	})
	if err != nil || lines.Len() == 0 {
		b.Close()
		return err
	}
	path, err := r.keep("records.tsv", &lines)
	if err != nil {
		b.Close()
		return err
	}
	count := b.Count()
	if err := r.e.commitWait(b); err != nil {
		return err
	}
	r.e.damaged.Store(0)
	return r.say("damaged records", path, "%d moved to a file", count)
}
