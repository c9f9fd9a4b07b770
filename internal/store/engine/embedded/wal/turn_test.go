package wal

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"plic/internal/vfs"
)

// held is a log on a disk of which one kind of operation waits to be let go on.
type held struct {
	*Log
	mem    *vfs.Memory
	met    int // how often
	letGo  chan error
	synced sync.WaitGroup
}

func newHeld(t *testing.T, op string, size int64) *held {
	h := &held{mem: newDisk(t), letGo: make(chan error)}
	h.Log = New(Options{Dir: dir, Size: size, FS: disk{h.mem, func(what string, act func() error) error {
		if what == op {
			h.met++ // there is one at a time
			if err := <-h.letGo; err != nil {
				return err
			}
		}
		return act()
	}}}, 0)
	return h
}

// commit appends a record and waits for it.
func (h *held) commit(t *testing.T, want error) {
	n := h.Append([]byte("text"))
	h.synced.Go(func() {
		if err := h.Wait(n); !errors.Is(err, want) {
			t.Errorf("%d: %v, want %v", n, err, want)
		}
	})
	synctest.Wait()
}

// TestGroup: those who come while a sync is under way share the next one.
func TestGroup(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHeld(t, opSync, 1<<20)
		for range 50 {
			h.commit(t, nil)
		}
		h.letGo <- nil
		h.letGo <- nil
		h.synced.Wait()
		if h.met != 2 || h.Syncs() != 2 {
			t.Errorf("%d syncs, it says %d, want 2", h.met, h.Syncs())
		}
		if err := h.Wait(1); err != nil || h.Close() != nil {
			t.Error(err)
		}
		if h.met != 2 {
			t.Errorf("%d syncs at the end, want 2", h.met)
		}
	})
}

// TestSyncFails: all who wait are told, those too who would have been of the next turn.
func TestSyncFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHeld(t, opSync, 1<<20)
		for range 20 {
			h.commit(t, syscall.EIO)
		}
		h.letGo <- syscall.EIO
		h.synced.Wait()
		if err := h.Release(0); err != nil {
			t.Error("release:", err)
		}
		if err := h.Close(); !errors.Is(err, syscall.EIO) || h.met != 1 {
			t.Errorf("%v after %d syncs", err, h.met)
		}
	})
}

// TestCloseWaits: Close has its turn as all others; what comes later is refused.
func TestCloseWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHeld(t, opSync, 1<<20)
		h.commit(t, nil)
		h.commit(t, nil)
		closed := make(chan error)
		go func() { closed <- h.Close() }()
		h.commit(t, nil)
		for range 2 {
			h.letGo <- nil
		}
		if err := <-closed; err != nil {
			t.Error("close:", err)
		}
		h.synced.Wait()
		h.commit(t, ErrClosed)
		h.synced.Wait()
		if found, err := Read(h.mem, dir, 0, false); err != nil || found.Last() != 3 {
			t.Errorf("%d are there, %v", found.Last(), err)
		}
	})
}

// TestCloseMeetsRelease: the file is closed once, whoever does it; who comes meanwhile
// is not forgotten.
func TestCloseMeetsRelease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHeld(t, opClose, 1<<20)
		n := h.Append([]byte("text"))
		go func() { h.letGo <- nil }() // the directory
		if err := h.Wait(n); err != nil {
			t.Fatal(err)
		}
		h.synced.Go(func() {
			if err := h.Release(n); err != nil {
				t.Error("release:", err)
			}
		})
		synctest.Wait()
		h.commit(t, nil)
		h.synced.Go(func() {
			if err := h.Close(); err != nil {
				t.Error("close:", err)
			}
		})
		synctest.Wait()
		for range 3 { // the old file, the directory and the new file
			h.letGo <- nil
		}
		h.synced.Wait()
		if found, err := Read(h.mem, dir, n, false); err != nil || found.Last() != n+1 || len(found.Files()) != 1 {
			t.Errorf("%d, %q, %v", found.Last(), found.Files(), err)
		}
	})
}

// TestRelease: of what is let go one file is kept while records come, the newest, so
// that those that are there are without a gap.
func TestRelease(t *testing.T) {
	t.Parallel()
	mem := newDisk(t)
	l := New(Options{FS: mem, Dir: dir, Size: 100}, 0)
	for range 10 {
		if err := l.Wait(l.Append(make([]byte, 100))); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		upTo    uint64
		files   int
		records int
	}{{0, 10, 10}, {1, 10, 10}, {5, 6, 6}, {6, 5, 5}, {8, 3, 3}, {10, 0, 0}} {
		if err := l.Release(c.upTo); err != nil {
			t.Fatal(err)
		}
		if want := int64(10-c.upTo) * (headSize + 100); l.Size() != want {
			t.Errorf("up to %d: %d octets are needed, want %d", c.upTo, l.Size(), want)
		}
		first, _, err := Oldest(mem, dir)
		if err != nil {
			t.Fatal(err)
		}
		found, err := Read(mem, dir, max(first, 1)-1, false) // as who does not know what tables hold
		if err != nil {
			t.Fatal(err)
		}
		if d := found.Damage(); d != nil || len(found.Files()) != c.files || len(all(t, found)) != c.records {
			t.Errorf("up to %d: %v, %q, %d records", c.upTo, d, found.Files(), len(all(t, found)))
		}
	}
	if l.Next() != 11 || l.Syncs() != 10 || l.Close() != nil {
		t.Errorf("next %d, %d syncs", l.Next(), l.Syncs())
	}
}

// TestLarge: a file with a record far larger than files are is not used again.
func TestLarge(t *testing.T) {
	t.Parallel()
	mem := newDisk(t)
	l := New(Options{FS: mem, Dir: dir, Size: 1 << 10}, 0)
	text := make([]byte, 2*keptBuffer)
	for _, text := range [][]byte{text, text[:1], text[:1000], text[:1], text[:1]} {
		if err := l.Wait(l.Append(text)); err != nil {
			t.Fatal(err)
		}
	}
	for _, upTo := range []uint64{1, 3} { // the large one is gone, and the other stays
		if err := l.Release(upTo); err != nil {
			t.Fatal(err)
		}
		found, err := Read(mem, dir, upTo, false)
		if err != nil || len(found.Files()) != 2 || found.Last() != 5 {
			t.Errorf("up to %d: %q, %d, %v", upTo, found.Files(), found.Last(), err)
		}
	}
	if cap(l.buffer) > keptBuffer || cap(l.text) > keptBuffer {
		t.Errorf("it keeps %d and %d octets", cap(l.buffer), cap(l.text))
	}
}

// TestOnDisk writes to a real disk as to that of tests.
func TestOnDisk(t *testing.T) {
	t.Parallel()
	fs, dir := vfs.Disk(), t.TempDir()
	l := New(Options{FS: fs, Dir: dir, Size: 2 << 10, Ahead: 1 << 10}, 0)
	var wg sync.WaitGroup
	for n := range uint64(200) {
		wg.Go(func() {
			if err := l.Wait(l.Append(fmt.Appendf(nil, "%100d", n))); err != nil {
				t.Error(err)
			}
		})
		if n%20 == 19 {
			wg.Wait()
			if err := l.Release(n - 10); err != nil {
				t.Error(err)
			}
		}
	}
	wg.Wait()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	found, err := Read(fs, dir, 189, false)
	if err != nil {
		t.Fatal(err)
	}
	if d := found.Damage(); d != nil || found.Last() != 200 || len(all(t, found)) != 11 {
		t.Errorf("up to %d, %v", found.Last(), d)
	}
}
