package vfs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"weak"

	"plic/internal/vfs"
)

// TestTold: when it is asked, all that has happened was told of; a directory that
// was replaced is not taken for the one that is watched.
func TestTold(t *testing.T) {
	t.Parallel()
	top := t.TempDir()
	dir, other := filepath.Join(top, "a"), filepath.Join(top, "b")
	for _, d := range []string{dir, other} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w := vfs.NewWatcher()
	t.Cleanup(func() { w.Close() })
	var mu sync.Mutex
	heard := map[string]bool{}
	stop, err := w.Watch(dir, func(name string) { mu.Lock(); heard[name] = true; mu.Unlock() })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if w.Told(dir, other) {
		t.Error("what nobody watches is told of")
	}
	for n := range 300 {
		name := fmt.Sprint(n)
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if !w.Told(dir) {
			t.Fatal("it cannot be told")
		}
		mu.Lock()
		if !heard[name] {
			t.Errorf("%s was not told of", name)
		}
		mu.Unlock()
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if w.Told(dir) {
		t.Error("another directory is taken for the one that is watched")
	}
}

// TestClosedWatcherHoldsNobody: who was told is let go of, though the watcher is kept.
func TestClosedWatcherHoldsNobody(t *testing.T) {
	t.Parallel()
	w := vfs.NewWatcher()
	dir := t.TempDir()
	var told weak.Pointer[[1 << 10]byte]
	t.Run("watched", func(t *testing.T) { // on a stack of its own
		who := new([1 << 10]byte)
		told = weak.Make(who)
		stop, err := w.Watch(dir, func(string) { who[0]++ })
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		stop()
	})
	runtime.GC()
	if told.Value() != nil {
		t.Error("who was told is still there")
	}
	runtime.KeepAlive(w)
}
