package storetest_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"plic/internal/store/engine"
	"plic/internal/store/storetest"
	"plic/internal/vfs"
)

// opener opens what is tested on a file system.
type opener func(testing.TB, vfs.FS) engine.Engine

// losing is a file system in memory that loses what was not synced.
type losing struct {
	t    testing.TB
	open opener
	fs   *vfs.Memory
}

func (l *losing) Open() engine.Engine { return l.open(l.t, l.fs) }

func (l *losing) Crash(random *rand.Rand) {
	l.fs = l.fs.CrashClone(vfs.CrashConfig{UnsyncedDataPercent: random.IntN(4) * 33, RNG: random})
}

// crashes pulls the plug, with as many seeds as wanted; one in short.
func crashes(t *testing.T, open opener, seeds, cycles int) {
	t.Helper()
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			storetest.RunCrash(t, uint64(seed), cycles, &losing{t: t, open: open, fs: vfs.NewMemory()})
		})
	}
}

// failing is losing, and a write of it may fail.
type failing struct {
	losing
	left atomic.Int64 // writes until one fails; 0 and below: none
	err  error
}

func (f *failing) Open() engine.Engine {
	return f.open(f.t, errorfs.Wrap(f.fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && f.left.Add(-1) == 0 {
			return &os.PathError{Op: "write", Path: op.Path, Err: f.err}
		}
		return nil
	})))
}

func (f *failing) FailAt(n int, err error) {
	f.err = err
	f.left.Store(int64(n))
}

func (f *failing) Failed() bool { return f.left.Load() <= 0 }

// faults has one write after the other fail, each step-th of them.
func faults(t *testing.T, open opener, step, inShort int) {
	t.Helper()
	if testing.Short() {
		step = inShort
	}
	for _, err := range []error{syscall.EIO, syscall.ENOSPC} {
		t.Run(err.Error(), func(t *testing.T) {
			t.Parallel()
			for n := 1; n < 1000; n += step {
				place := &failing{losing: losing{t: t, open: open, fs: vfs.NewMemory()}}
				if !storetest.RunFault(t, uint64(n), n, err, place) {
					t.Logf("%d writes failed in turn", n)
					return
				}
			}
		})
	}
}
