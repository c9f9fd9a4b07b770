package embedded

import (
	"errors"
	"io/fs"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// TestStartOnFullDisk: a store whose disk is full opens as long as it has ballast to
// give up; then it says what it needs, and does not try for ever.
func TestStartOnFullDisk(t *testing.T) {
	disk := vfs.NewMemory()
	now := time.Now()
	usage := func(free uint64) {
		disk.TestingSetDiskUsage(pebblevfs.DiskUsage{AvailBytes: free, TotalBytes: 1 << 40, UsedBytes: 1 << 40})
		now = now.Add(time.Second)
	}
	open := func() error {
		e, err := Open(t.Context(), Options{
			FS: disk, Dir: "/store", Now: func() time.Time { return now }, Cache: 1 << 20,
			Ballast: 1 << 20, Reserve: 4 << 20, manual: true,
		})
		if err == nil {
			apply(t, e, &engine.Batch{Accounts: []engine.Account{{ID: 1, Name: "a"}}})
			err = e.Close()
		}
		return err
	}
	usage(1 << 30)
	if err := open(); err != nil {
		t.Fatal(err)
	}
	usage(0)
	if err := open(); err != nil {
		t.Errorf("with ballast: %v", err)
	}
	if err := disk.Remove("/store/ballast"); err != nil {
		t.Fatal(err)
	}
	if err := open(); !errors.Is(err, engine.ErrFull) || !strings.Contains(err.Error(), "make room") {
		t.Errorf("without room and ballast: %v", err)
	}
	usage(3 << 20)
	if err := open(); err != nil {
		t.Errorf("with a little room: %v", err)
	}
}

// TestFullDisk fills a disk: the ballast is given up, bodies are refused,
// changes of flags go on, and when there is room again so does the mail.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMemory()
	var full atomic.Bool
	now := time.Now()
	usage := func(free uint64) {
		disk.TestingSetDiskUsage(pebblevfs.DiskUsage{AvailBytes: free, TotalBytes: 1 << 40, UsedBytes: 1 << 40})
		now = now.Add(time.Second)
	}
	usage(1 << 30)
	failing := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if !full.Load() || op.Kind != errorfs.OpFileWrite && op.Kind != errorfs.OpCreate {
			return nil
		}
		if _, err := disk.Stat("/store/ballast"); err != nil {
			return nil
		}
		return &fs.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
	}))
	e, err := Open(t.Context(), Options{
		FS: failing, Dir: "/store", Now: func() time.Time { return now }, Cache: 1 << 20,
		Ballast: 1 << 20, Reserve: 4 << 20, manual: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	apply(t, e, &engine.Batch{Accounts: []engine.Account{{ID: 1, Name: "a"}}})
	if i, err := disk.Stat("/store/ballast"); err != nil || i.Size() != 1<<20 {
		t.Fatal("ballast:", err)
	}
	put := func() error {
		w, err := e.NewBody(t.Context())
		if err != nil {
			return err
		}
		defer w.Discard()
		if _, err := w.Write([]byte("body")); err != nil {
			return err
		}
		ticket, err := e.Apply(&engine.Batch{Bodies: []engine.BodyWriter{w}})
		if err != nil {
			return err
		}
		return ticket.Wait()
	}
	flags := func() error {
		ticket, err := e.Apply(&engine.Batch{Accounts: []engine.Account{{ID: 1, Name: "a", NextMailbox: 9}}})
		if err != nil {
			return err
		}
		return ticket.Wait()
	}
	if err := errors.Join(put(), flags(), e.Room(900<<20)); err != nil {
		t.Fatal("with room:", err)
	}
	if err := e.Room(1 << 30); !errors.Is(err, engine.ErrFull) {
		t.Errorf("more than there is room for: %v, want ErrFull", err)
	}

	full.Store(true)
	usage(1 << 20)
	if err := flags(); err != nil {
		t.Error("flags when the disk is full:", err)
	}
	if _, err := disk.Stat("/store/ballast"); err == nil {
		t.Error("the ballast is still there")
	}
	if err := put(); !errors.Is(err, engine.ErrFull) {
		t.Errorf("a body when the disk is full: %v, want ErrFull", err)
	}
	if err := e.Room(0); !errors.Is(err, engine.ErrFull) {
		t.Errorf("room when the disk is full: %v, want ErrFull", err)
	}
	usage(1000)
	if err := flags(); !errors.Is(err, engine.ErrFull) {
		t.Errorf("flags when the ballast is used up: %v, want ErrFull", err)
	}

	full.Store(false)
	usage(1 << 30)
	e.space.restore()
	if err := errors.Join(e.Room(1<<20), put(), flags()); err != nil {
		t.Error("with room again:", err)
	}
	if _, err := disk.Stat("/store/ballast"); err != nil {
		t.Error("ballast:", err)
	}
}

// TestFullSegment: a body that finds no room is ErrFull, the engine goes on.
func TestFullSegment(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMemory()
	var full atomic.Bool
	failing := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if full.Load() && op.Kind == errorfs.OpFileWrite && !strings.Contains(op.Path, "records") {
			return &fs.PathError{Op: "write", Path: op.Path, Err: syscall.ENOSPC}
		}
		return nil
	}))
	e, err := Open(t.Context(), Options{FS: failing, Dir: "/store", Cache: 1 << 20, Ballast: -1, Reserve: -1, manual: true})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	for _, size := range []int{100, 300 << 10} {
		for _, f := range []bool{false, true, false} {
			full.Store(f)
			w, err := e.NewBody(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			_, err = w.Write(make([]byte, size))
			if err == nil {
				var ticket engine.Ticket
				if ticket, err = e.Apply(&engine.Batch{Bodies: []engine.BodyWriter{w}}); err == nil {
					err = ticket.Wait()
				}
			}
			if f != errors.Is(err, engine.ErrFull) || !f && err != nil {
				t.Errorf("%d octets, full %t: %v", size, f, err)
			}
			w.Discard()
		}
	}
	for p := range e.Check(t.Context()) {
		t.Error(p)
	}
}

// slowBallast lets something happen while the ballast is removed.
type slowBallast struct {
	vfs.FS
	meanwhile func()
}

func (s slowBallast) Remove(name string) error {
	s.meanwhile()
	return s.FS.Remove(name)
}

// TestBallastIsSeenAtOnce reads the free space while the ballast is given up:
// that reading must not refuse changes for which there is room in a moment.
func TestBallastIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	disk := vfs.NewMemory()
	var s *space
	now := time.Now()
	usage := func(free uint64) {
		disk.TestingSetDiskUsage(pebblevfs.DiskUsage{AvailBytes: free, TotalBytes: 1 << 40, UsedBytes: 1 << 40})
	}
	meanwhile := func() {}
	o := Options{FS: slowBallast{disk, func() { meanwhile() }}, Dir: "/", Ballast: 8 << 20, Now: func() time.Time { return now }}
	o.defaults()
	s = newSpace(o)
	usage(1 << 30)
	if err := s.fill(); err != nil {
		t.Fatal(err)
	}
	usage(0)
	meanwhile = func() {
		if err := s.tight(); err != nil {
			t.Errorf("while the ballast goes: %v", err)
		}
		if err := s.room(1); !errors.Is(err, engine.ErrFull) {
			t.Errorf("mail while the ballast goes: %v, want ErrFull", err)
		}
		usage(8 << 20)
	}
	s.full()
	if err := s.tight(); err != nil {
		t.Errorf("after the ballast is gone: %v", err)
	}
}
