package embedded

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/batchrepr"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs/atomicfs"
	pebblewal "github.com/cockroachdb/pebble/v2/wal"

	"plic/internal/store/engine/embedded/wal"
)

// ErrRecords says that the database of records cannot be opened, since the file
// that says of which files it consists is lost or damaged, or something is lost in a
// log. Rebuild can help.
var ErrRecords = errors.New("the records cannot be opened; plic repair makes them anew of what is there")

// errNoFiles is of Rebuild where nothing is left.
var errNoFiles = errors.New("no file of them is there, only messages: restore a backup")

// Pebble's names.
const (
	manifestMarker = "manifest" // the marker that names the manifest
	versionMarker  = "format-version"
	manifestPrefix = "MANIFEST-"
)

// hasRecords says that there is a database, whatever its marker says, or was, since
// there are bodies: without one Pebble would take the directory for empty, and make
// it so; and bodies that nobody names are reclaimed.
func (e *Engine) hasRecords() bool {
	return e.holdsRecords() || e.holds(e.bodies, segmentSuffix) || e.holds(e.bodies, bodySuffix)
}

func (e *Engine) holdsRecords() bool {
	return e.holds(e.records, ".sst") || e.holds(e.records, wal.Suffix) || e.holds(e.records, oldLogSuffix)
}

// holds says that a directory has such a file that is not empty.
func (e *Engine) holds(dir, suffix string) bool {
	names, err := e.fs.List(dir)
	return err == nil && slices.ContainsFunc(names, func(name string) bool {
		if !strings.HasSuffix(name, suffix) {
			return false
		}
		i, err := e.fs.Stat(e.fs.PathJoin(dir, name))
		return err == nil && i.Size() > 0
	})
}

// Rebuild makes records that cannot be opened anew from their files, of each key
// its newest value, and moves the old ones aside; where only logs are damaged, those.
// It says what it did. Nobody may have the store open.
func Rebuild(ctx context.Context, o Options, aside string) ([]Repaired, error) {
	o.defaults()
	e := &Engine{o: o, fs: o.FS, records: o.FS.PathJoin(o.Dir, "records"), failed: make(chan struct{})}
	lock, err := pebble.LockDirectory(e.records, e.fs)
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrInUse, err)
	}
	e.lock = lock
	if said, err := e.mendLog(aside); err != nil || len(said) > 0 {
		return said, errors.Join(err, lock.Close())
	}
	named, err := "", errNoFiles
	if e.holdsRecords() {
		named, err = e.nameManifest()
	}
	if err == nil && named == "" {
		var said []Repaired
		if said, err = e.rebuild(ctx); err == nil {
			fresh := e.records + freshSuffix
			said = append(said, Repaired{Record: "records", Done: "made anew from their files", Kept: aside})
			return said, errors.Join(lock.Close(), swap(e.fs, e.records, fresh, aside))
		}
	}
	if err = errors.Join(err, lock.Close()); err != nil {
		return nil, fmt.Errorf("rebuild records: %w", err)
	}
	return []Repaired{{Record: "records", Done: "their manifest is named again: " + named}}, nil
}

// nameManifest writes the marker again if only that is lost, and gives what it
// names then.
func (e *Engine) nameManifest() (string, error) {
	marker, at, err := atomicfs.LocateMarker(e.fs, e.records, manifestMarker)
	if err != nil {
		return "", err
	}
	defer marker.Close()
	names, err := e.fs.List(e.records)
	if err != nil || at != "" {
		return "", err
	}
	newest, number := "", uint64(0)
	for _, name := range names {
		if text, ok := strings.CutPrefix(name, manifestPrefix); ok {
			if n, err := strconv.ParseUint(text, 10, 64); err == nil && n >= number {
				newest, number = name, n
			}
		}
	}
	if newest == "" {
		return "", nil
	}
	return newest, marker.Move(newest)
}

// rebuild gathers every version of every record, then writes of each the newest.
func (e *Engine) rebuild(ctx context.Context) (said []Repaired, err error) {
	dir := e.records + ".gathered"
	if err := errors.Join(e.fs.RemoveAll(dir), e.fs.RemoveAll(e.records+freshSuffix)); err != nil {
		return nil, err
	}
	db, err := pebble.Open(dir, &pebble.Options{FS: e.fs, FormatMajorVersion: formatVersion, Logger: logger{e}, DisableWAL: true})
	if err != nil {
		return nil, err
	}
	g := &gathered{e: e, db: db}
	err = g.all(ctx)
	if err == nil {
		err = g.write(ctx, e.records+freshSuffix)
	}
	return g.said, errors.Join(err, db.Close(), e.fs.RemoveAll(dir))
}

// gathered is every version of every record, by key and falling age, and the
// ranges of keys that were deleted.
type gathered struct {
	e      *Engine
	db     *pebble.DB
	batch  *pebble.Batch
	gone   []deletion
	said   []Repaired
	newest pebble.SeqNum // of all
	held   uint64        // the number of the last commit that a table has
}

// deletion takes older records of a range of keys away.
type deletion struct {
	from, to []byte // to is not in it
	at       pebble.SeqNum
}

func (g *gathered) all(ctx context.Context) error {
	names, err := g.e.fs.List(g.e.records)
	if err != nil {
		return err
	}
	g.batch = g.db.NewBatch()
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") && ctx.Err() == nil {
			g.tell(name, g.table(ctx, name))
		}
	}
	g.tell("log of Pebble", g.oldLogs())
	g.tell("log", g.log())
	return errors.Join(ctx.Err(), g.db.Apply(g.batch, pebble.NoSync))
}

func (g *gathered) tell(name string, err error) {
	if err != nil {
		g.said = append(g.said, Repaired{Record: "records", Done: fmt.Sprintf("%s is read in part: %v", name, err)})
	}
}

// put takes a version.
func (g *gathered) put(kind pebble.InternalKeyKind, at pebble.SeqNum, key, value []byte) error {
	g.newest = max(g.newest, at)
	if kind == pebble.InternalKeyKindRangeDelete {
		g.gone = append(g.gone, deletion{bytes.Clone(key), bytes.Clone(value), at})
		return nil
	}
	if g.batch.Len() > 1<<20 {
		if err := g.db.Apply(g.batch, pebble.NoSync); err != nil {
			return err
		}
		g.batch = g.db.NewBatch()
	}
	age := ^(uint64(at)<<8 | uint64(kind))
	return g.batch.Set(binary.BigEndian.AppendUint64(escape(key), age), value, nil)
}

// escape makes a key whose order does not depend on what follows it.
func escape(key []byte) []byte {
	out := make([]byte, 0, len(key)+16)
	for _, c := range key {
		if out = append(out, c); c == 0 {
			out = append(out, 0xff)
		}
	}
	return append(out, 0, 1)
}

func unescape(key []byte) []byte {
	return bytes.ReplaceAll(key[:len(key)-2], []byte{0, 0xff}, []byte{0})
}

// table reads a table.
func (g *gathered) table(ctx context.Context, name string) error {
	f, err := g.e.fs.Open(g.e.fs.PathJoin(g.e.records, name))
	if err != nil {
		return err
	}
	source, err := sstable.NewSimpleReadable(f)
	if err != nil {
		f.Close()
		return err
	}
	o := new(pebble.Options)
	o.EnsureDefaults()
	r, err := sstable.NewReader(ctx, source, o.MakeReaderOptions())
	if err != nil {
		source.Close()
		return err
	}
	defer r.Close()
	return errors.Join(g.points(r), g.ranges(ctx, r))
}

func (g *gathered) points(r *sstable.Reader) error {
	it, err := r.NewIter(sstable.NoTransforms, nil, nil, sstable.AssertNoBlobHandles)
	if err != nil {
		return err
	}
	defer it.Close()
	for kv := it.First(); kv != nil; kv = it.Next() {
		value, _, err := kv.Value(nil)
		if err != nil {
			return err
		}
		if bytes.Equal(kv.K.UserKey, positionKey) {
			n, _ := decodeNumber(positionKey, value)
			g.held = max(g.held, n)
		}
		if err := g.put(kv.Kind(), kv.SeqNum(), kv.K.UserKey, value); err != nil {
			return err
		}
	}
	return it.Error()
}

func (g *gathered) ranges(ctx context.Context, r *sstable.Reader) error {
	it, err := r.NewRawRangeDelIter(ctx, sstable.NoFragmentTransforms, sstable.NoReadEnv)
	if err != nil || it == nil {
		return err
	}
	defer it.Close()
	span, err := it.First()
	for ; span != nil && err == nil; span, err = it.Next() {
		for _, k := range span.Keys {
			if err := g.put(pebble.InternalKeyKindRangeDelete, k.SeqNum(), span.Start, span.End); err != nil {
				return err
			}
		}
	}
	return err
}

// log reads the log, over what is damaged. What no table has is newer than all that
// they have: a start that was cut short may have given its numbers anew.
func (g *gathered) log() error {
	found, damage, err := g.readLog()
	if err != nil {
		return err
	}
	records, err := found.whole()
	if err != nil {
		return err
	}
	for _, r := range records {
		if err := g.commit(r.Text, g.newest+1); err != nil {
			return err
		}
	}
	if damage != nil {
		return damage
	}
	return nil
}

// readLog reads the whole log, if it goes on behind the tables without a gap: a table that
// was not finished, or is damaged, may lack what it says that tables hold.
func (g *gathered) readLog() (*damagedLog, *wal.Damage, error) {
	if first, ok, err := wal.Oldest(g.e.fs, g.e.records); ok && err == nil && first <= g.held {
		found, damage, err := g.e.readLogs(first - 1)
		if err == nil && damage == nil && found.Last() >= g.held {
			return found, nil, nil
		}
	}
	return g.e.readLogs(g.held)
}

// oldLogs reads Pebble's own logs, each as far as it is sound.
func (g *gathered) oldLogs() error {
	logs, err := pebblewal.Scan(pebblewal.Dir{FS: g.e.fs, Dirname: g.e.records})
	for _, log := range logs {
		err = errors.Join(err, g.oldLog(log.OpenForRead()))
	}
	return err
}

func (g *gathered) oldLog(r pebblewal.Reader) error {
	defer r.Close()
	for {
		next, _, err := r.NextRecord()
		if errors.Is(err, io.EOF) || record.IsInvalidRecord(err) {
			return nil
		}
		var text []byte
		if err == nil {
			text, err = io.ReadAll(next)
		}
		if head, ok := batchrepr.ReadHeader(text); err == nil && ok {
			err = g.commit(text, head.SeqNum)
		}
		if err != nil {
			return err
		}
	}
}

// commit reads a batch, of which the first change has a number.
func (g *gathered) commit(text []byte, at pebble.SeqNum) error {
	for r := batchrepr.Read(text); ; {
		kind, key, value, ok, err := r.Next()
		if err != nil || !ok {
			return err
		}
		if kind == pebble.InternalKeyKindLogData {
			continue // it has no number
		}
		if err := g.put(kind, at, key, value); err != nil {
			return err
		}
		at++
	}
}

// write makes a database of the newest versions.
func (g *gathered) write(ctx context.Context, dir string) error {
	fresh, err := pebble.Open(dir, &pebble.Options{FS: g.e.fs, FormatMajorVersion: formatVersion, Logger: logger{g.e}, DisableWAL: true})
	if err != nil {
		return err
	}
	defer fresh.Close()
	it, err := g.db.NewIter(nil)
	if err != nil {
		return err
	}
	defer it.Close()
	covers := coverage(g.gone)
	b := fresh.NewBatch()
	var last []byte
	for ok := it.First(); ok && ctx.Err() == nil; ok = it.Next() {
		n := len(it.Key()) - 8
		if bytes.Equal(last, it.Key()[:n]) {
			continue // an older one
		}
		last = append(last[:0], it.Key()[:n]...)
		age := ^binary.BigEndian.Uint64(it.Key()[n:])
		key := unescape(last)
		kind := pebble.InternalKeyKind(age & 0xff)
		if kind != pebble.InternalKeyKindSet && kind != pebble.InternalKeyKindSetWithDelete || covers(key) > pebble.SeqNum(age>>8) {
			continue // it was deleted
		}
		if err := b.Set(key, it.Value(), nil); err != nil {
			return err
		}
		if b.Len() > 1<<20 {
			if err := fresh.Apply(b, pebble.NoSync); err != nil {
				return err
			}
			b = fresh.NewBatch()
		}
	}
	if err := errors.Join(ctx.Err(), it.Error()); err != nil {
		return err
	}
	return errors.Join(fresh.Apply(b, pebble.NoSync), fresh.Flush())
}

// coverage says when a key was last deleted as one of a range. Keys are asked for
// in rising order.
func coverage(gone []deletion) func(key []byte) pebble.SeqNum {
	slices.SortFunc(gone, func(a, b deletion) int { return bytes.Compare(a.from, b.from) })
	var open []deletion
	return func(key []byte) (last pebble.SeqNum) {
		for len(gone) > 0 && bytes.Compare(gone[0].from, key) <= 0 {
			open, gone = append(open, gone[0]), gone[1:]
		}
		open = slices.DeleteFunc(open, func(d deletion) bool { return bytes.Compare(d.to, key) <= 0 })
		for _, d := range open {
			last = max(last, d.at)
		}
		return last
	}
}
