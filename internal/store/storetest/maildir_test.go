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
	"plic/internal/store/maildir"
	"plic/internal/store/storetest"
	"plic/internal/vfs"
)

// openMaildir opens an engine whose accounts are all in Maildirs of the same
// file system.
func openMaildir(t testing.TB, fs vfs.FS, layout string) engine.Engine {
	t.Helper()
	return files.New(files.Options{
		Engine:  openEmbedded(t, fs),
		Formats: map[string]files.Format{"maildir": onFS{maildir.New(maildir.Options{Host: "test"}), fs}},
		Locate: func(context.Context, string) (files.Location, error) {
			return files.Location{Text: "maildir:/mail/%u:LAYOUT=" + layout}, nil
		},
	})
}

// onFS opens places on a file system of a test.
type onFS struct {
	files.Format
	fs vfs.FS
}

func (f onFS) Open(ctx context.Context, at files.Place) (files.Tree, error) {
	at.FS = f.fs
	return f.Format.Open(ctx, at)
}

func TestMaildir(t *testing.T) {
	for _, layout := range []string{"Maildir++", "fs"} {
		t.Run(layout, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t testing.TB) storetest.Place {
				fs := vfs.NewMemory()
				return func() engine.Engine { return openMaildir(t, fs, layout) }
			})
		})
	}
}

// TestMaildirOnDisk has the names, links and times of a real file system.
func TestMaildirOnDisk(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t testing.TB) storetest.Place {
		dir := t.TempDir()
		return func() engine.Engine { return openOnDisk(t, dir) }
	})
}

func openOnDisk(t testing.TB, dir string) engine.Engine {
	t.Helper()
	watcher := vfs.NewWatcher()
	t.Cleanup(func() { watcher.Close() })
	return files.New(files.Options{
		Engine:  openEmbeddedIn(t, dir+"/store"),
		Formats: map[string]files.Format{"maildir": maildir.New(maildir.Options{Host: "test", Watcher: watcher})},
		Locate: func(context.Context, string) (files.Location, error) {
			return files.Location{Text: "maildir:" + dir + "/mail/%u"}, nil
		},
	})
}

type losingMaildir struct{ losing }

func (l *losingMaildir) Open() engine.Engine { return openMaildir(l.t, l.fs, "Maildir++") }

func TestMaildirCrashes(t *testing.T) {
	seeds, cycles := 4, 8
	if testing.Short() {
		seeds = 1
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			storetest.RunCrash(t, uint64(seed), cycles, &losingMaildir{losing{t: t, fs: vfs.NewMemory()}})
		})
	}
}

type failingMaildir struct {
	losingMaildir
	left atomic.Int64
	err  error
}

func (f *failingMaildir) Open() engine.Engine {
	return openMaildir(f.t, errorfs.Wrap(f.fs, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && f.left.Add(-1) == 0 {
			return &os.PathError{Op: "write", Path: op.Path, Err: f.err}
		}
		return nil
	})), "Maildir++")
}

func (f *failingMaildir) FailAt(n int, err error) {
	f.err = err
	f.left.Store(int64(n))
}

func (f *failingMaildir) Failed() bool { return f.left.Load() <= 0 }

func TestMaildirFaults(t *testing.T) {
	step := 25
	if testing.Short() {
		step = 100
	}
	for _, err := range []error{syscall.EIO, syscall.ENOSPC} {
		t.Run(err.Error(), func(t *testing.T) {
			t.Parallel()
			for n := 1; n < 1000; n += step {
				place := &failingMaildir{losingMaildir: losingMaildir{losing{t: t, fs: vfs.NewMemory()}}}
				if !storetest.RunFault(t, uint64(n), n, err, place) {
					t.Logf("%d writes failed in turn", n)
					return
				}
			}
		})
	}
}
