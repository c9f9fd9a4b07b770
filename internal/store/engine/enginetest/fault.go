package enginetest

import (
	"context"
	"errors"
	"fmt"
	iofs "io/fs"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// fault runs a script again and again, each time with an error at the next
// operation that changes something, until the script runs through without one.
func fault(t *testing.T, s Suite) {
	kinds := []struct {
		name   string
		err    error
		stays  bool
		stride int
	}{
		{"EIO once", syscall.EIO, false, 1},
		{"EIO from then on", syscall.EIO, true, 1},
		{"ENOSPC once", syscall.ENOSPC, false, 3},
		{"ENOSPC from then on", syscall.ENOSPC, true, 5},
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			for at := 0; ; at += k.stride {
				in := &injector{at: at, err: k.err, stays: k.stays}
				if err := Fault(t.Context(), s, in); err != nil {
					t.Fatalf("error at operation %d, %s: %v", at, in.op, err)
				}
				if !in.hit {
					t.Logf("%d operations", in.count)
					return
				}
			}
		})
	}
}

// injector fails an operation.
type injector struct {
	at    int
	err   error
	stays bool

	mu    sync.Mutex
	count int
	hit   bool
	off   bool
	op    string
}

func (i *injector) look(op errorfs.Op) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.off || op.Kind == errorfs.OpFileClose || op.Kind.ReadOrWrite() == errorfs.OpIsRead {
		return nil
	}
	n := i.count
	i.count++
	if n < i.at || n > i.at && !i.stays {
		return nil
	}
	if !i.hit {
		i.hit = true
		i.op = fmt.Sprintf("%d %s", op.Kind, op.Path)
	}
	return &iofs.PathError{Op: "injected", Path: op.Path, Err: i.err}
}

func (i *injector) stop() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.off = true
}

// Fault runs a script on a file system with an injector. After it, and after a
// crash, an engine must hold every batch that was waited for.
func Fault(ctx context.Context, s Suite, in *injector) error {
	disk := vfs.NewMemory()
	c := newClock()
	r := &faultRun{s: s, ctx: ctx, c: c, a: newAuthor(3, c, s), fs: errorfs.Wrap(disk, errorfs.InjectorFunc(in.look))}
	r.states = []string{r.a.model.describe()}
	if err := r.run(); err != nil {
		return err
	}
	in.stop()
	after := disk.CrashClone(vfs.CrashConfig{})
	e, err := s.Open(ctx, Config{FS: after, Now: c.now})
	if err != nil {
		return fmt.Errorf("open after it: %w", err)
	}
	defer e.Close()
	if err := among(ctx, s, e, r.states, r.waited, len(r.states)-1); err != nil {
		return fmt.Errorf("after it: %w", err)
	}
	// And it works again.
	b, err := newAuthor(9, c, s).batch(ctx, e)
	if err == nil {
		b.Accounts[0].ID, b.Accounts[0].Name = 999, "after"
		b.Mailboxes = nil
		err = applyWait(e, b)
	}
	return err
}

type faultRun struct {
	s      Suite
	ctx    context.Context
	c      *clock
	a      *author
	fs     vfs.FS
	states []string
	waited int
}

// run stops at the first error that stops the engine.
func (r *faultRun) run() error {
	e, err := r.s.Open(r.ctx, Config{FS: r.fs, Now: r.c.now})
	if err != nil {
		return nil // an engine may refuse to open
	}
	defer e.Close()
	for step := range 30 {
		stopped, err := r.step(e, step)
		if err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
		if stopped {
			return stays(r.ctx, e)
		}
	}
	return nil
}

func (r *faultRun) step(e engine.Engine, step int) (stopped bool, err error) {
	b, err := r.a.batch(r.ctx, e)
	if err != nil {
		return errors.Is(err, engine.ErrFailed), nil
	}
	ticket, err := e.Apply(b)
	if errors.Is(err, engine.ErrFailed) {
		r.a.model.apply(b) // whether it came through is not known
		r.states = append(r.states, r.a.model.describe())
		return true, nil
	}
	if err != nil { // then nothing was changed
		for _, w := range b.Bodies {
			w.Discard()
		}
		return false, r.same(e)
	}
	r.a.model.apply(b)
	r.states = append(r.states, r.a.model.describe())
	if err := ticket.Wait(); err != nil {
		if !errors.Is(err, engine.ErrFailed) {
			return false, fmt.Errorf("Wait: %w, want %w", err, engine.ErrFailed)
		}
		return true, nil
	}
	r.waited = len(r.states) - 1
	if step%5 == 4 {
		r.c.advance(time.Hour)
		if err := r.s.Tend(r.ctx, e); errors.Is(err, engine.ErrFailed) {
			return true, nil
		}
	}
	if step%5 == 3 {
		return false, r.same(e)
	}
	return false, nil
}

// same says whether the engine holds what it should, if it can be read.
func (r *faultRun) same(e engine.Engine) error {
	want := r.states[len(r.states)-1]
	if got, err := describe(r.ctx, e); err == nil && got != want {
		return fmt.Errorf("state: %s", difference(got, want))
	}
	return nil
}

// stays says whether an engine that has stopped has really stopped.
func stays(ctx context.Context, e engine.Engine) error {
	if _, err := e.Apply(&engine.Batch{}); !errors.Is(err, engine.ErrFailed) {
		return fmt.Errorf("Apply after a failure: %v, want %w", err, engine.ErrFailed)
	}
	if err := e.Room(1); !errors.Is(err, engine.ErrFailed) {
		return fmt.Errorf("Room after a failure: %v, want %w", err, engine.ErrFailed)
	}
	return nil
}
