package wal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"

	"plic/internal/vfs"
)

// life is a log until power fails.
type life struct {
	t     *testing.T
	mem   *vfs.Memory
	log   *Log
	start uint64 // what is up to here is in tables

	mu       sync.Mutex
	rng      *rand.Rand
	texts    map[uint64][]byte
	last     uint64
	acked    uint64 // Wait said that it is on the disk
	released uint64
	closing  bool
	ends     []end
}

// end is a disk after power failed, and what was known then.
type end struct {
	fs              *vfs.Memory
	acked, released uint64
	last            uint64 // tables hold no more
}

func newLife(t *testing.T, mem *vfs.Memory, start uint64, rng *rand.Rand) *life {
	l := &life{t: t, mem: mem, start: start, last: start, acked: start, released: start, rng: rng, texts: map[uint64][]byte{}}
	l.log = New(Options{
		FS: disk{mem, l.do}, Dir: dir, Size: int64(1 + rng.IntN(8<<10)), Ahead: int64(1 + rng.IntN(4<<10)),
		Room: func(int64) error {
			if l.random(5) == 0 {
				return syscall.ENOSPC
			}
			return nil
		},
	}, start)
	return l
}

func (l *life) random(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rng.IntN(n)
}

// do does what changes something on the disk. Now and then power fails before it.
func (l *life) do(_ string, act func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.ends) < 12 && l.rng.IntN(10) == 0 {
		l.ends = append(l.ends, end{cut(l.t, l.mem, l.rng), l.acked, l.released, l.last})
	}
	return act()
}

func (l *life) append() (n uint64) {
	l.mu.Lock()
	text := make([]byte, l.rng.IntN([]int{1, 50, 300, 6000}[l.rng.IntN(4)])+1)
	for i := range text {
		text[i] = byte(l.rng.Uint32())
	}
	l.mu.Unlock()
	n = l.log.Append(bytes.Clone(text))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.texts[n] = text
	l.last = max(l.last, n)
	return n
}

func (l *life) wait(n uint64) {
	err := l.log.Wait(n)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.acked = max(l.acked, n)
	} else if !l.closing || !errors.Is(err, ErrClosed) {
		l.t.Errorf("wait for %d: %v", n, err)
	}
}

func (l *life) release() {
	l.mu.Lock()
	l.released += uint64(l.rng.Int64N(int64(l.last-l.released) + 1))
	upTo := l.released
	l.mu.Unlock()
	if err := l.log.Release(upTo); err != nil {
		l.t.Errorf("release up to %d: %v", upTo, err)
	}
}

// run does this and that, much of it at once.
func (l *life) run() {
	var wg sync.WaitGroup
	for range 10 + l.random(60) {
		switch l.random(8) {
		case 0, 1, 2:
			l.append()
		case 3, 4:
			wg.Go(func() { l.wait(l.append()) })
		case 5:
			l.wait(l.append())
		case 6:
			wg.Go(l.release)
		case 7:
			wg.Wait()
		}
	}
	if l.random(2) == 0 {
		l.mu.Lock()
		l.closing = true
		l.mu.Unlock()
		wg.Go(func() { l.wait(l.append()) })
		if err := l.log.Close(); err != nil {
			l.t.Errorf("close: %v", err)
		}
	}
	wg.Wait()
	l.ends = append(l.ends, end{cut(l.t, l.mem, l.rng), l.acked, l.released, l.last})
}

// check reads what is left at an end, behind what tables may hold.
func (l *life) check(e end) (last uint64) {
	l.t.Helper()
	after := e.released
	if l.rng.IntN(2) == 0 {
		after += uint64(l.rng.Int64N(int64(e.last-after) + 1))
	}
	found, err := Read(e.fs, dir, after, false)
	if err != nil {
		l.t.Fatal(err)
	}
	if d := found.Damage(); d != nil {
		l.t.Fatalf("after %d of %d, acknowledged up to %d: %v", after, l.last, e.acked, d)
	}
	n := after
	for _, r := range all(l.t, found) {
		if n++; r.From != n || r.N != n || !bytes.Equal(r.Text, l.texts[n]) {
			l.t.Fatalf("%d to %d where %d is expected, %d octets, want %d", r.From, r.N, n, len(r.Text), len(l.texts[n]))
		}
	}
	if n < e.acked || n != found.Last() {
		l.t.Fatalf("there is %d, Last is %d, %d was acknowledged", n, found.Last(), e.acked)
	}
	return n
}

// restart makes way for another log as a start does, during which power fails too.
func (l *life) restart(e end) (*vfs.Memory, uint64) {
	last := l.check(e) // and now tables hold that
	fs := e.fs
	for fails := l.rng.IntN(4); ; fails-- {
		found, err := Read(fs, dir, last, false)
		if err != nil {
			l.t.Fatal(err)
		}
		if d := found.Damage(); d != nil || found.Last() != last {
			l.t.Fatalf("at the start: %v, %d, want %d", d, found.Last(), last)
		}
		names := found.Files()
		if fails > 0 {
			names = names[:l.rng.IntN(len(names)+1)]
		}
		for _, name := range names {
			if err := fs.Remove(path(name)); err != nil {
				l.t.Fatal(err)
			}
		}
		if fails <= 0 {
			break
		}
		fs = cut(l.t, fs, l.rng)
	}
	if err := vfs.SyncDir(fs, dir); err != nil {
		l.t.Fatal(err)
	}
	return fs, last
}

// TestCrash cuts the power at any time, again and again: nothing that was waited for
// is missing, and what is there is what was appended.
func TestCrash(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 1))
			l := newLife(t, newDisk(t), uint64(rng.IntN(3)), rng)
			for range 8 {
				l.run()
				for _, e := range l.ends {
					l.check(e)
				}
				fs, last := l.restart(l.ends[rng.IntN(len(l.ends))])
				l = newLife(t, fs, last, rng)
			}
		})
	}
}

// TestFaults has each operation fail: who waits is told, nothing is written any more,
// and what was said to be on the disk is there.
func TestFaults(t *testing.T) {
	t.Parallel()
	met := map[string]int{}
	for at := 0; ; at++ {
		failed := ""
		synctest.Test(t, func(t *testing.T) { failed = oneFault(t, at) })
		if failed == "" {
			break
		}
		met[failed]++
	}
	t.Log(met)
	for _, op := range []string{opCreate, opReuse, opRemove, opWrite, opMiddle, opFill, opSync, opNames, opClose} {
		if met[op] == 0 {
			t.Errorf("no %s failed", op)
		}
	}
}

func oneFault(t *testing.T, at int) (failed string) {
	mem := newDisk(t)
	var mu sync.Mutex
	fault := errors.New("fault")
	ops := 0
	do := func(op string, act func() error) error {
		mu.Lock()
		defer mu.Unlock()
		ops++
		switch {
		case ops == at+1:
			failed = op
			return fault
		case ops > at+1 && failed != opRemove && failed != opFill && op != opRemove && op != opClose:
			t.Errorf("%s after the %s that failed", op, failed)
		}
		return act()
	}
	l := New(Options{FS: disk{mem, do}, Dir: dir, Size: 300, Ahead: 200}, 0)
	var wg sync.WaitGroup
	var acked, released, last uint64
	told := func(what string, err error) {
		mu.Lock()
		defer mu.Unlock()
		if err != nil && !errors.Is(err, fault) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for i := range 70 {
		n := l.Append(fmt.Appendf(nil, "%d%60d", i, i))
		last = n
		wg.Go(func() {
			err := l.Wait(n)
			told("wait", err)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				acked = max(acked, n)
			} else if failed == opRemove || failed == opFill {
				t.Errorf("wait after a %s that failed: %v", failed, err)
			}
		})
		switch {
		case i%10 == 9:
			wg.Wait()
			released = acked - acked%7 // at the end all
			told("release", l.Release(released))
		case i%3 == 0:
			wg.Wait()
		}
	}
	wg.Wait()
	told("close", l.Close())
	if err := l.Wait(l.Append(nil)); err == nil {
		t.Error("it writes after Close")
	}
	for range 2 {
		found, err := Read(mem, dir, released, false)
		if err != nil {
			t.Fatal(err)
		}
		if d := found.Damage(); d != nil || found.Last() < acked {
			t.Errorf("%s failed: %d of %d are there, %v", failed, found.Last(), acked, d)
		}
		for _, r := range all(t, found) {
			if want := fmt.Sprintf("%d%60d", r.N-1, r.N-1); r.From != r.N || string(r.Text) != want {
				t.Errorf("%d to %d is %q, want %q", r.From, r.N, r.Text, want)
			}
		}
		mem = mem.CrashClone(vfs.CrashConfig{})
	}
	if failed == "" && acked != last {
		t.Errorf("%d of %d were written without a fault", acked, last)
	}
	return failed
}
