package mbox_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	pebble "github.com/cockroachdb/pebble/v2/vfs"

	"plic/internal/store/mbox"
	"plic/internal/vfs"
)

// narrow is a disk with room for some octets more: of a write that is larger it
// takes as many as there is room for, as disks do.
type narrow struct {
	vfs.FS
	room *atomic.Int64
}

type narrowFile struct {
	vfs.File
	room *atomic.Int64
}

func (n narrow) Create(name string, c pebble.DiskWriteCategory) (vfs.File, error) {
	f, err := n.FS.Create(name, c)
	if err != nil {
		return nil, err
	}
	return narrowFile{f, n.room}, nil
}

func (n narrow) OpenReadWrite(name string, c pebble.DiskWriteCategory, o ...pebble.OpenOption) (vfs.File, error) {
	f, err := n.FS.OpenReadWrite(name, c, o...)
	if err != nil {
		return nil, err
	}
	return narrowFile{f, n.room}, nil
}

func (f narrowFile) Write(p []byte) (int, error) {
	return f.take(p, f.File.Write)
}

// WriteAt does not say how much there was room for, as that of os.File does not.
func (f narrowFile) WriteAt(p []byte, at int64) (int, error) {
	n, err := f.take(p, func(p []byte) (int, error) { return f.File.WriteAt(p, at) })
	if err != nil {
		n = 0
	}
	return n, err
}

func (f narrowFile) take(p []byte, write func([]byte) (int, error)) (int, error) {
	fits := min(int64(len(p)), max(f.room.Load(), 0))
	f.room.Add(-fits)
	n, err := write(p[:fits])
	if err == nil && fits < int64(len(p)) {
		err = syscall.ENOSPC
	}
	return n, err
}

// L4: a message for which there is no room leaves nothing in the file, whatever part
// of it had room, and nothing beside it; those before it can be read, and what is
// smaller is delivered.
func TestFullMbox(t *testing.T) {
	t.Parallel()
	for _, room := range []int64{0, 1, 50, 1000, 100_000, 200_000} {
		var left atomic.Int64
		left.Store(1 << 30)
		s := newSite(t, narrow{vfs.Disk(), &left}, mbox.Options{}, nil)
		s.ok(s.deliver(message("one")))
		before := s.read()
		for range 3 {
			left.Store(room)
			if err := s.deliver(message("late") + strings.Repeat("more\r\n", 50_000)); err == nil {
				t.Fatal("delivered without room")
			}
			if got := s.read(); got != before {
				t.Errorf("room for %d octets: %d are in the file, not %d", room, len(got), len(before))
			}
			if got := s.scan(); len(got) != 1 {
				t.Errorf("room for %d octets: %.200q", room, got)
			}
		}
		if names, _ := filepath.Glob(filepath.Join(s.at.Path, ".plic", "torn-*")); len(names) > 0 {
			t.Errorf("room for %d octets: %q are left", room, names)
		}
		left.Store(10_000)
		s.ok(s.deliver(message("two")))
		if got := s.scan(); len(got) != 2 {
			t.Errorf("room for %d octets: %.200q", room, got)
		}
	}
}

// Nor does the beginning of a message that a crash has left stay for want of room to
// set it aside: then nothing is lost, and each try leaves nothing.
func TestTornWithoutRoom(t *testing.T) {
	t.Parallel()
	var left atomic.Int64
	left.Store(1 << 30)
	s := newSite(t, narrow{vfs.Disk(), &left}, mbox.Options{}, nil)
	s.ok(s.deliver(message("one")))
	before, next := len(s.read()), s.next
	s.ok(s.deliver(message("late")))
	torn := s.read()[:before+100]
	s.next = next
	s.write(torn)
	s.open()
	for range 3 {
		left.Store(10)
		if err := s.deliver(message("two")); err == nil {
			t.Fatal("delivered without room")
		}
	}
	if names, _ := filepath.Glob(filepath.Join(s.at.Path, ".plic", "torn-*")); len(names) > 0 {
		t.Errorf("%q are left", names)
	}
	if got, err := os.ReadFile(s.file()); err != nil || string(got) != torn {
		t.Errorf("%q %v", got, err)
	}
	left.Store(1 << 20)
	s.ok(s.deliver(message("two")))
	if got := s.aside(); got == "" || len(s.scan()) != 2 {
		t.Errorf("%q was set aside", got)
	}
}
