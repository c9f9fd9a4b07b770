// Package enginetest is the suite that every engine passes: the contract of
// package engine, random histories against a model, crashes at every write, and
// errors injected at every write.
package enginetest

import (
	"context"
	"fmt"
	"io"
	"testing"
	"time"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// Config is what a test gives to an engine it opens.
type Config struct {
	FS  vfs.FS // the engine keeps everything below "/store" of it
	Now func() time.Time
}

// Suite says how to open an engine and what else is known of it.
type Suite struct {
	// Open opens an engine that does nothing in the background.
	Open func(ctx context.Context, c Config) (engine.Engine, error)
	// Tend does the background work once: syncs and reclaims.
	Tend func(ctx context.Context, e engine.Engine) error
	// Check lists what is wrong in an engine.
	Check func(ctx context.Context, e engine.Engine) []string
	// Backup copies an engine that is at work to another file system, or is nil.
	Backup func(ctx context.Context, e engine.Engine, from, to vfs.FS) error
	// Large is how many percent of the batches change all of a mailbox.
	Large int
	// Volatile says that the engine keeps nothing over a crash, and a body no
	// longer than it has owners.
	Volatile bool
}

// Run runs all tests.
func Run(t *testing.T, s Suite) {
	t.Run("Contract", func(t *testing.T) { contract(t, s) })
	t.Run("History", func(t *testing.T) {
		for seed := range uint64(4) {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				if err := History(t.Context(), s, seed, 300); err != nil {
					t.Error(err)
				}
			})
		}
	})
	if s.Volatile {
		return
	}
	t.Run("Crash", func(t *testing.T) {
		for _, percent := range []int{0, 50} {
			t.Run(fmt.Sprint(percent), func(t *testing.T) {
				t.Parallel()
				if err := Crash(t.Context(), s, CrashRun{Seed: 1, Unsynced: percent, Steps: 50}); err != nil {
					t.Error(err)
				}
			})
		}
	})
	t.Run("CrashWriters", func(t *testing.T) {
		t.Parallel()
		if err := CrashWriters(t.Context(), s); err != nil {
			t.Error(err)
		}
	})
	t.Run("Fault", func(t *testing.T) { fault(t, s) })
}

// clock is a time that moves when it is told to.
type clock struct{ at time.Time }

func newClock() *clock { return &clock{time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time          { return c.at }
func (c *clock) advance(d time.Duration) { c.at = c.at.Add(d) }

// write makes a finished body.
func write(ctx context.Context, e engine.Engine, content []byte) (engine.BodyWriter, error) {
	w, err := e.NewBody(ctx)
	if err != nil {
		return nil, err
	}
	for rest := content; len(rest) > 0; {
		n := min(len(rest), 5000)
		if _, err := w.Write(rest[:n]); err != nil {
			w.Discard()
			return nil, err
		}
		rest = rest[n:]
	}
	return w, nil
}

// read reads a whole body and closes it.
func read(b mail.Body) ([]byte, error) {
	content, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if cerr := b.Close(); err == nil {
		err = cerr
	}
	return content, err
}

func applyWait(e engine.Engine, b *engine.Batch) error {
	ticket, err := e.Apply(b)
	if err != nil {
		return err
	}
	return ticket.Wait()
}
