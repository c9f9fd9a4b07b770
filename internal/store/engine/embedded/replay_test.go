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

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// noTables has no room for tables while it is full.
func noTables(under vfs.FS, full *atomic.Bool) vfs.FS {
	return errorfs.Wrap(under, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && strings.HasSuffix(op.Path, ".sst") && (op.Kind == errorfs.OpCreate || op.Kind == errorfs.OpFileWrite) {
			return syscall.ENOSPC
		}
		return nil
	}))
}

func (r *rig) putNotes(sizes []int) {
	r.Helper()
	for n, size := range sizes {
		apply(r, r.e, &engine.Batch{PutNotes: []engine.Note{{Key: fmt.Sprint("n", n), Value: content(n, size)}}})
	}
}

func (r *rig) hasNotes(sizes []int) {
	r.Helper()
	for n, size := range sizes {
		if v, err := r.e.Note(r.Context(), 0, 0, fmt.Sprint("n", n)); err != nil || !bytes.Equal(v, content(n, size)) {
			r.Fatalf("note %d: %d octets, %v", n, len(v), err)
		}
	}
	r.sound()
}

// TestReplayOnFullDisk: a start that finds no room for what is in the log says so, however
// much that is; with room again all of it is there.
func TestReplayOnFullDisk(t *testing.T) {
	t.Parallel()
	for _, sizes := range [][]int{{1 << 20, 10}, {1 << 20, 1 << 20, 10}, slices.Repeat([]int{9 << 10}, 100)} {
		r := newRig(t)
		r.putNotes(sizes)
		disk := r.crash(0, 1)
		r.close()
		var full atomic.Bool
		r.o.FS = noTables(disk, &full)
		r.o.memTable = 256 << 10 // more than four of these have Pebble wait
		full.Store(true)
		if _, err := Open(t.Context(), r.o); !errors.Is(noSpace(err), engine.ErrFull) {
			t.Errorf("%d notes on a full disk: %v", len(sizes), err)
		}
		full.Store(false)
		r.onDisk(disk)
		r.open()
		r.hasNotes(sizes)
		r.close()
	}
}

// TestCloseOnFullDisk: the end does not wait for room for tables, and what they would
// hold is in the log.
func TestCloseOnFullDisk(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.close()
	var full atomic.Bool
	r.o.FS = noTables(r.fs, &full)
	r.open()
	sizes := slices.Repeat([]int{1 << 20}, 6)
	r.putNotes(sizes)
	full.Store(true)
	r.close()
	full.Store(false)
	r.open()
	r.hasNotes(sizes)
}
