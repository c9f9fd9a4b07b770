// Package embedded is the engine that plic brings with it: records in a Pebble
// database, small bodies in append-only segment files, large ones in files of
// their own.
//
// A commit needs one sync, that of the write-ahead log, which all committers
// share: a small body goes to its segment without waiting for the disk, and
// into the log as a redo record. Later the segment is synced and the redo
// records go; after a crash those that are left are written anew. A large body
// and its name are synced before the batch that takes it, and so is the segment
// of small ones that are very many in one batch: they are not in the log.
//
// After an error of a write or sync that may have lost something the engine
// stops (engine.ErrFailed): a second fsync would report what the page cache
// holds, not the disk. A full disk is no such error: bodies are refused with
// engine.ErrFull while less than a reserve is free, and a ballast file is given
// up for what must be written meanwhile.
package embedded

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/store/engine/embedded/wal"
	"plic/internal/vfs"
)

// Defaults of Options.
const (
	DefaultCache   = 64 << 20
	DefaultBallast = 64 << 20
	DefaultReserve = 128 << 20
	DefaultGrace   = 10 * time.Minute
)

const (
	memTableSize  = 32 << 20
	onceBytes     = 1 << 20
	formatVersion = pebble.FormatTableFormatV6 // the last before value separation

	markerPrefix = "marker." // of the files that name Pebble's current ones

)

// Options say where an engine lives and what it may use. Zero values take the
// defaults above; a negative Ballast, Reserve or Grace is none.
type Options struct {
	FS      vfs.FS // default vfs.Disk
	Dir     string
	Now     func() time.Time // default time.Now
	Log     *slog.Logger     // default none
	Cache   int64            // octets of blocks kept in memory
	Ballast int64            // octets given up when the disk is full
	Reserve int64            // free octets below which bodies are refused
	Grace   time.Duration    // how long a body without owners is kept
	// Uncompressed keeps new bodies as they are.
	Uncompressed bool
	OnFail       func(error) // called once, when the engine has stopped

	manual   bool   // tests run the background work themselves
	fold     int    // records of a log after which it is folded
	segment  int64  // octets after which a segment is sealed
	memTable uint64 // octets after which Pebble flushes
	once     int64  // octets of small bodies in a batch from which they are written once
}

func (o *Options) defaults() {
	if o.FS == nil {
		o.FS = vfs.Disk()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Cache <= 0 {
		o.Cache = DefaultCache
	}
	o.Ballast = orDefault(o.Ballast, DefaultBallast)
	o.Reserve = orDefault(o.Reserve, DefaultReserve)
	o.Grace = orDefault(o.Grace, DefaultGrace)
	if o.segment == 0 {
		o.segment = segmentSize
	}
	if o.fold == 0 {
		o.fold = foldRecords
	}
	if o.memTable == 0 {
		o.memTable = memTableSize
	}
	if o.once == 0 {
		o.once = onceBytes
	}
	if o.OnFail == nil {
		o.OnFail = func(error) {}
	}
}

func orDefault[T int64 | time.Duration](v, standard T) T {
	if v == 0 {
		return standard
	}
	return max(v, 0)
}

// Engine is the embedded engine; Open makes it.
type Engine struct {
	o       Options
	fs      vfs.FS
	records string
	bodies  string
	lock    *pebble.Lock
	db      *pebble.DB
	dbOpen  atomic.Bool

	space     *space
	log       *wal.Log
	flushed   atomic.Bool                // the log may have what is in tables now
	hasty     atomic.Pointer[chan error] // while the store is opened or closed: takes an error of writing tables
	segments  *segments
	committer *committer
	life      life
	graves    graves
	reclaimer reclaimer
	folds     folds
	packer    packer
	ids       mail.IDs             // of bodies
	pages     sync.Pool            // of *[]byte: what is unpacked
	lent      [lentSizes]sync.Pool // likewise, for bodies
	mending   sync.RWMutex         // held while an index is mended, and shared by Apply
	settling  sync.Mutex           // one settle at a time
	indexing  sync.Mutex           // held by who writes indexes anew or buries them

	failOnce sync.Once
	failed   chan struct{} // closed when the engine has stopped
	failure  error         // why, set before failed is closed
	fenced   atomic.Bool   // nothing is written any more

	suspects atomic.Uint32 // counts suspicions, to keep their keys apart
	damaged  atomic.Int64  // records set aside
	leaps    atomic.Int64  // times that something in Pebble's files could not be read
	commits  atomic.Int64

	quit chan struct{}
	wake chan struct{} // there is much for the background to do
	push chan struct{} // octets of a segment are to go to the disk
	done sync.WaitGroup
}

// ErrInUse says that another process, or another engine of this one, has the
// directory.
var ErrInUse = errors.New("data directory in use: another plic works on it, stop that first")

// Open opens the engine of a directory, which it makes if need be, and brings
// it to the state of the last durable commit.
func Open(ctx context.Context, o Options) (*Engine, error) {
	o.defaults()
	e := &Engine{
		o:      o,
		failed: make(chan struct{}),
		quit:   make(chan struct{}),
		wake:   make(chan struct{}, 1),
		push:   make(chan struct{}, 1),
	}
	e.space = newSpace(e.o)
	e.fs = vfs.Fenced(vfs.OnDiskFull(vfs.Ordered(o.FS, markerPrefix), e.space.full), e.fence)
	e.records = e.fs.PathJoin(o.Dir, "records")
	e.bodies = e.fs.PathJoin(o.Dir, "bodies")
	if err := e.open(ctx); err != nil {
		close(e.quit)
		e.abandon()
		return nil, fmt.Errorf("store %s: %w", o.Dir, err)
	}
	if !o.manual {
		e.done.Go(e.background)
		e.done.Go(e.pushing)
	}
	return e, nil
}

func (e *Engine) open(ctx context.Context) error {
	if err := e.finishRewrite(); err != nil {
		return err
	}
	for _, dir := range []string{e.records, e.bodies} {
		if err := vfs.MakeDir(e.fs, dir); err != nil {
			return err
		}
	}
	defer e.makeHaste()()
	var err error
	if e.lock, err = pebble.LockDirectory(e.records, e.fs); err != nil {
		if path := (*fs.PathError)(nil); errors.As(err, &path) {
			return fmt.Errorf("lock: %w", err)
		}
		return fmt.Errorf("%w (%w)", ErrInUse, err)
	}
	e.space.open()
	if err := e.space.start(e.records); err != nil {
		return err
	}
	err = e.guard(func() (err error) {
		e.db, err = openRecords(e)
		e.dbOpen.Store(err == nil)
		return err
	})
	if err == nil {
		err = e.refuseNewer()
	}
	if err == nil {
		err = unopened(e.guard(func() error { return e.replay(ctx) }))
	}
	if err != nil {
		return fmt.Errorf("records: %w", err)
	}
	e.committer = newCommitter(e)
	if e.packer, err = newPacker(&e.o); err != nil {
		return err
	}
	if err := e.checkFormat(ctx); err != nil {
		return err
	}
	if e.segments, err = openSegments(e); err != nil {
		return err
	}
	if err := e.loadGraves(); err != nil {
		return err
	}
	if err := e.countDamaged(); err != nil {
		return err
	}
	if err := e.redo(ctx); err != nil {
		return err
	}
	return e.leapHoles(ctx)
}

// format is the version of keys and files; a change that older programs would
// misread raises it: pages of an index came with 2, bodies by S2 with 3, records of
// queue items that are no JSON with 4, a log that is not Pebble's with 5.
const format = 5

// refuseNewer refuses a store of a newer version, before its log is touched. Its format is in
// a table.
func (e *Engine) refuseNewer() error {
	if n, err := e.format(); err == nil && n > format {
		return fmt.Errorf("written by a newer program: format %d, this one knows %d", n, format)
	}
	return nil // checkFormat tells of errors
}

// checkFormat brings an older store up.
func (e *Engine) checkFormat(ctx context.Context) error {
	n, err := e.format()
	switch {
	case errors.Is(err, pebble.ErrNotFound): // a new store
	case errors.Is(err, engine.ErrDamaged):
		return fmt.Errorf("format of the store: %w", err)
	case err != nil:
		return e.readError(err)
	case n == format:
		return nil
	case n == 1:
		if err := e.convert(ctx); err != nil {
			return fmt.Errorf("store of format %d: %w", n, err)
		}
	}
	key := []byte{kindFormat}
	b := e.db.NewBatch()
	b.Set(key, encodeNumber(key, format), nil)
	if err := e.commitWait(b); err != nil {
		return err
	}
	return e.flush(ctx) // older programs do not read our log
}

// format is that of the store.
func (e *Engine) format() (n uint64, err error) {
	key := []byte{kindFormat}
	value, closer, err := e.db.Get(key)
	if err != nil {
		return 0, err
	}
	defer closer.Close()
	return decodeNumber(key, value)
}

// fail stops the engine for good; the first cause stays.
func (e *Engine) fail(err error) error {
	e.failOnce.Do(func() {
		e.failure = fmt.Errorf("%w: %w", engine.ErrFailed, err)
		e.fenced.Store(true)
		close(e.failed)
		e.o.Log.Error("the store has stopped", "error", err)
		go e.o.OnFail(e.failure)
	})
	<-e.failed
	return e.failure
}

// failedErr is nil while the engine works.
func (e *Engine) failedErr() error {
	select {
	case <-e.failed:
		return e.failure
	default:
		return nil
	}
}

// fence keeps a stopped engine from writing.
func (e *Engine) fence() error {
	if e.fenced.Load() {
		return engine.ErrFailed
	}
	return nil
}

// enter begins a call; leave ends it. Between them the database stays open.
func (e *Engine) enter() error {
	if err := e.failedErr(); err != nil {
		return err
	}
	return e.life.enter()
}

func (e *Engine) leave() { e.life.leave() }

// Close ends background work, waits for calls in progress, syncs what is not
// yet synced and closes the files.
func (e *Engine) Close() error {
	if !e.life.close() {
		return nil
	}
	close(e.quit)
	e.done.Wait()
	err := e.failedErr()
	if err == nil {
		err = e.closeFiles()
	}
	e.abandon()
	return err
}

func (e *Engine) closeFiles() error {
	if err := e.segments.finish(); err != nil {
		return err
	}
	if err := e.settle(); err != nil {
		return err
	}
	e.committer.stop()
	err := e.guard(func() error {
		if err := e.shorten(); err != nil {
			return err
		}
		if !e.dbOpen.CompareAndSwap(true, false) {
			return engine.ErrFailed
		}
		return e.closeRecords()
	})
	if err != nil {
		return fmt.Errorf("records: %w", err)
	}
	return nil
}

// shorten has little of the log be needed by the next start, which a long one would
// make slow. That may be, where there is no room for tables.
func (e *Engine) shorten() error {
	defer e.makeHaste()()
	if e.release(); e.log.Size() <= 4<<20 {
		return nil
	}
	err := e.flush(context.Background())
	if e.failedErr() != nil {
		return err
	}
	if err != nil {
		e.o.Log.Warn("records: the next start reads a long log", "error", err)
	}
	e.release()
	return nil
}

func (e *Engine) closeRecords() (err error) {
	if e.log != nil {
		err = e.log.Close()
	}
	return errors.Join(err, e.db.Close())
}

// abandon lets go of everything. A failed database is not closed: that could
// wait for ever. Nothing is written after it.
func (e *Engine) abandon() {
	if e.committer != nil {
		e.committer.stop()
	}
	if e.dbOpen.CompareAndSwap(true, false) {
		if e.failedErr() != nil {
			e.lock.Close() // in place of the database, which holds it too
		} else if err := e.guard(e.closeRecords); err != nil {
			e.o.Log.Error("closing the records failed", "error", err)
		}
	}
	e.fenced.Store(true)
	if e.segments != nil {
		e.segments.close()
	}
	if e.lock != nil {
		e.lock.Close()
	}
	e.packer.close()
	e.space.close()
}

// life counts calls in progress.
type life struct {
	mu     sync.Mutex
	calls  int
	closed bool
	idle   chan struct{}
}

func (l *life) enter() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return engine.ErrClosed
	}
	l.calls++
	return nil
}

func (l *life) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.calls--; l.calls == 0 && l.idle != nil {
		close(l.idle)
		l.idle = nil
	}
}

// close lets no more calls in and waits for the others; false if it was done.
func (l *life) close() bool {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return false
	}
	l.closed = true
	idle := make(chan struct{})
	if l.calls == 0 {
		close(idle)
	} else {
		l.idle = idle
	}
	l.mu.Unlock()
	<-idle
	return true
}
