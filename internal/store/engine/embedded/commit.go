package embedded

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/store/engine"
)

// committer is the one goroutine that gives batches to Pebble. Pebble panics,
// or calls its logger's Fatalf, when it cannot write: then this goroutine ends,
// not the callers', and nobody is left waiting for Pebble's locks.
type committer struct {
	e        *Engine
	requests chan request
	quit     chan struct{}
	ended    chan struct{}
	stopOnce sync.Once
}

type request struct {
	batch *pebble.Batch
	sync  bool
	done  chan error
}

func newCommitter(e *Engine) *committer {
	c := &committer{
		e:        e,
		requests: make(chan request),
		quit:     make(chan struct{}),
		ended:    make(chan struct{}),
	}
	go c.run()
	return c
}

func (c *committer) run() {
	defer close(c.ended)
	asked := false
	defer func() {
		if !asked {
			c.e.fail(fmt.Errorf("records: %v", recover()))
		}
	}()
	for {
		select {
		case <-c.quit:
			asked = true
			return
		case r := <-c.requests:
			r.done <- c.one(r)
		}
	}
}

func (c *committer) one(r request) error {
	if r.sync {
		return c.e.db.ApplyNoSyncWait(r.batch, pebble.Sync)
	}
	return c.e.db.Apply(r.batch, pebble.NoSync)
}

// stop ends the goroutine; of a failed engine it may be stuck, and is left.
func (c *committer) stop() {
	c.stopOnce.Do(func() { close(c.quit) })
	select {
	case <-c.ended:
	case <-c.e.failed:
	}
}

// commit makes a batch visible. With sync it is then on its way to the disk, and
// must be waited for with a ticket; without, it gets there with a later one. The
// batch is not the caller's any more: after a failure Pebble may still use it.
func (e *Engine) commit(b *pebble.Batch, sync bool) error {
	if promise := e.promise.Load(); promise != nil {
		if err := b.LogData(*promise, nil); err != nil {
			return err
		}
	}
	r := request{b, sync, make(chan error, 1)}
	select {
	case e.committer.requests <- r:
	case <-e.committer.ended:
		return engine.ErrClosed
	case <-e.failed:
		return e.failure
	}
	select {
	case err := <-r.done:
		if err != nil {
			return e.fail(err)
		}
		if !sync {
			return b.Close()
		}
		return nil
	case <-e.failed:
		return e.failure
	}
}

// commitWait is commit with sync, and waits.
func (e *Engine) commitWait(b *pebble.Batch) error {
	if err := e.commit(b, true); err != nil {
		return err
	}
	return (&ticket{e: e, batch: b}).Wait()
}

// ticket is a batch on its way to the disk.
type ticket struct {
	e     *Engine
	once  sync.Once
	batch *pebble.Batch
	err   error
}

func (t *ticket) Wait() error {
	t.once.Do(func() {
		if err := t.batch.SyncWait(); err != nil {
			t.err = t.e.fail(fmt.Errorf("records: log: %w", err))
			return
		}
		t.batch.Close()
		t.batch = nil
	})
	return t.err
}

// guard runs something of Pebble's that may call Fatalf or panic; then the
// engine has failed.
func (e *Engine) guard(run func() error) error {
	done := make(chan error, 1)
	go func() {
		ended := false
		defer func() {
			if !ended {
				done <- e.fail(fmt.Errorf("records: %v", recover()))
			}
		}()
		err := run()
		ended = true
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-e.failed: // it may be waiting for what will never come
		return e.failure
	}
}

// maxTroubles is how often in a row work in Pebble's background may fail before
// the engine gives up.
const maxTroubles = 16

// listener watches Pebble's background work, which tries again at once and for
// ever what fails. No space and damaged files are no reason to stop.
func (e *Engine) listener() *pebble.EventListener {
	var troubles atomic.Int32
	ended := func(err error) {
		if err == nil {
			troubles.Store(0)
		}
	}
	return &pebble.EventListener{
		BackgroundError: func(err error) {
			if e.failedErr() != nil {
				runtime.Goexit() // or it would spin
			}
			if collecting() {
				e.o.Log.Warn("records: what may be dropped is not known of a table", "error", err)
				e.collectLater()
				return
			}
			n := troubles.Add(1)
			if n&(n-1) == 0 {
				e.o.Log.Warn("records: background work failed", "error", err, "times", n)
			}
			if n >= maxTroubles && !errors.Is(noSpace(err), engine.ErrFull) && !pebble.IsCorruptionError(err) {
				e.fail(fmt.Errorf("records: background work: %w", err))
			}
		},
		DataCorruption: func(i pebble.DataCorruptionInfo) {
			e.o.Log.Error("records: a damaged file", "path", i.Path, "error", i.Details)
		},
		FlushEnd:      func(i pebble.FlushInfo) { ended(i.Err) },
		CompactionEnd: func(i pebble.CompactionInfo) { ended(i.Err) },
	}
}

// collectAgain is how long Pebble waits before it tries again to collect the
// statistics of tables that were there at the start.
const collectAgain = 10 * time.Minute

// collecting says that Pebble collects statistics of tables. It tells of errors as
// with all its work, but without holding its lock.
func collecting() bool {
	var calls [16]uintptr
	frames := runtime.CallersFrames(calls[:runtime.Callers(2, calls[:])])
	for {
		f, more := frames.Next()
		if strings.HasSuffix(f.Function, ".collectTableStats") {
			return true
		}
		if !more {
			return false
		}
	}
}

// collectLater waits. A table that cannot be read would be tried for ever, as fast
// as can be; what else is in the store can be read without its statistics.
func (e *Engine) collectLater() {
	wait := func(d time.Duration, quit <-chan struct{}) bool {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return true
		case <-e.failed:
			return true
		case <-quit:
			return false
		}
	}
	if !wait(collectAgain, e.quit) {
		wait(10*time.Millisecond, nil) // until the database is closed, it is tried again
	}
}

// logger gives Pebble's messages to the engine's log. After Fatalf Pebble must
// not go on; only goroutines of its own, the committer and guard meet it.
type logger struct{ e *Engine }

func (logger) Infof(string, ...any) {}

func (l logger) Errorf(format string, args ...any) {
	l.e.o.Log.Warn("records: " + fmt.Sprintf(format, args...))
}

func (l logger) Fatalf(format string, args ...any) {
	l.e.fail(fmt.Errorf("records: "+format, args...))
	runtime.Goexit()
}
