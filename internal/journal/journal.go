// Package journal is the one record of what happened: an Event for each
// connection, each decision and each try to deliver, kept for some days as
// JSON lines. It feeds the structured log and the metrics, and answers "where
// is my mail".
//
// An event is written without waiting for the disk: what matters is durable
// elsewhere, and the journal may lose its last moments in a power cut.
package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"plic/internal/vfs"
)

// DefaultKeep is how long events are kept when nothing else is asked for.
const DefaultKeep = 14 * 24 * time.Hour

// maxPending bounds what waits for the writer; beyond it Record waits, so that
// a slow disk slows the work down instead of eating memory.
const maxPending = 4 << 20

// Options say where the journal is and how long it remembers.
type Options struct {
	FS   vfs.FS
	Dir  string
	Now  func() time.Time // time.Now if nil
	Keep time.Duration    // DefaultKeep if 0
	Log  *slog.Logger     // nil for none
}

// Journal records events. A nil Journal records nothing. Its methods may be
// called at the same time.
type Journal struct {
	o      Options
	wake   chan struct{} // cap 1: there is something in pending
	stop   chan struct{} // closed by Close
	done   chan struct{} // the writer has ended
	err    error         // of the last sync, read after done
	lost   atomic.Uint64
	counts sync.Map // countKey to *atomic.Uint64

	mu       sync.Mutex
	moved    sync.Cond // pending was taken, or written or closed has changed
	pending  []byte
	added    uint64 // octets ever put into pending
	written  uint64 // of them, those that the writer is done with
	closed   bool
	lastLost time.Time // when a loss was last logged; the writer's own

	file  vfs.File // the writer's own, nil until there is something to write
	name  string   // its path
	fresh bool     // nothing was written to it
	day   string
	retry time.Time // what comes before is lost without a look at the disk
}

// Open makes the directory if it is missing, forgets what is too old and
// starts the writer. Files are made with the first event.
func Open(o Options) (*Journal, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Keep <= 0 {
		o.Keep = DefaultKeep
	}
	if err := vfs.MakeDir(o.FS, o.Dir); err != nil {
		return nil, fmt.Errorf("journal directory: %w", err)
	}
	j := &Journal{o: o, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	j.moved.L = &j.mu
	if err := j.prune(o.Now()); err != nil {
		return nil, fmt.Errorf("journal %s: %w", o.Dir, err)
	}
	go j.write()
	return j, nil
}

// Record puts an event on record. It sets the time if there is none, costs
// about a microsecond and does not wait for the disk unless much is pending.
func (j *Journal) Record(e Event) {
	if j == nil {
		return
	}
	if e.Time.IsZero() {
		e.Time = j.o.Now()
	}
	j.count(&e)
	j.log(&e)
	line := lines.Get().(*[]byte)
	*line = append(e.append((*line)[:0]), '\n')
	j.mu.Lock()
	for len(j.pending) > maxPending && !j.closed {
		j.moved.Wait()
	}
	if !j.closed {
		j.pending = append(j.pending, *line...)
		j.added += uint64(len(*line))
	}
	j.mu.Unlock()
	lines.Put(line)
	select {
	case j.wake <- struct{}{}:
	default: // the writer knows already
	}
}

// lines keeps buffers in which one event is encoded.
var lines = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// Lost is how many octets of events could not be written.
func (j *Journal) Lost() uint64 {
	if j == nil {
		return 0
	}
	return j.lost.Load()
}

// Close writes and syncs what is pending. Events recorded later are dropped.
func (j *Journal) Close() error {
	if j == nil {
		return nil
	}
	j.mu.Lock()
	if !j.closed {
		j.closed = true
		close(j.stop)
	}
	j.moved.Broadcast()
	j.mu.Unlock()
	<-j.done
	return j.err
}

// flush waits until everything recorded so far can be read from the files.
func (j *Journal) flush() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for target := j.added; j.written < target; {
		j.moved.Wait()
	}
}

// write is the only goroutine that touches the file. It takes whatever has
// come together since its last write.
func (j *Journal) write() {
	defer close(j.done)
	var spare []byte
	for open := true; open; {
		select {
		case <-j.wake:
		case <-j.stop: // nothing is added to pending any more
			open = false
		}
		j.mu.Lock()
		batch := j.pending
		j.pending = spare[:0]
		j.moved.Broadcast() // there is room again
		j.mu.Unlock()
		if size := len(batch); size > 0 {
			if err := j.store(batch); err != nil {
				j.lose(size, err)
			}
			j.mu.Lock()
			j.written += uint64(size)
			j.moved.Broadcast()
			j.mu.Unlock()
		}
		spare = batch
	}
	j.err = j.closeFile()
}

func (j *Journal) store(batch []byte) error {
	now := j.o.Now()
	if wait := j.retry.Sub(now); wait > 0 && wait <= retryAfter {
		return errPaused
	}
	if day := now.UTC().Format(time.DateOnly); j.file == nil || day != j.day {
		if err := j.rotate(day, now); err != nil {
			return err
		}
	}
	_, err := j.file.Write(batch)
	j.fresh = j.fresh && err != nil
	return err
}

// retryAfter is how long the disk is left alone after a write that failed: each
// try begins a file.
const retryAfter = time.Second

var errPaused = errors.New("a write has failed a moment ago")

// rotate begins a new file. The old one is synced, and is lost to us in any
// case: the file system seam has no way to append to a file.
func (j *Journal) rotate(day string, now time.Time) error {
	closed := j.closeFile()
	if err := j.prune(now); err != nil {
		return err
	}
	number := 1
	names, err := j.files()
	if err != nil {
		return err
	}
	for _, n := range names {
		if n.day == day {
			number = max(number, n.number+1)
		}
	}
	name := j.o.FS.PathJoin(j.o.Dir, fileName{day, number}.String())
	file, err := j.o.FS.Create(name, vfs.Mail)
	if err != nil {
		return err
	}
	j.file, j.name, j.fresh, j.day = file, name, true, day
	return errors.Join(closed, vfs.Private(file), vfs.SyncDir(j.o.FS, j.o.Dir))
}

func (j *Journal) closeFile() error {
	if j.file == nil {
		return nil
	}
	err := errors.Join(j.file.Sync(), j.file.Close())
	j.file = nil
	if err != nil {
		return fmt.Errorf("journal file of %s: %w", j.day, err)
	}
	return nil
}

// lose gives up the batch: mail goes on without a journal. The next batch
// begins a new file, because this one may end within a line.
func (j *Journal) lose(octets int, err error) {
	j.lost.Add(uint64(octets))
	now := j.o.Now()
	if !errors.Is(err, errPaused) {
		j.retry = now.Add(retryAfter)
	}
	if j.file != nil {
		err = errors.Join(err, j.file.Close())
		j.file = nil
		if j.fresh { // half a line is all that may be in it
			err = errors.Join(err, j.o.FS.Remove(j.name))
		}
	}
	if j.o.Log != nil && now.Sub(j.lastLost).Abs() >= time.Minute {
		j.lastLost = now
		j.o.Log.Error("journal: events are lost", "dir", j.o.Dir, "octets", octets, "error", err)
	}
}

// prune removes the files whose last event is older than Keep.
func (j *Journal) prune(now time.Time) error {
	names, err := j.files()
	if err != nil {
		return err
	}
	for _, n := range names {
		if begin, _ := time.Parse(time.DateOnly, n.day); now.Sub(begin.AddDate(0, 0, 1)) <= j.o.Keep {
			continue
		}
		err := j.o.FS.Remove(j.o.FS.PathJoin(j.o.Dir, n.String()))
		if err != nil && !vfs.NotExist(err) {
			return err
		}
	}
	return nil
}

// log writes the event to the structured log, if that takes it.
func (j *Journal) log(e *Event) {
	if j.o.Log == nil {
		return
	}
	ctx, level := context.Background(), levelOf(e.Kind)
	if j.o.Log.Enabled(ctx, level) {
		j.o.Log.LogAttrs(ctx, level, e.Kind, e.attrs()...)
	}
}
