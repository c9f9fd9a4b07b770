package embedded

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// TestFailedStart has a start find no room when its log is read and in tables, in
// the opening that writes these and in the one after it: it is an error, the process
// goes on, and the next start has all.
func TestFailedStart(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMemory()
	full, left := "", 0 // files that find room before
	open := func() (*Engine, error) {
		return Open(t.Context(), Options{Dir: "/store", Cache: 1 << 20, Ballast: -1, Reserve: -1, manual: true,
			FS: errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind == errorfs.OpCreate && full != "" && strings.Contains(op.Path, full) {
					if left--; left >= 0 {
						return nil
					}
					return &fs.PathError{Op: "create", Path: op.Path, Err: syscall.ENOSPC}
				}
				return nil
			}))})
	}
	for n := range 20 {
		full = ""
		e, err := open()
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if _, err := e.Note(t.Context(), 0, 0, fmt.Sprint("n", i)); err != nil {
				t.Fatalf("after %d starts: note %d: %v", n, i, err)
			}
		}
		apply(t, e, &engine.Batch{PutNotes: []engine.Note{{Key: fmt.Sprint("n", n), Value: []byte("kept")}}})
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		full, left = []string{".sst", ".dbtmp"}[n%2], 0
		if _, err := open(); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("no room for %s, opening %d: %v", full, n/2%2+1, err)
		}
		disk = disk.CrashClone(vfs.CrashConfig{})
	}
}

// TestMerge: what was written anew leaves the disk once nothing is written any
// more, be it in the log or in tables.
func TestMerge(t *testing.T) {
	t.Parallel()
	const notes, octets = 100, 16 << 10
	e, err := Open(t.Context(), Options{FS: vfs.NewMemory(), Dir: "/store", Cache: 1 << 20, Ballast: -1, Reserve: -1, manual: true, memTable: 8 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	size := func() int64 {
		m := e.db.Metrics()
		all := e.log.Size()
		for _, level := range m.Levels {
			all += level.TablesSize
		}
		return all
	}
	r := rand.NewChaCha8([32]byte{})
	for range 2 { // one is in a table, the other in the log
		if err := e.db.Flush(); err != nil {
			t.Fatal(err)
		}
		for i := range notes {
			value := make([]byte, octets)
			r.Read(value)
			apply(t, e, &engine.Batch{PutNotes: []engine.Note{{Key: fmt.Sprint("n", i), Value: value}}})
		}
	}
	before := size()
	if err := e.merge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := size(); before < 2*notes*octets || after > notes*octets*5/4 {
		t.Errorf("%d octets before, %d after", before, after)
	}
	n := 0
	for _, err := range e.Notes(t.Context(), 0, 0, "") {
		if n++; err != nil {
			t.Fatal(err)
		}
	}
	if n != notes {
		t.Errorf("%d notes, want %d", n, notes)
	}
	tables := e.db.Metrics().Compact.Count
	if err := e.merge(t.Context()); err != nil || e.db.Metrics().Compact.Count != tables {
		t.Errorf("merged what is merged: %v", err)
	}
}

func TestLull(t *testing.T) {
	var l lull
	var said []int
	for i, commits := range []int64{0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3} {
		if l.tick(commits) {
			said = append(said, i)
		}
	}
	if fmt.Sprint(said) != "[6 19]" {
		t.Errorf("said so at %v, want 6 and 19", said)
	}
}
