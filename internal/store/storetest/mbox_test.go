package storetest_test

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"plic/internal/store/engine"
	"plic/internal/store/files"
	"plic/internal/store/mbox"
	"plic/internal/store/storetest"
	"plic/internal/vfs"
)

// openMbox opens an engine whose accounts are all in mbox files of the same file
// system.
func openMbox(t testing.TB, fs vfs.FS) engine.Engine {
	t.Helper()
	return files.New(files.Options{
		Engine:  openEmbedded(t, fs),
		Formats: map[string]files.Format{"mbox": onFS{mbox.New(mbox.Options{}), fs}},
		Locate: func(context.Context, string) (files.Location, error) {
			return files.Location{Text: "mbox:/mail/%u:INBOX=/spool/%u"}, nil
		},
	})
}

func TestMbox(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t testing.TB) storetest.Place {
		fs := vfs.NewMemory()
		return func() engine.Engine { return openMbox(t, fs) }
	})
}

// TestMboxOnDisk has the locks, owners and times of a real file system.
func TestMboxOnDisk(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t testing.TB) storetest.Place {
		dir := t.TempDir()
		return func() engine.Engine {
			watcher := vfs.NewWatcher()
			t.Cleanup(func() { watcher.Close() })
			return files.New(files.Options{
				Engine:  openEmbeddedIn(t, dir+"/store"),
				Formats: map[string]files.Format{"mbox": mbox.New(mbox.Options{Watcher: watcher})},
				Locate: func(context.Context, string) (files.Location, error) {
					return files.Location{Text: "mbox:" + dir + "/mail/%u"}, nil
				},
			})
		}
	})
}

type losingMbox struct{ losing }

func (l *losingMbox) Open() engine.Engine { return openMbox(l.t, l.fs) }

func TestMboxCrashes(t *testing.T) {
	seeds, cycles := 3, 6
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			storetest.RunCrash(t, uint64(seed), cycles, &losingMbox{losing{t: t, fs: vfs.NewMemory()}})
		})
	}
}

type failingMbox struct {
	losingMbox
	left atomic.Int64
	err  error
}

func (f *failingMbox) Open() engine.Engine {
	return openMbox(f.t, errorfs.Wrap(f.fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && f.left.Add(-1) == 0 {
			return &os.PathError{Op: "write", Path: op.Path, Err: f.err}
		}
		return nil
	})))
}

func (f *failingMbox) FailAt(n int, err error) {
	f.err = err
	f.left.Store(int64(n))
}

func (f *failingMbox) Failed() bool { return f.left.Load() <= 0 }

func TestMboxFaults(t *testing.T) {
	step := 17
	if testing.Short() {
		step = 100
	}
	for _, err := range []error{syscall.EIO, syscall.ENOSPC} {
		t.Run(err.Error(), func(t *testing.T) {
			t.Parallel()
			for n := 1; n < 1000; n += step {
				place := &failingMbox{losingMbox: losingMbox{losing{t: t, fs: vfs.NewMemory()}}}
				if !storetest.RunFault(t, uint64(n), n, err, place) {
					t.Logf("%d writes failed in turn", n)
					return
				}
			}
		})
	}
}
