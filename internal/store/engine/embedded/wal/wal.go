// Package wal is a write-ahead log: records with numbers that rise by one, in files
// of a directory. Who waits for a record writes and syncs all that is there to be
// written, so that no goroutine stands between a commit and the disk; for those who
// come meanwhile one does, in turns, as long as somebody waits. So one sync serves many.
//
// A file is named by the number of its first record and by what nobody can know
// before, and is begun when all before that is on the disk. Each record says up to
// which number the log was synced when it was written, so that a reader can tell what
// a crash has cut short from what is damaged.
package wal

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"plic/internal/vfs"
)

// Defaults of Options.
const (
	DefaultSize  = 16 << 20
	DefaultAhead = 256 << 10
)

// Options say where a log is.
type Options struct {
	FS    vfs.FS
	Dir   string
	Size  int64                    // octets after which another file is begun
	Ahead int64                    // octets that a file is filled ahead by
	Room  func(octets int64) error // says whether there is room to fill ahead, nil for always
}

// Suffix ends the names of files.
const Suffix = ".wal"

func newName(first uint64) string { return fmt.Sprintf("%016x-%08x%s", first, rand.Uint32(), Suffix) }

// firstOf gives the number of the first record of a file.
func firstOf(name string) (first uint64, ok bool) {
	if len(name) != len("0123456789abcdef-01234567"+Suffix) || !strings.HasSuffix(name, Suffix) {
		return 0, false
	}
	first, err := strconv.ParseUint(name[:16], 16, 64)
	return first, err == nil && first > 0
}

// Log is a log that is written.
type Log struct {
	o Options

	mu      sync.Mutex
	next    uint64    // the number of the next record
	from    uint64    // the first number that it stands for
	text    []byte    // records that are not yet written
	synced  uint64    // records up to here are on the disk
	leading bool      // somebody writes, or has the files otherwise
	free    sync.Cond // tells that nobody does any more
	waiting []waiter
	err     error // of a write or sync, or ErrClosed: nothing is written any more
	full    []fullFile
	spare   string // a file that is not needed any more, and can be used again
	buffer  []byte // for the next text
	size    int64  // octets of records in full files
	here    int64  // of those in the current one that are needed
	syncs   int64

	current *file // of who leads
}

// waiter waits for a record to be on the disk.
type waiter struct {
	n    uint64
	done chan struct{} // closed when that is decided
}

// fullFile is one behind which another was begun.
type fullFile struct {
	name string
	last uint64 // its last record
	size int64  // octets of records, all of which count as needed
}

// New makes a log that goes on behind a number. What is in its directory is not of it.
func New(o Options, after uint64) *Log {
	if o.Size == 0 {
		o.Size = DefaultSize
	}
	if o.Ahead == 0 {
		o.Ahead = DefaultAhead
	}
	if o.Room == nil {
		o.Room = func(int64) error { return nil }
	}
	l := &Log{o: o, next: after + 1, from: after + 1, synced: after}
	l.free.L = &l.mu
	return l
}

// Leap has the next record be of a higher number, and stand for all up to that.
func (l *Log) Leap(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = max(l.next, n)
}

// Next is the number that the next record gets.
func (l *Log) Next() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// Append takes a record, which goes to the disk when somebody waits for it or for a
// later one.
func (l *Log) Append(text []byte) (n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = l.next
	l.text = appendRecord(l.text, Record{From: l.from, N: n, Text: text})
	l.next, l.from = n+1, n+1
	return n
}

// Wait returns when a record is on the disk.
func (l *Log) Wait(n uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = min(n, l.from-1)
	switch {
	case l.decided(n):
	case l.leading:
		w := waiter{n, make(chan struct{})}
		l.waiting = append(l.waiting, w)
		l.mu.Unlock()
		<-w.done
		l.mu.Lock()
	default:
		l.leading = true
		l.flush()
		l.hand()
	}
	if l.synced >= n {
		return nil
	}
	return l.err
}

func (l *Log) decided(n uint64) bool { return l.synced >= n || l.err != nil }

// hand ends leading. While somebody waits, a goroutine leads: if who waits were woken
// for each turn, the disk would wait too.
func (l *Log) hand() {
	if len(l.waiting) > 0 {
		go l.serve()
		return
	}
	l.leading = false
	l.free.Signal()
}

func (l *Log) serve() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for all := 0; len(l.waiting) > 0; {
		l.gather(all)
		all = len(l.waiting)
		l.flush()
		all = max(all, len(l.waiting))
	}
	l.hand()
}

// gather lets those go on who were woken, as most of them have more to write soon: as
// long as fewer wait than the last time, which nobody waits for where all are idle.
func (l *Log) gather(all int) {
	const most = 64 // times that others may have the processor
	for range most {
		if len(l.waiting) >= all {
			return
		}
		l.mu.Unlock()
		runtime.Gosched()
		l.mu.Lock()
	}
}

// flush writes what there is, and wakes those of whom it is decided then. It is for
// who leads and holds mu, which is let go of meanwhile.
func (l *Log) flush() {
	if text := l.text; l.err == nil && len(text) > 0 {
		synced, last := l.synced, l.from-1
		l.text, l.buffer = l.buffer[:0], nil
		l.mu.Unlock()
		err := l.write(text, synced)
		l.mu.Lock()
		l.wrote(text, last, err)
	}
	l.waiting = slices.DeleteFunc(l.waiting, func(w waiter) bool {
		if !l.decided(w.n) {
			return false
		}
		close(w.done)
		return true
	})
}

func (l *Log) wrote(text []byte, last uint64, err error) {
	if cap(text) <= keptBuffer {
		l.buffer = text
	}
	if err != nil {
		l.err = err
		return
	}
	l.synced = last
	l.here += int64(len(text))
	l.syncs++
}

// keptBuffer is the size of buffers that are used again.
const keptBuffer = 1 << 20

// write appends records to the current file, or to another, and syncs it.
func (l *Log) write(text []byte, synced uint64) error {
	first := firstIn(text)
	if l.current != nil && l.current.at >= l.o.Size {
		if err := l.end(first - 1); err != nil {
			return err
		}
	}
	if l.current == nil {
		if err := l.begin(first); err != nil {
			return err
		}
	}
	seal(text, l.current.sum, synced)
	return l.current.write(text)
}

// end closes the current file.
func (l *Log) end(last uint64) error {
	f := l.current
	l.current = nil
	l.mu.Lock()
	l.full = append(l.full, fullFile{f.name, last, f.at})
	l.size, l.here = l.size+f.at, 0
	l.mu.Unlock()
	return f.Close()
}

// begin makes a file for records from a number on.
func (l *Log) begin(first uint64) error {
	l.mu.Lock()
	spare := l.spare
	l.spare = ""
	l.mu.Unlock()
	name := newName(first)
	f := &file{o: &l.o, name: l.o.FS.PathJoin(l.o.Dir, name), sum: sumOf(name)}
	var err error
	if spare == "" {
		f.File, err = l.o.FS.Create(f.name, vfs.Mail)
	} else if f.File, err = l.o.FS.ReuseForWrite(spare, f.name, vfs.Mail); err == nil {
		if i, err := f.Stat(); err == nil {
			f.filled = i.Size()
		}
	}
	if err != nil {
		return err
	}
	if err := vfs.SyncDir(l.o.FS, l.o.Dir); err != nil {
		f.Close()
		return err
	}
	l.current = f
	return nil
}

// Release lets go of records up to a number, as somebody else keeps them: files that
// hold no others are removed, but for the newest, which is used again as long as
// records come.
func (l *Log) Release(upTo uint64) error {
	if err := l.rest(upTo); err != nil {
		return err
	}
	l.mu.Lock()
	var gone []string
	for len(l.full) > 0 && l.full[0].last <= upTo {
		f := l.full[0]
		l.full = l.full[1:]
		l.size -= f.size
		if l.spare != "" {
			gone = append(gone, l.spare)
		}
		if l.spare = f.name; f.size > 2*l.o.Size {
			gone = append(gone, l.spare)
			l.spare = ""
		}
	}
	if upTo >= l.from-1 && l.spare != "" {
		gone = append(gone, l.spare)
		l.spare = ""
	}
	if upTo >= l.synced {
		l.here = 0
	}
	l.mu.Unlock()
	var err error
	for _, name := range gone {
		err = errors.Join(err, l.o.FS.Remove(name))
	}
	return err
}

// rest closes the current file if it holds nothing that is needed.
func (l *Log) rest(upTo uint64) error {
	l.mu.Lock()
	if l.leading || l.err != nil || l.synced < l.from-1 || upTo < l.synced || l.current == nil {
		l.mu.Unlock()
		return nil
	}
	l.leading = true
	last := l.synced
	l.mu.Unlock()
	err := l.end(last)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.err = err
	}
	l.hand()
	return err
}

// Size is about how many octets a start would have to read.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size + l.here
}

// Unwritten is how many octets nobody has waited for yet.
func (l *Log) Unwritten() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.text)
}

// Syncs is how often the log was synced.
func (l *Log) Syncs() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.syncs
}

// ErrClosed is of records that nobody waited for before Close.
var ErrClosed = errors.New("the log is closed")

// Close writes what there is and closes the file. Nothing is written after it.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.leading {
		l.free.Wait()
	}
	l.leading = true
	l.flush()
	err := l.err
	if l.current != nil {
		err = cmp.Or(err, l.current.Close())
		l.current = nil
	}
	l.err = cmp.Or(err, ErrClosed)
	l.hand()
	return err
}
