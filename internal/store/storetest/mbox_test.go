package storetest_test

import (
	"context"
	"testing"

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

func TestMboxCrashes(t *testing.T) { crashes(t, openMbox, 3, 6) }

func TestMboxFaults(t *testing.T) { faults(t, openMbox, 17, 100) }
