package embedded

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"plic/internal/store/engine/embedded/wal"
	"plic/internal/store/engine/enginetest"
)

// forgetful is a file system that does not sync some files.
type forgetful struct {
	vfs.FS
	forgets func(name string) bool
}

type forgetfulFile struct{ vfs.File }

func (forgetfulFile) Sync() error                { return nil }
func (forgetfulFile) SyncData() error            { return nil }
func (forgetfulFile) SyncTo(int64) (bool, error) { return false, nil }

func (f forgetful) wrap(name string, file vfs.File, err error) (vfs.File, error) {
	if err == nil && f.forgets(name) {
		file = forgetfulFile{file}
	}
	return file, err
}

func (f forgetful) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, c)
	return f.wrap(name, file, err)
}

func (f forgetful) OpenReadWrite(name string, c vfs.DiskWriteCategory, o ...vfs.OpenOption) (vfs.File, error) {
	file, err := f.FS.OpenReadWrite(name, c, o...)
	return f.wrap(name, file, err)
}

func (f forgetful) ReuseForWrite(from, to string, c vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.ReuseForWrite(from, to, c)
	return f.wrap(to, file, err)
}

func (f forgetful) OpenDir(name string) (vfs.File, error) {
	file, err := f.FS.OpenDir(name)
	return f.wrap(name, file, err)
}

// TestSyncsAreNeeded leaves out each sync in turn: the suite must notice, or it
// proves nothing, or the sync is not needed.
func TestSyncsAreNeeded(t *testing.T) {
	t.Parallel()
	segments := func(name string) bool { return strings.HasSuffix(name, segmentSuffix) }
	for what, forgets := range map[string]func(string) bool{
		"segments":         segments,
		"segments, once":   segments,
		"large bodies":     func(name string) bool { return strings.HasSuffix(name, bodySuffix) },
		"names of bodies":  func(name string) bool { return strings.HasSuffix(name, "/bodies") },
		"log":              func(name string) bool { return strings.HasSuffix(name, wal.Suffix) },
		"names of records": func(name string) bool { return strings.HasSuffix(name, "/records") },
		"name of a store":  func(name string) bool { return name == "/store" },
		"nothing":          func(name string) bool { return false },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			wrap := func(fs vfs.FS) vfs.FS { return forgetful{fs, forgets} }
			once := int64(1 << 30) // with redo records of all small bodies
			if strings.HasSuffix(what, "once") {
				once = 1 // or none
			}
			s := suiteOf(func(o *Options) { o.once = once })
			err := enginetest.Crash(t.Context(), s, enginetest.CrashRun{Seed: 2, Steps: 40, Wrap: wrap})
			if needed := what != "nothing"; needed != (err != nil) {
				t.Errorf("without the sync of %s: %v", what, err)
			}
			t.Log(err)
		})
	}
}
