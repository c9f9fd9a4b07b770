package vfs

import (
	"errors"
	"io"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// after gives what a power cut leaves.
func after(m *Memory) *Memory {
	return m.CrashClone(CrashConfig{UnsyncedDataPercent: 0, RNG: rand.New(rand.NewPCG(1, 2))})
}

func write(t *testing.T, fs FS, name, text string, sync bool) {
	t.Helper()
	f, err := fs.Create(name, Mail)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := io.WriteString(f, text); err != nil {
		t.Fatal(err)
	}
	if sync {
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
}

func read(fs FS, name string) (string, error) {
	f, err := fs.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	return string(text), err
}

// TestCrashKeepsWhatWasSynced is what all tests of crashes rest on.
func TestCrashKeepsWhatWasSynced(t *testing.T) {
	m := NewMemory()
	if err := MakeDir(m, "a/b"); err != nil {
		t.Fatal(err)
	}
	write(t, m, "a/b/kept", "text", true)
	if err := SyncDir(m, "a/b"); err != nil {
		t.Fatal(err)
	}
	write(t, m, "a/b/unnamed", "text", true) // its directory is not synced
	left := after(m)
	if got, err := read(left, "a/b/kept"); err != nil || got != "text" {
		t.Errorf("what was synced reads %q, %v", got, err)
	}
	if _, err := read(left, "a/b/unnamed"); !NotExist(err) {
		t.Errorf("a name that was not synced: %v, want that it is gone", err)
	}
}

func TestOrderedNamesComeFirst(t *testing.T) {
	m := NewMemory()
	if err := MakeDir(m, "d"); err != nil {
		t.Fatal(err)
	}
	o := Ordered(m, "MANIFEST")
	write(t, o, "d/table", "x", true)
	write(t, o, "d/MANIFEST-1", "names the table", true)
	if _, err := read(after(m), "d/table"); err != nil {
		t.Errorf("the file that a later one names: %v", err)
	}
}

func TestFenced(t *testing.T) {
	m := NewMemory()
	write(t, m, "old", "text", true)
	var closed error
	f := Fenced(m, func() error { return closed })
	write(t, f, "before", "x", true)
	closed = errors.New("stopped")
	if _, err := f.Create("later", Mail); !errors.Is(err, closed) {
		t.Errorf("a file is made behind the fence: %v", err)
	}
	if err := f.Remove("old"); !errors.Is(err, closed) {
		t.Errorf("a file is removed behind the fence: %v", err)
	}
	if got, err := read(f, "old"); err != nil || got != "text" {
		t.Errorf("reading goes on: %q, %v", got, err)
	}
}

// full is a file system without space until there is room.
type full struct {
	FS
	room *bool
}

type fullFile struct {
	File
	room *bool
}

func (f full) Create(name string, c vfs.DiskWriteCategory) (File, error) {
	file, err := f.FS.Create(name, c)
	return fullFile{file, f.room}, err
}

func (f fullFile) Write(p []byte) (int, error) {
	if !*f.room {
		return 0, syscall.ENOSPC
	}
	return f.File.Write(p)
}

func TestOnDiskFullMakesRoom(t *testing.T) {
	m, room, calls := NewMemory(), false, 0
	fs := OnDiskFull(full{m, &room}, func() { room = true; calls++ })
	write(t, fs, "x", "text", true)
	if got, err := read(m, "x"); err != nil || got != "text" || calls != 1 {
		t.Errorf("%q, %v after %d calls, want the text after one", got, err, calls)
	}
}

// TestCrashMeanwhile has power fail while others use the file system.
func TestCrashMeanwhile(t *testing.T) {
	m := NewMemory()
	write(t, m, "file", "text", true)
	write(t, m, "again", "text", true)
	if err := SyncDir(m, ""); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	for _, use := range []func() error{
		func() error { return errors.Join(m.Link("file", "linked"), m.Remove("linked")) },
		func() error {
			f, err := m.ReuseForWrite("again", "again", Mail)
			if err != nil {
				return err
			}
			return f.Close()
		},
		func() error {
			l, err := m.Lock("lock")
			if err != nil {
				return err
			}
			return l.Close()
		},
	} {
		go func() {
			var err error
			for range 5000 {
				if err = use(); err != nil {
					break
				}
			}
			ended <- err
		}()
	}
	for left := 3; left > 0; {
		select {
		case err := <-ended:
			if left--; err != nil {
				t.Error(err)
			}
		default:
			if _, err := read(after(m), "file"); err != nil {
				t.Fatal(err)
			}
		}
	}
}
