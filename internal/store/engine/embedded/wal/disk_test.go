package wal

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	pebblevfs "github.com/cockroachdb/pebble/v2/vfs"

	"plic/internal/vfs"
)

const dir = "/log"

// operations that change something on a disk
const (
	opCreate = "create"
	opReuse  = "reuse"
	opRemove = "remove"
	opWrite  = "write" // the first half
	opMiddle = "middle of a write"
	opFill   = "fill"
	opSync   = "sync"
	opNames  = "sync of the directory"
	opClose  = "close"
)

// disk has do do all that changes something.
type disk struct {
	vfs.FS
	do func(op string, act func() error) error
}

type diskFile struct {
	vfs.File
	on disk
}

func (d disk) file(op string, open func() (vfs.File, error)) (f vfs.File, err error) {
	err = d.do(op, func() (err error) {
		f, err = open()
		return err
	})
	if err != nil {
		return nil, err
	}
	return diskFile{f, d}, nil
}

func (d disk) Create(name string, c pebblevfs.DiskWriteCategory) (vfs.File, error) {
	return d.file(opCreate, func() (vfs.File, error) { return d.FS.Create(name, c) })
}

func (d disk) ReuseForWrite(from, to string, c pebblevfs.DiskWriteCategory) (vfs.File, error) {
	return d.file(opReuse, func() (vfs.File, error) { return d.FS.ReuseForWrite(from, to, c) })
}

func (d disk) Remove(name string) error {
	return d.do(opRemove, func() error { return d.FS.Remove(name) })
}

func (d disk) OpenDir(name string) (vfs.File, error) {
	f, err := d.FS.OpenDir(name)
	return diskFile{f, d}, err
}

func (f diskFile) Write(b []byte) (n int, err error) {
	half := len(b) / 2
	for i, part := range [][]byte{b[:half], b[half:]} {
		err := f.on.do([]string{opWrite, opMiddle}[i], func() error {
			m, err := f.File.Write(part)
			n += m
			return err
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func (f diskFile) WriteAt(b []byte, at int64) (n int, err error) {
	err = f.on.do(opFill, func() (err error) {
		n, err = f.File.WriteAt(b, at)
		return err
	})
	return n, err
}

func (f diskFile) SyncData() error { return f.on.do(opSync, f.File.SyncData) }
func (f diskFile) Sync() error     { return f.on.do(opNames, f.File.Sync) }

func (f diskFile) Close() (err error) {
	fault := f.on.do(opClose, func() error {
		err = f.File.Close()
		return nil
	})
	if fault != nil {
		f.File.Close()
	}
	return errors.Join(fault, err)
}

// newDisk is a disk with an empty directory of a log.
func newDisk(t testing.TB) *vfs.Memory {
	t.Helper()
	mem := vfs.NewMemory()
	if err := vfs.MakeDir(mem, dir); err != nil {
		t.Fatal(err)
	}
	return mem
}

func path(name string) string { return dir + "/" + name }

func load(t testing.TB, fs vfs.FS, name string) []byte {
	t.Helper()
	f, err := fs.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func save(t testing.TB, fs vfs.FS, name string, b []byte) {
	t.Helper()
	f, err := fs.Create(name, vfs.Mail)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(bytes.Clone(b)); err != nil { // a write may change what it is given
		t.Fatal(err)
	}
	if err := errors.Join(f.SyncData(), vfs.SyncDir(fs, fs.PathDir(name))); err != nil {
		t.Fatal(err)
	}
}

// cut is what is left when power fails: of names some that were not synced, and of
// what was written and not synced some blocks, or pieces much smaller than those that
// the disk of tests knows.
func cut(t testing.TB, mem *vfs.Memory, rng *rand.Rand) *vfs.Memory {
	t.Helper()
	clone := func(percent int) *vfs.Memory {
		return mem.CrashClone(vfs.CrashConfig{UnsyncedDataPercent: percent, RNG: rng})
	}
	percent := []int{0, 20, 50, 80, 100}[rng.IntN(5)]
	left := clone(percent)
	if rng.IntN(2) == 0 {
		return left
	}
	synced, written := clone(0), clone(100)
	names, err := left.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if _, err := written.Stat(path(name)); err != nil {
			continue // renamed since
		}
		var was []byte
		if _, err := synced.Stat(path(name)); err == nil {
			was = load(t, synced, path(name))
		}
		save(t, left, path(name), mix(was, load(t, written, path(name)), percent, rng))
	}
	return left
}

// mix has some pieces of what a file was, and some of what it is.
func mix(was, is []byte, percent int, rng *rand.Rand) []byte {
	out := bytes.Clone(was)
	if rng.IntN(2) == 0 && len(is) > len(was) {
		out = append(out, make([]byte, len(is)-len(was))...)
	}
	for at := 0; at < min(len(out), len(is)); {
		end := min(at+1+rng.IntN(100), len(out), len(is))
		if rng.IntN(100) < percent {
			copy(out[at:end], is[at:end])
		}
		at = end
	}
	return out
}

// all is what is found in a log.
func all(t testing.TB, l *Found) (records []Record) {
	t.Helper()
	err := l.Each(func(r Record) error {
		records = append(records, Record{r.From, r.N, bytes.Clone(r.Text)})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return records
}
