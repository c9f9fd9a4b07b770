package vfs

import (
	"os"
	"path/filepath"
	"testing"
)

// TestSharedIsNotTold: where other hosts may change a directory, nobody is said to
// have told of all, though what this host does is told of at once.
func TestSharedIsNotTold(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := NewWatcher()
	t.Cleanup(func() { w.Close() })
	w.shared = func(d string) bool { return d == dir }
	heard := make(chan string, 16)
	stop, err := w.Watch(dir, func(name string) {
		select {
		case heard <- name:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if w.Told(dir) {
		t.Error("all is said to be told of")
	}
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name := range heard {
		if name == "x" {
			break
		}
	}
	stop()
	if n := len(w.system.WatchList()); n > 0 {
		t.Errorf("%d are still watched", n)
	}
	if n := len(w.polled); n > 0 {
		t.Errorf("%d are still looked at", n)
	}
}

// TestOneDirectoryTwoNames: the system tells of a directory under one of its names,
// and of one that was moved away under the name that it had; so nobody is said to
// have told of all under the other, and what comes there is found all the same.
func TestOneDirectoryTwoNames(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	at := func(name string) string { return filepath.Join(top, name) }
	ok(os.MkdirAll(at("a/cur"), 0o700))
	ok(os.Symlink("a", at("b")))
	w := NewWatcher()
	t.Cleanup(func() { w.Close() })
	watch := func(dir string) (stop func()) {
		stop, err := w.Watch(at(dir), func(string) {})
		ok(err)
		return stop
	}
	told := func(dir string, want bool) {
		t.Helper()
		if got := w.Told(at(dir)); got != want {
			t.Errorf("of %s all was told: %v", dir, got)
		}
	}
	stop := watch("a/cur")
	watch("b/cur")
	told("a/cur", true)
	told("b/cur", false)
	ok(os.Rename(at("a"), at("c")))
	ok(os.MkdirAll(at("a/cur"), 0o700))
	told("a/cur", false)
	watch("c/cur")
	told("c/cur", false)
	stop()
	stop()
	watch("a/cur")
	told("a/cur", true)
}
