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

// committer is the one goroutine that gives batches to Pebble and to the log, in one
// order. Pebble may panic, or call its logger's Fatalf, or have who comes wait until
// it has written tables, which may be never: that is for this goroutine, not the
// callers'.
type committer struct {
	e        *Engine
	requests chan request
	quit     chan struct{}
	ended    chan struct{}
	stopOnce sync.Once
}

type request struct {
	batch *pebble.Batch
	done  chan done
}

// done is the number that a batch has in the log.
type done struct {
	n   uint64
	err error
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

// one makes a batch visible and gives it to the log.
func (c *committer) one(r request) (d done) {
	d.n = c.e.log.Next()
	if d.err = r.batch.Set(positionKey, encodeNumber(positionKey, d.n), nil); d.err != nil {
		return d
	}
	text := r.batch.Repr() // a large one does not have it any more then
	if d.err = c.e.db.Apply(r.batch, pebble.NoSync); d.err == nil {
		c.e.log.Append(text)
		d.err = r.batch.Close()
	}
	return d
}

// stop ends the goroutine; of a failed engine it may be stuck, and is left.
func (c *committer) stop() {
	c.stopOnce.Do(func() { close(c.quit) })
	select {
	case <-c.ended:
	case <-c.e.failed:
	}
}

// commit makes a batch visible. It gets to the disk with the first commit from it on
// that is waited for. The batch is not the caller's any more: after a failure Pebble
// may still use it.
func (e *Engine) commit(b *pebble.Batch) (ticket, error) {
	r := request{b, make(chan done, 1)}
	select {
	case e.committer.requests <- r:
	case <-e.committer.ended:
		return ticket{}, engine.ErrClosed
	case <-e.failed:
		return ticket{}, e.failure
	}
	select {
	case d := <-r.done:
		if d.err != nil {
			return ticket{}, e.fail(d.err)
		}
		return ticket{e, d.n}, nil
	case <-e.failed:
		return ticket{}, e.failure
	}
}

// commitLater is commit for what may be lost, as long as nothing is kept that comes
// after it.
func (e *Engine) commitLater(b *pebble.Batch) error {
	t, err := e.commit(b)
	if err == nil && e.log.Unwritten() > mostUnwritten {
		err = t.Wait()
	}
	return err
}

// mostUnwritten is how many octets of the log nobody may wait for.
const mostUnwritten = 1 << 20

// commitWait is commit, and waits.
func (e *Engine) commitWait(b *pebble.Batch) error {
	t, err := e.commit(b)
	if err != nil {
		return err
	}
	return t.Wait()
}

// set commits one record, and waits.
func (e *Engine) set(key, value []byte) error {
	b := e.db.NewBatch()
	if err := b.Set(key, value, nil); err != nil {
		return err
	}
	return e.commitWait(b)
}

// ticket is a commit on its way to the disk.
type ticket struct {
	e *Engine
	n uint64
}

func (t ticket) Wait() error {
	if err := t.e.log.Wait(t.n); err != nil {
		return t.e.fail(fmt.Errorf("records: log: %w", err))
	}
	return nil
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
	var unflushed atomic.Pointer[error] // of the last flush, be it an error or not
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
			if flush, hasty := unflushed.Load(), e.hasty.Load(); flush != nil && hasty != nil && errors.Is(err, *flush) {
				select {
				case *hasty <- err:
				default:
				}
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
		FlushEnd: func(i pebble.FlushInfo) {
			unflushed.Store(&i.Err)
			if ended(i.Err); i.Err == nil {
				e.flushed.Store(true)
				e.poke()
			}
		},
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
