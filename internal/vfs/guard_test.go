package vfs_test

import (
	"errors"
	"io"
	"slices"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"plic/internal/vfs"
)

func put(t *testing.T, fs vfs.FS, name, text string) vfs.File {
	t.Helper()
	f, err := fs.Create(name, vfs.Mail)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return f
}

func TestMakeDirIsDurable(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMemory()
	for range 2 {
		if err := vfs.MakeDir(fs, "/a/b/c"); err != nil {
			t.Fatal(err)
		}
	}
	after := fs.CrashClone(vfs.CrashConfig{})
	if i, err := after.Stat("/a/b/c"); err != nil || !i.IsDir() {
		t.Errorf("after a crash: %v", err)
	}
	disk := t.TempDir() + "/x/y"
	if err := vfs.MakeDir(vfs.Disk(), disk); err != nil {
		t.Fatal(err)
	}
	if i, err := vfs.Disk().Stat(disk); err != nil || i.Mode().Perm() != 0o700 {
		t.Errorf("on the disk: %v", err)
	}
	put(t, fs, "/file", "").Close()
	if err := vfs.MakeDir(fs, "/file/x"); err == nil {
		t.Error("made a directory in a file")
	}
}

func TestSyncDir(t *testing.T) {
	t.Parallel()
	fs := vfs.NewMemory()
	f := put(t, fs, "/kept", "octets")
	if err := errors.Join(f.Sync(), f.Close(), vfs.SyncDir(fs, "/")); err != nil {
		t.Fatal(err)
	}
	put(t, fs, "/lost", "octets").Sync()
	after := fs.CrashClone(vfs.CrashConfig{})
	if _, err := after.Stat("/kept"); err != nil {
		t.Error(err)
	}
	if _, err := after.Stat("/lost"); !vfs.NotExist(err) {
		t.Errorf("a name that was not synced: %v, want NotExist", err)
	}
	if err := vfs.SyncDir(fs, "/none"); !vfs.NotExist(err) {
		t.Errorf("no directory: %v, want NotExist", err)
	}
}

func TestFenced(t *testing.T) {
	t.Parallel()
	under := vfs.NewMemory()
	var closed error
	fs := vfs.Fenced(under, func() error { return closed })
	f := put(t, fs, "/file", "octets")
	closed = errors.New("closed")
	_, write := f.Write([]byte("more"))
	_, create := fs.Create("/other", vfs.Mail)
	for what, err := range map[string]error{
		"write": write, "create": create, "sync": f.Sync(), "rename": fs.Rename("/file", "/other"),
		"remove": fs.Remove("/file"), "mkdir": fs.MkdirAll("/dir", 0o700),
	} {
		if !errors.Is(err, closed) {
			t.Errorf("%s: %v, want %v", what, err, closed)
		}
	}
	if err := f.Close(); err != nil {
		t.Error("close:", err)
	}
	r, err := fs.Open("/file")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if got, err := io.ReadAll(r); string(got) != "octets" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
}

// TestOrdered: when the file that names others is there, so are they.
func TestOrdered(t *testing.T) {
	t.Parallel()
	under := vfs.NewMemory()
	var ops []string
	seen := errorfs.Wrap(under, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpCreate {
			ops = append(ops, op.Path)
		}
		return nil
	}))
	if err := seen.MkdirAll("/d", 0o700); err != nil {
		t.Fatal(err)
	}
	fs := vfs.Ordered(seen, "marker.")
	put(t, fs, "/d/file", "").Close()
	put(t, fs, "/d/marker.1", "").Close()
	if want := []string{"/d/file", "/d", "/d/marker.1"}; !slices.Equal(ops, want) {
		t.Errorf("created and synced %q, want %q", ops, want)
	}
}

func TestOnDiskFull(t *testing.T) {
	t.Parallel()
	room := true
	under := errorfs.Wrap(vfs.NewMemory(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileWrite && !room {
			return syscall.ENOSPC
		}
		return nil
	}))
	calls := 0
	fs := vfs.OnDiskFull(under, func() { calls++; room = calls == 1 })
	f := put(t, fs, "/file", "one")
	defer f.Close()
	room = false
	if _, err := f.Write([]byte("two")); err != nil || calls != 1 {
		t.Errorf("with room made: %v, %d calls", err, calls)
	}
	room = false
	if _, err := f.Write([]byte("three")); !errors.Is(err, syscall.ENOSPC) || calls != 2 {
		t.Errorf("without: %v, %d calls", err, calls)
	}
}

func TestSyncing(t *testing.T) {
	t.Parallel()
	name := t.TempDir() + "/file"
	under, err := vfs.Disk().Create(name, vfs.Mail)
	if err != nil {
		t.Fatal(err)
	}
	f := vfs.Syncing(under, 1<<20)
	for range 50 {
		if _, err := f.Write(make([]byte, 100<<10)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
	if i, err := vfs.Disk().Stat(name); err != nil || i.Size() != 50*100<<10 {
		t.Error(i, err)
	}
}
