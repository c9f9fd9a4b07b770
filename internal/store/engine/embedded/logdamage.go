package embedded

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/store/engine/embedded/wal"
	"plic/internal/vfs"
)

// readLogs finds what logs hold behind a number, over what is damaged.
func (e *Engine) readLogs(held uint64) (found *damagedLog, damage *wal.Damage, err error) {
	_, err = wal.Read(e.fs, e.records, held, false)
	if err != nil && !errors.As(err, &damage) {
		return nil, nil, err
	}
	found = new(damagedLog)
	if found.Found, err = wal.Read(e.fs, e.records, held, true); err != nil {
		return nil, nil, err
	}
	found.held, found.unreadable = held, damage != nil
	if damage == nil {
		damage = found.Damage()
	}
	return found, damage, nil
}

// damagedLog is a log of which something may be lost.
type damagedLog struct {
	*wal.Found
	held       uint64
	unreadable bool // by the disk
}

// whole gives the records, and for each gap one that says so, in the place of those
// that are lost.
func (l *damagedLog) whole() (all []wal.Record, err error) {
	have := l.held
	gap := func(upTo uint64) {
		if upTo > have {
			all = append(all, wal.Record{From: have + 1, N: upTo})
			have = upTo
		}
	}
	err = l.Each(func(r wal.Record) error {
		gap(r.From - 1)
		have = r.N
		all = append(all, wal.Record{From: r.From, N: r.N, Text: bytes.Clone(r.Text)})
		return nil
	})
	gap(l.Promised())
	if l.unreadable { // who knows what stood there last
		gap(have + 1)
	}
	for i := range all {
		if all[i].Text == nil {
			all[i].Text = note(all, i)
		}
	}
	return all, err
}

// note is a commit that says what is lost in its place, and since when bodies may be.
func note(all []wal.Record, at int) []byte {
	r := all[at]
	key := binary.BigEndian.AppendUint64(numberKey(kindHole, r.From), r.N-r.From+1)
	var b pebble.Batch
	b.Set(key, encodeNumber(key, uint64(max(0, since(all, at).UnixNano()))), nil)
	b.Set(positionKey, encodeNumber(positionKey, r.N), nil)
	return bytes.Clone(b.Repr())
}

// longestTake is how long a body may be on its way before the commit that takes it.
const longestTake = time.Hour

// since is a time from which on the bodies are that a gap lost: not long before
// those in the log before it, or else behind it.
func since(all []wal.Record, gap int) time.Time {
	var newest mail.ID
	for i, r := range all {
		if i >= gap && !newest.IsZero() {
			break
		}
		if r.Text == nil {
			continue
		}
		for r := batchrepr.Read(r.Text); ; {
			kind, key, _, ok, err := r.Next()
			if err != nil || !ok {
				break
			}
			if id := key[min(1, len(key)):]; kind == pebble.InternalKeyKindSet && len(key) == 17 && key[0] == kindLocation && bytes.Compare(id, newest[:]) > 0 {
				newest = mail.ID(id)
			}
		}
	}
	if newest.IsZero() {
		return time.Time{}
	}
	return newest.Time().Add(-longestTake)
}

// mendLog puts what is sound of the log in its place, if it is damaged, and keeps the
// old files. It says nothing if that is not why the records cannot be opened.
func (e *Engine) mendLog(aside string) ([]Repaired, error) {
	held, err := e.held()
	if err != nil {
		return nil, nil
	}
	found, damage, err := e.readLogs(held)
	if err != nil || damage == nil {
		return nil, err
	}
	records, err := found.whole()
	if err != nil {
		return nil, err
	}
	if err := e.keepLogs(found, aside); err != nil {
		return nil, err
	}
	name, octets := wal.Mended(records)
	path := e.fs.PathJoin(e.records, name)
	if err := e.writeNew(path+freshSuffix, octets); err != nil {
		return nil, err
	}
	if err := errors.Join(e.fs.Rename(path+freshSuffix, path), vfs.SyncDir(e.fs, e.records)); err != nil {
		return nil, err
	}
	for _, old := range found.Files() {
		if old != name {
			err = errors.Join(err, e.fs.Remove(e.fs.PathJoin(e.records, old)))
		}
	}
	return []Repaired{{
		Record: "log " + damage.File,
		Done:   fmt.Sprintf("%v; %d commits are left of all logs, UIDs and MODSEQs go on far above those that it gave", damage, len(records)),
		Kept:   e.fs.PathJoin(aside, damage.File),
	}}, errors.Join(err, vfs.SyncDir(e.fs, e.records))
}

// held is the number of the last commit that the tables hold, without changing any.
func (e *Engine) held() (n uint64, err error) {
	if marker, err := atomicfs.ReadMarker(e.fs, e.records, manifestMarker); err != nil || marker == "" {
		return 0, cmp.Or(err, ErrRecords)
	}
	if err := cmp.Or(e.checkVersion(), e.checkManifest()); err != nil {
		return 0, err
	}
	err = e.guard(func() error {
		db, err := pebble.Open(e.records, &pebble.Options{
			FS: e.fs, ReadOnly: true, Lock: e.lock, FormatMajorVersion: formatVersion, Logger: logger{e},
		})
		if err != nil {
			return err
		}
		n, err = e.durable(db)
		return errors.Join(err, db.Close())
	})
	return n, err
}

// keepLogs copies all files of the log.
func (e *Engine) keepLogs(found *damagedLog, aside string) error {
	if err := vfs.MakeDir(e.fs, aside); err != nil {
		return err
	}
	for _, name := range found.Files() {
		octets, err := found.Octets(name)
		if err == nil {
			err = e.writeNew(e.fs.PathJoin(aside, name), octets)
		}
		if err != nil {
			return err
		}
	}
	return vfs.SyncDir(e.fs, aside)
}

func (e *Engine) writeNew(path string, octets []byte) error {
	f, err := vfs.CreatePrivate(e.fs, path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, bytes.NewReader(octets))
	return errors.Join(err, f.Sync(), f.Close())
}

// leapHoles goes on far above the UIDs and MODSEQs that lost changes may have given.
// The records that say what is lost are then among those set aside, until Repair.
func (e *Engine) leapHoles(ctx context.Context) error {
	b := e.db.NewBatch()
	err := e.eachRecord(kindHole, func(key, value []byte) error {
		e.damaged.Add(1)
		e.o.Log.Error("changes that were acknowledged are lost; plic repair looks for what is left of them", "in", describe(key))
		return errors.Join(b.Set(append([]byte{kindDamaged}, key...), value, nil), b.Delete(key, nil))
	})
	if err != nil || b.Empty() {
		return errors.Join(err, b.Close())
	}
	err = engine.Leap(ctx, e)
	if errors.Is(err, engine.ErrDamaged) { // the next start tries again, when that is repaired
		e.o.Log.Error("UIDs may be given again", "error", err)
		return b.Close()
	}
	if err != nil {
		return errors.Join(err, b.Close())
	}
	return e.commitWait(b)
}

// lostSince says that changes are lost, and since when bodies may be.
func (e *Engine) lostSince() (since time.Time, lost bool, err error) {
	oldest := uint64(0)
	for _, prefix := range [][]byte{{kindHole}, {kindDamaged, kindHole}} {
		it, err := e.db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)})
		if err != nil {
			return since, false, err
		}
		for ok := it.First(); ok; ok = it.Next() {
			at, _ := decodeNumber(it.Key()[len(prefix)-1:], it.Value())
			if !lost || at < oldest {
				oldest = at
			}
			lost = true
		}
		if err := it.Close(); err != nil {
			return since, false, err
		}
	}
	return time.Unix(0, int64(oldest)), lost, nil
}

// lost sets aside the bodies of which a log has lost who they were for.
func (r *repairer) lost() error {
	since, lost, err := r.e.lostSince()
	if err != nil || !lost {
		return err
	}
	nameless := func(id mail.ID) bool {
		_, err := r.e.locate(id)
		return errors.Is(err, engine.ErrNotFound) && !id.Time().Before(since)
	}
	say := func(id mail.ID, kept string, err error) error {
		if err != nil {
			return err
		}
		return r.say("body "+id.String(), kept, "set aside: a damaged log has lost who it was for")
	}
	for _, id := range r.e.reclaimer.files {
		if nameless(id) {
			kept, err := r.keepBody("lost-"+id.String(), id)
			if err := say(id, kept, err); err != nil {
				return err
			}
		}
	}
	found := map[mail.ID]bool{}
	for _, number := range r.e.segments.numbers() {
		err := r.e.eachFrame(number, func(_ place, f frame, stored []byte) error {
			if found[f.id] || !nameless(f.id) {
				return nil
			}
			text, err := r.text(&f, stored)
			if err != nil {
				return nil // it is no body
			}
			found[f.id] = true
			kept, err := r.keep("lost-"+f.id.String()+".eml", bytes.NewReader(text))
			return say(f.id, kept, err)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// text is the body that a frame holds.
func (r *repairer) text(f *frame, stored []byte) ([]byte, error) {
	l, err := f.location(stored)
	if err != nil || !l.packed {
		return stored, err
	}
	return r.e.packer.unpack(nil, stored, l.size)
}
