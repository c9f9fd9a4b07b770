package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"plic/internal/store/engine"
	"plic/internal/store/engine/embedded/wal"
	"plic/internal/vfs"
)

func isLog(name string) bool { return strings.HasSuffix(name, wal.Suffix) }

// anew makes a new file where an old one could be used again, which errorfs would
// let pass unseen.
type anew struct{ vfs.FS }

func (a anew) ReuseForWrite(old, name string, category pebblevfs.DiskWriteCategory) (vfs.File, error) {
	if err := a.Remove(old); err != nil {
		return nil, err
	}
	return a.Create(name, category)
}

// TestFailBetweenLogs breaks what is done when another log is begun: the
// engine stops and the process does not, and another one that opens the directory
// finds all that was acknowledged.
func TestFailBetweenLogs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		hits func(op errorfs.Op, created bool) bool // created says that a log was, since it is on
	}{
		{"no new log", func(op errorfs.Op, _ bool) bool {
			return isLog(op.Path) && (op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpReuseForWrite)
		}},
		{"its name is not durable", func(op errorfs.Op, created bool) bool {
			return created && op.Kind == errorfs.OpFileSync && op.Path == "/store/records"
		}},
		{"nothing is written", func(op errorfs.Op, _ bool) bool { return isLog(op.Path) && op.Kind == errorfs.OpFileWrite }},
		{"nothing is synced", func(op errorfs.Op, _ bool) bool {
			return isLog(op.Path) && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var on, created atomic.Bool
			var hits atomic.Int64
			failing := errorfs.Wrap(vfs.NewMemory(), errorfs.InjectorFunc(func(op errorfs.Op) error {
				if !on.Load() {
					return nil
				}
				if c.hits(op, created.Load()) {
					hits.Add(1)
					return syscall.EIO
				}
				if isLog(op.Path) && (op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpReuseForWrite) {
					created.Store(true)
				}
				return nil
			}))
			o := Options{FS: anew{failing}, Dir: "/store", Cache: 1 << 20, Ballast: -1, Reserve: -1, manual: true, memTable: 64 << 10}
			e, err := Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			put := func(n int) error {
				note := engine.Note{Account: 1, Key: fmt.Sprintf("%06d", n), Value: make([]byte, 4<<10)}
				ticket, err := e.Apply(&engine.Batch{PutNotes: []engine.Note{note}})
				if err != nil {
					return err
				}
				return ticket.Wait()
			}
			kept := 0
			for ; kept < 100; kept++ { // several logs
				if err := put(kept); err != nil {
					t.Fatal(err)
				}
			}
			on.Store(true)
			for err == nil && kept < 1000 {
				if err = put(kept); err == nil {
					kept++
				}
			}
			if !errors.Is(err, engine.ErrFailed) || hits.Load() == 0 {
				t.Fatalf("%d notes, %d faults: %v, want ErrFailed", kept, hits.Load(), err)
			}
			if err := put(kept); !errors.Is(err, engine.ErrFailed) {
				t.Errorf("after it: %v, want ErrFailed", err)
			}
			if err := e.Close(); !errors.Is(err, engine.ErrFailed) {
				t.Errorf("Close: %v, want ErrFailed", err)
			}
			on.Store(false)
			if e, err = Open(t.Context(), o); err != nil {
				t.Fatal("open again:", err)
			}
			for n := range kept {
				if v, err := e.Note(t.Context(), 1, 0, fmt.Sprintf("%06d", n)); err != nil || len(v) != 4<<10 {
					t.Fatalf("note %d of %d: %d octets, %v", n, kept, len(v), err)
				}
			}
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestLogIsFilledAhead: while little is written at once, most syncs find the log
// as long as it was, and what is beyond its end does no harm after a crash.
func TestLogIsFilledAhead(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMemory()
	o := Options{FS: disk, Dir: "/store", Cache: 1 << 20, Ballast: -1, Reserve: -1, manual: true}
	e, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	size := func() (all int64) {
		names, err := disk.List("/store/records")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if i, err := disk.Stat("/store/records/" + name); err == nil && isLog(name) {
				all += i.Size()
			}
		}
		return all
	}
	put := func(n, octets int) {
		apply(t, e, &engine.Batch{PutNotes: []engine.Note{{Account: 1, Key: fmt.Sprintf("%06d", n), Value: make([]byte, octets)}}})
	}
	const small, large, notes = 1000, 1 << 20, 500
	grown := 0
	for n := range notes {
		before := size()
		put(n, small)
		if size() != before {
			grown++
		}
	}
	if most := notes*small/wal.DefaultAhead + 3; grown > most {
		t.Errorf("the log grew %d times, want %d at most", grown, most)
	}
	before := size()
	put(notes, large)
	if beyond := size() - before - large; beyond > wal.DefaultAhead/2 {
		t.Errorf("%d octets more than a large note", beyond)
	}
	put(notes+1, small)
	o.FS = disk.CrashClone(vfs.CrashConfig{})
	again, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	for n := range notes + 2 {
		want := small
		if n == notes {
			want = large
		}
		if v, err := again.Note(t.Context(), 1, 0, fmt.Sprintf("%06d", n)); err != nil || len(v) != want {
			t.Fatalf("note %d: %d octets, %v", n, len(v), err)
		}
	}
}

// TestOldLogs: stores up to format 4 have logs of Pebble's. What those hold is there,
// though they were cut off, after one start and after two, and where the database is made anew.
func TestOldLogs(t *testing.T) {
	t.Parallel()
	for _, lost := range []bool{false, true} {
		r := newRig(t)
		ids := r.fill(5, 100)
		r.must(r.e.Settle())
		r.must(r.e.db.Flush())
		r.close()
		for _, name := range r.logs() {
			r.must(r.fs.Remove(name))
		}
		note := func(n int) []byte { return noteKey(1, 0, fmt.Sprint("n", n)) }
		db, err := pebble.Open("/store/records", &pebble.Options{FS: r.fs, FormatMajorVersion: formatVersion, MemTableSize: 64 << 10})
		r.must(err)
		r.must(db.Set([]byte{kindFormat}, encodeNumber([]byte{kindFormat}, 4), pebble.NoSync))
		r.must(db.Delete(positionKey, pebble.NoSync))
		const notes = 100
		for n := range notes {
			r.must(db.Set(note(n), encodeNote(note(n), make([]byte, 2000)), pebble.Sync))
		}
		disk := r.crash(0, 1)
		r.must(db.Close())
		r.onDisk(disk)
		if lost {
			for _, name := range r.list("/store/records", "") {
				if strings.Contains(name, "MANIFEST-") || strings.Contains(name, "marker.manifest") {
					r.must(r.fs.Remove(name))
				}
			}
			if _, err := Open(t.Context(), r.o); !errors.Is(err, ErrRecords) {
				t.Fatalf("opened: %v", err)
			}
			_, err := Rebuild(t.Context(), r.o, "/aside")
			r.must(err)
		}
		for start := range 3 {
			r.open()
			for n := range notes {
				if v, err := r.e.Note(t.Context(), 1, 0, fmt.Sprint("n", n)); err != nil || len(v) != 2000 {
					t.Fatalf("lost %v, start %d: note %d: %d octets, %v", lost, start, n, len(v), err)
				}
			}
			for i, id := range ids {
				if b, err := r.read(id); err != nil || !bytes.Equal(b, content(i, 100)) {
					t.Errorf("lost %v, start %d: body %d: %v", lost, start, i, err)
				}
			}
			if got, err := r.e.format(); err != nil || got != format {
				t.Errorf("lost %v, start %d: format %d, %v", lost, start, got, err)
			}
			r.sound()
			disk := r.crash(0, 2)
			r.close()
			r.onDisk(disk)
			if left, err := r.e.oldLogs(); err != nil || len(left) > 0 {
				t.Errorf("lost %v, start %d: %v is still there, %v", lost, start, left, err)
			}
		}
	}
}

// TestPositionLost: where a damaged table does not say any more what tables hold, all of
// the log is applied, and it goes on above all that there can have been.
func TestPositionLost(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const notes = 150 // so that the format is in another block
	put := func(n int) {
		apply(t, r.e, &engine.Batch{PutNotes: []engine.Note{{Key: fmt.Sprintf("%03d", n%notes), Value: content(n, 2000)}}})
	}
	for n := range notes + 20 {
		if put(n); n == notes {
			r.must(r.e.db.Flush())
			r.must(r.e.db.Compact(t.Context(), []byte{0}, []byte{0xff}, false))
		}
	}
	disk := r.crash(0, 1)
	r.close()
	r.onDisk(disk)
	tables := slices.Sorted(slices.Values(r.list("/store/records", ".sst")))
	name := tables[len(tables)-1]
	octets := r.load(name)
	octets[bytes.IndexByte(octets, kindPosition)] ^= 8
	r.save(name, octets)
	for start := range 3 {
		r.open()
		for n := 20; n < notes+20; n++ {
			if v, err := r.e.Note(t.Context(), 0, 0, fmt.Sprintf("%03d", n%notes)); err != nil || !bytes.Equal(v, content(n, 2000)) {
				t.Errorf("start %d: note %d: %.9q, %v", start, n, v, err)
			}
		}
		if n := r.e.log.Next(); n < 1<<60 {
			t.Errorf("start %d: the log goes on with %d", start, n)
		}
		put(20)
		disk := r.crash(0, 1)
		r.close()
		r.onDisk(disk)
	}
}

// TestLargeReplay: a commit so large that Pebble gives it no place in its table in
// memory is applied again as it was, among others.
func TestLargeReplay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.close()
	r.o.memTable = 64 << 10
	r.open()
	put := func(n, size int) {
		apply(t, r.e, &engine.Batch{PutNotes: []engine.Note{{Key: fmt.Sprint("n", n), Value: content(n, size)}}})
	}
	sizes := []int{10, 200 << 10, 10, 300 << 10, 400 << 10, 10}
	for n, size := range sizes {
		put(n, size)
	}
	disk := r.crash(0, 1)
	r.close()
	r.onDisk(disk)
	for start := range 3 {
		r.open()
		for n, size := range sizes {
			if v, err := r.e.Note(t.Context(), 0, 0, fmt.Sprint("n", n)); err != nil || !bytes.Equal(v, content(n, size)) {
				t.Errorf("start %d: note %d: %d octets, %v", start, n, len(v), err)
			}
		}
		r.sound()
		disk := r.crash(0, 1)
		r.close()
		r.onDisk(disk)
	}
}
