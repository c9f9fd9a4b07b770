package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
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

// TestReplayIsCancelled: who does not want to wait for a start any more need not, and the
// next one has all.
func TestReplayIsCancelled(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sizes := slices.Repeat([]int{9 << 10, 100, 90 << 10}, 20)
	r.putNotes(sizes)
	disk := r.crash(0, 1)
	r.close()
	r.o.memTable = 64 << 10
	cancelled := 0
	for at := 1; at < 400; at += 27 {
		r.onDisk(clone(disk))
		ctx, cancel := context.WithCancel(t.Context())
		var ops atomic.Int64
		o := r.o
		o.FS = errorfs.Wrap(r.fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
			if ops.Add(1) == int64(at) {
				cancel()
			}
			return nil
		}))
		e, err := Open(ctx, o)
		if err == nil {
			r.must(e.Close())
		} else if cancelled++; !errors.Is(err, context.Canceled) {
			t.Fatalf("cancelled at operation %d: %v", at, err)
		}
		cancel()
		r.open()
		r.hasNotes(sizes)
		r.close()
	}
	if cancelled < 5 {
		t.Errorf("cancelled %d times", cancelled)
	}
}

// TestReplayFails: whatever fails as a start writes, once or from then on, it ends, and the
// next one has all.
func TestReplayFails(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	sizes := slices.Repeat([]int{9 << 10, 100, 40 << 10}, 6)
	r.putNotes(sizes)
	disk := r.crash(0, 1)
	r.close()
	r.o.memTable = 32 << 10
	for _, stays := range []bool{false, true} {
		failed := 0
		for at := int64(1); ; at++ {
			r.onDisk(clone(disk))
			var ops atomic.Int64
			o := r.o
			o.FS = errorfs.Wrap(r.fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if op.Kind == errorfs.OpFileClose || op.Kind.ReadOrWrite() == errorfs.OpIsRead {
					return nil
				}
				if n := ops.Add(1); n == at || n > at && stays {
					return &fs.PathError{Op: "injected", Path: op.Path, Err: syscall.EIO}
				}
				return nil
			}))
			e, err := Open(t.Context(), o)
			if err == nil {
				e.Close()
			} else if failed++; errors.Is(err, ErrRecords) {
				t.Errorf("error at operation %d: %v", at, err)
			}
			r.onDisk(r.fs.CrashClone(vfs.CrashConfig{}))
			r.open()
			r.hasNotes(sizes)
			r.close()
			if ops.Load() < at {
				t.Logf("%d operations, %d failed starts", at, failed)
				break
			}
		}
	}
}

// TestSystemInTheWay: a start that the system does not let come about does not say that
// records are damaged.
func TestSystemInTheWay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.putNotes(slices.Repeat([]int{1000}, 20))
	disk := r.crash(0, 1)
	r.close()
	for _, no := range []syscall.Errno{syscall.EMFILE, syscall.ENOMEM, syscall.EACCES, syscall.EROFS, syscall.ENOSPC} {
		for at := range int64(60) {
			var ops atomic.Int64
			o := r.o
			o.FS = errorfs.Wrap(clone(disk), errorfs.InjectorFunc(func(op errorfs.Op) error {
				if (op.Kind == errorfs.OpOpen || op.Kind == errorfs.OpCreate) && ops.Add(1) > at {
					return &fs.PathError{Op: "open", Path: op.Path, Err: no}
				}
				return nil
			}))
			e, err := Open(t.Context(), o)
			if err == nil {
				e.Close()
				break
			}
			if errors.Is(err, ErrRecords) || errors.Is(err, ErrInUse) {
				t.Errorf("%v at file %d: %v", no, at, err)
			}
		}
	}
}
