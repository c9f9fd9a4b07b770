package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"testing"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// anew makes a new file where an old one could be used again, which errorfs would
// let pass unseen.
type anew struct{ vfs.FS }

func (a anew) ReuseForWrite(old, name string, category pebblevfs.DiskWriteCategory) (vfs.File, error) {
	if err := a.Remove(old); err != nil {
		return nil, err
	}
	return a.Create(name, category)
}

// TestFailBetweenLogs breaks what Pebble does when it begins another log: the
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
		{"the old one does not end", func(op errorfs.Op, _ bool) bool {
			sync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData
			return isLog(op.Path) && sync && bytes.Contains(debug.Stack(), []byte(".closeInternal("))
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
	if most := notes*small/aheadBytes + 3; grown > most {
		t.Errorf("the log grew %d times, want %d at most", grown, most)
	}
	before := size()
	put(notes, large)
	if beyond := size() - before - large; beyond > aheadBytes/2 {
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
