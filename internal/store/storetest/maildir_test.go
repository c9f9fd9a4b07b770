package storetest_test

import (
	"context"
	"testing"

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

func plusPlus(t testing.TB, fs vfs.FS) engine.Engine { return openMaildir(t, fs, "Maildir++") }

func TestMaildirCrashes(t *testing.T) { crashes(t, plusPlus, 4, 8) }

func TestMaildirFaults(t *testing.T) { faults(t, plusPlus, 25, 100) }
