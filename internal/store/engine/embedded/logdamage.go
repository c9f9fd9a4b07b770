package embedded

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"
	"github.com/cockroachdb/pebble/v2/wal"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// logDamage says that changes are lost in a log, though they were acknowledged.
type logDamage struct {
	log   string
	at    int
	cause error // of the disk
}

func (d *logDamage) Error() string {
	if d.cause != nil {
		return fmt.Sprintf("log %s cannot be read: %v", d.log, d.cause)
	}
	return fmt.Sprintf("log %s is damaged at %d, where changes were acknowledged", d.log, d.at)
}

func logNumber(name string) (uint64, bool) {
	n, _, ok := wal.ParseLogFilename(name)
	return uint64(n), ok
}

// checkLog refuses a log in which something acknowledged is lost. Pebble reads no
// log but those of which it needs something.
func (e *Engine) checkLog(path string) error {
	l, err := e.readLog(e.fs.PathBase(path), false)
	if errors.Is(err, syscall.EIO) {
		return &logDamage{log: e.fs.PathBase(path), cause: errors.New(err.Error())}
	}
	if err != nil {
		return err
	}
	last, err := e.newestLog(l.number)
	if err != nil {
		return err
	}
	if at, damaged := l.damage(last); damaged {
		return &logDamage{log: l.name, at: at}
	}
	return nil
}

// newestLog says that no log follows that of a number.
func (e *Engine) newestLog(number uint64) (bool, error) {
	names, err := e.fs.List(e.records)
	for _, name := range names {
		if n, ok := logNumber(name); ok && n > number {
			return false, err
		}
	}
	return true, err
}

// mendLogs puts logs without what is lost in the place of those in which Open met
// damage, which go aside. It says nothing if that was not what Open met.
func (e *Engine) mendLogs(aside string) (said []Repaired, err error) {
	mended := map[string]bool{}
	for {
		var d *logDamage
		err := e.tryRecords()
		if err == nil || !errors.As(err, &d) || mended[d.log] {
			return said, nil
		}
		mended[d.log] = true
		done, err := e.mendLog(d, aside)
		if err != nil {
			return said, err
		}
		said = append(said, done)
	}
}

// tryRecords opens the database as Open does, and changes nothing.
func (e *Engine) tryRecords() error {
	if marker, err := atomicfs.ReadMarker(e.fs, e.records, manifestMarker); err != nil || marker == "" {
		return cmp.Or(err, ErrRecords)
	}
	if err := cmp.Or(e.checkVersion(), e.checkManifest()); err != nil {
		return err
	}
	return e.guard(func() error {
		db, err := pebble.Open(e.records, &pebble.Options{
			FS: logFS{FS: e.fs, e: e}, ReadOnly: true, Lock: e.lock, FormatMajorVersion: formatVersion, Logger: logger{e},
		})
		if err != nil {
			return err
		}
		return db.Close()
	})
}

// mendLog keeps a log aside, and leaves what is sound of it.
func (e *Engine) mendLog(d *logDamage, aside string) (said Repaired, err error) {
	l, err := e.readLog(d.log, true)
	if err != nil {
		return said, err
	}
	last, err := e.newestLog(l.number)
	if err != nil {
		return said, err
	}
	if last && !l.unreadable {
		l.cut()
	}
	if err := vfs.MakeDir(e.fs, aside); err != nil {
		return said, err
	}
	kept := e.fs.PathJoin(aside, l.name)
	if err := e.writeNew(kept, l.octets); err != nil {
		return said, err
	}
	if err := vfs.SyncDir(e.fs, aside); err != nil {
		return said, err
	}
	path := e.fs.PathJoin(e.records, l.name)
	if err := e.writeNew(path+freshSuffix, l.mended(last)); err != nil {
		return said, err
	}
	if err := errors.Join(e.fs.Rename(path+freshSuffix, path), vfs.SyncDir(e.fs, e.records)); err != nil {
		return said, err
	}
	done := fmt.Sprintf("%v; %d commits are left of it, UIDs and MODSEQs go on far above those that it gave", d, len(l.records))
	return Repaired{Record: "log " + l.name, Done: done, Kept: kept}, nil
}

func (e *Engine) writeNew(path string, octets []byte) error {
	f, err := vfs.CreatePrivate(e.fs, path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, bytes.NewReader(octets))
	return errors.Join(err, f.Sync(), f.Close())
}

// mended is the log again of what is whole.
func (l *logText) mended(last bool) (out []byte) {
	if !l.closed && (!last || l.unreadable) {
		l.gaps = append(l.gaps, gap{l.end, len(l.records)})
	}
	for _, text := range l.whole() {
		out = appendLogRecord(out, l.number, text)
	}
	out = append(out, "\x00\x00\x00\x00\x00\x00\x05"...)
	return binary.LittleEndian.AppendUint32(out, uint32(l.number)+1)
}

// appendLogRecord writes a record in chunks.
func appendLogRecord(out []byte, log uint64, text []byte) []byte {
	for first := true; first || len(text) > 0; first = false {
		room := chunkBlock - len(out)%chunkBlock - logHead
		n := min(room, len(text))
		kind := byte(chunkMiddle)
		switch last := n == len(text); {
		case first && last:
			kind = chunkFull
		case first:
			kind = chunkFirst
		case last:
			kind = chunkLast
		}
		at := len(out)
		out = append(out, 0, 0, 0, 0, byte(n), byte(n>>8), kind+chunkKinds)
		out = append(binary.LittleEndian.AppendUint32(out, uint32(log)), text[:n]...)
		binary.LittleEndian.PutUint32(out[at:], chunkSum(out[at+6:]))
		if left := chunkBlock - len(out)%chunkBlock; left < logHead {
			out = append(out, make([]byte, left)...)
		}
		text = text[n:]
	}
	return out
}

// whole gives the records, and for each gap in which changes are lost one that says
// so, by a number of theirs.
func (l *logText) whole() (texts [][]byte) {
	gaps := l.gaps
	for i := 0; ; i++ {
		for len(gaps) > 0 && gaps[0].before == i {
			if note := l.note(gaps[0]); note != nil {
				texts = append(texts, note)
			}
			gaps = gaps[1:]
		}
		if i == len(l.records) {
			return texts
		}
		texts = append(texts, l.records[i].text)
	}
}

// note is the record that says what is lost where, and since when bodies may be.
func (l *logText) note(g gap) []byte {
	number := pebble.SeqNum(16) // any that is none of Pebble's own
	if g.before > 0 {
		number = l.records[g.before-1].next
	}
	if g.before < len(l.records) {
		if next := l.records[g.before].first; g.before == 0 {
			number = max(number, next-1)
		} else if number == next {
			return nil // nothing is missing
		}
	}
	key := binary.BigEndian.AppendUint64(numberKey(kindHole, l.number), uint64(g.at))
	var b pebble.Batch
	b.Set(key, encodeNumber(key, uint64(max(0, l.since(g).UnixNano()))), nil)
	text := bytes.Clone(b.Repr())
	batchrepr.SetSeqNum(text, number)
	return text
}

// longestTake is how long a body may be on its way before the commit that takes it.
const longestTake = time.Hour

// since is a time from which on the bodies are that a gap lost: not long before
// those in the log before it, or else behind it.
func (l *logText) since(g gap) time.Time {
	var newest mail.ID
	for i, r := range l.records {
		if i >= g.before && !newest.IsZero() {
			break
		}
		for r := batchrepr.Read(r.text); ; {
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
