package enginetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// History runs random batches against an engine and a model and compares them,
// now and then after closing and opening the engine again.
func History(ctx context.Context, s Suite, seed uint64, steps int) error {
	c := newClock()
	a := newAuthor(seed, c, s)
	fs := vfs.NewMemory()
	e, err := s.Open(ctx, Config{FS: fs, Now: c.now})
	if err != nil {
		return err
	}
	defer func() { e.Close() }()
	for step := range steps {
		b, err := a.batch(ctx, e)
		if err != nil {
			return err
		}
		if err := applyWait(e, b); err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
		a.model.apply(b)
		if step%10 == 9 {
			if err := s.Tend(ctx, e); err != nil {
				return fmt.Errorf("step %d: %w", step, err)
			}
		}
		if step%25 != 24 {
			continue
		}
		if step%50 == 49 {
			if err := e.Close(); err != nil {
				return fmt.Errorf("step %d: close: %w", step, err)
			}
			if e, err = s.Open(ctx, Config{FS: fs, Now: c.now}); err != nil {
				return fmt.Errorf("step %d: open: %w", step, err)
			}
		}
		if err := whole(ctx, s, e, a.model.describe()); err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
		if err := backup(ctx, s, e, fs, c, a.model.describe()); err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
	}
	return nil
}

// backup says whether a copy of an engine that is at work holds what it should.
func backup(ctx context.Context, s Suite, e engine.Engine, fs vfs.FS, c *clock, want string) error {
	if s.Backup == nil {
		return nil
	}
	copied := vfs.NewMemory()
	if err := s.Backup(ctx, e, fs, copied); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	of, err := s.Open(ctx, Config{FS: copied, Now: c.now})
	if err != nil {
		return fmt.Errorf("backup: open: %w", err)
	}
	if err := errors.Join(whole(ctx, s, of, want), of.Close()); err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

// whole says whether an engine holds what it should, and nothing is wrong.
func whole(ctx context.Context, s Suite, e engine.Engine, want string) error {
	if err := equal(ctx, e, want); err != nil {
		return err
	}
	if bad := s.Check(ctx, e); len(bad) > 0 {
		return fmt.Errorf("check: %s", strings.Join(bad, "\n"))
	}
	return nil
}

// CrashRun says how to run a script with crashes.
type CrashRun struct {
	Seed     uint64
	Steps    int
	Unsynced int                 // percent of unsynced blocks and names that survive
	Wrap     func(vfs.FS) vfs.FS // what a mutation test does to the file system
	Some     int                 // crash at one of so many writes, default at each
}

// moment is the disk at one write, and what it must hold.
type moment struct {
	fs      *vfs.Memory
	op      string
	waited  int // batches that were waited for
	applied int // batches that were given to Apply
}

// again is the same disk once more.
func (m moment) again() *vfs.Memory {
	return m.fs.CrashClone(vfs.CrashConfig{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
}

// camera takes a picture of the disk, as a crash would leave it, before every
// operation that changes something.
type camera struct {
	mu      sync.Mutex
	on      bool
	disk    *vfs.Memory
	rng     *rand.Rand
	percent int
	some    int
	moments []moment
	waited  int
	applied int
}

func (c *camera) look(op errorfs.Op) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.on || op.Kind == errorfs.OpFileClose || op.Kind.ReadOrWrite() == errorfs.OpIsRead {
		return nil
	}
	if c.some > 1 && c.rng.IntN(c.some) > 0 {
		return nil
	}
	c.moments = append(c.moments, moment{
		fs:     c.disk.CrashClone(vfs.CrashConfig{UnsyncedDataPercent: c.percent, RNG: c.rng}),
		op:     fmt.Sprintf("%d %s", op.Kind, op.Path),
		waited: c.waited, applied: c.applied,
	})
	return nil
}

// take gives the pictures that nobody has taken yet.
func (c *camera) take() []moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.moments
	c.moments = nil
	return taken
}

func (c *camera) set(waited, applied int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waited, c.applied = waited, applied
}

// Crash runs a script and crashes at every write of it. After each crash the
// engine must open and hold the batches up to one that is not before the last
// that was waited for: those whole, the others absent.
func Crash(ctx context.Context, s Suite, r CrashRun) error {
	cam := &camera{
		disk: vfs.NewMemory(), percent: r.Unsynced, rng: rand.New(rand.NewPCG(r.Seed, 5)), some: r.Some, on: true,
	}
	var fs vfs.FS = errorfs.Wrap(cam.disk, errorfs.InjectorFunc(cam.look))
	if r.Wrap != nil {
		fs = r.Wrap(fs)
	}
	after := newClock()
	after.advance(time.Duration(r.Steps) * time.Hour)
	crashes := 0
	return script(ctx, s, fs, r, cam, func(states []string) error {
		for _, m := range cam.take() {
			err := survives(ctx, s, after, m, states)
			if err == nil && crashes%10 == 9 {
				err = goesOn(ctx, s, after, m, states)
			}
			if err == nil && crashes%50 == 49 {
				err = survivesTwice(ctx, s, after, r, m, states)
			}
			if err != nil {
				return fmt.Errorf("crash %d, before %s: %w", crashes, m.op, err)
			}
			crashes++
		}
		return nil
	})
}

// goesOn has an engine do its background work after a crash: that takes nothing away.
func goesOn(ctx context.Context, s Suite, c *clock, m moment, states []string) error {
	e, err := s.Open(ctx, Config{FS: m.again(), Now: c.now})
	if err != nil {
		return err
	}
	defer e.Close()
	for range 2 {
		if err := s.Tend(ctx, e); err != nil {
			return fmt.Errorf("background work after it: %w", err)
		}
	}
	if err := among(ctx, s, e, states, m.waited, m.applied); err != nil {
		return fmt.Errorf("after background work: %w", err)
	}
	return nil
}

// survivesTwice crashes at every write of the start after a crash.
func survivesTwice(ctx context.Context, s Suite, c *clock, r CrashRun, m moment, states []string) error {
	cam := &camera{disk: m.again(), percent: r.Unsynced, rng: rand.New(rand.NewPCG(r.Seed, 6)), some: r.Some, on: true}
	cam.set(m.waited, m.applied)
	e, err := s.Open(ctx, Config{FS: errorfs.Wrap(cam.disk, errorfs.InjectorFunc(cam.look)), Now: c.now})
	if err != nil {
		return err
	}
	if err := errors.Join(s.Tend(ctx, e), e.Close()); err != nil {
		return err
	}
	cam.mu.Lock()
	cam.on = false
	cam.mu.Unlock()
	for _, second := range cam.take() {
		if err := survives(ctx, s, c, second, states); err != nil {
			return fmt.Errorf("and then again before %s: %w", second.op, err)
		}
	}
	return nil
}

// script runs the batches. After each step, lest the pictures become too many, crash
// is told what the batches leave: states[n] n of them.
func script(ctx context.Context, s Suite, fs vfs.FS, r CrashRun, cam *camera, crash func(states []string) error) error {
	c := newClock()
	a := newAuthor(r.Seed, c, s)
	e, err := s.Open(ctx, Config{FS: fs, Now: c.now})
	if err != nil {
		return err
	}
	defer func() { e.Close() }()
	states := []string{a.model.describe()}
	var tickets []engine.Ticket
	for step := range r.Steps {
		b, err := a.batch(ctx, e)
		if err != nil {
			return err
		}
		waited := len(states) - 1 - len(tickets)
		cam.set(waited, len(states))
		ticket, err := e.Apply(b)
		if err != nil {
			return err
		}
		a.model.apply(b)
		states = append(states, a.model.describe())
		tickets = append(tickets, ticket)
		if a.rng.IntN(3) > 0 { // else more batches follow before a wait
			if err := tickets[len(tickets)-1].Wait(); err != nil {
				return err
			}
			tickets = nil
			cam.set(len(states)-1, len(states)-1)
		}
		switch {
		case step%7 == 6:
			c.advance(time.Hour)
			if err = s.Tend(ctx, e); err == nil && step%14 == 13 {
				err = backup(ctx, s, e, fs, c, states[len(states)-1])
			}
		case step == r.Steps/2:
			if err = e.Close(); err == nil {
				tickets = nil
				cam.set(len(states)-1, len(states)-1)
				e, err = s.Open(ctx, Config{FS: fs, Now: c.now})
			}
		}
		if err == nil {
			err = crash(states)
		}
		if err != nil {
			return fmt.Errorf("step %d: %w", step, err)
		}
	}
	if err := e.Close(); err != nil {
		return err
	}
	cam.mu.Lock()
	cam.on = false
	cam.mu.Unlock()
	return crash(states)
}

// survives opens an engine on what a crash left.
func survives(ctx context.Context, s Suite, c *clock, m moment, states []string) error {
	e, err := s.Open(ctx, Config{FS: m.again(), Now: c.now})
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer e.Close()
	return among(ctx, s, e, states, m.waited, m.applied)
}

// among says whether an engine holds one of the states first to last.
func among(ctx context.Context, s Suite, e engine.Engine, states []string, first, last int) error {
	got, err := describe(ctx, e)
	if err != nil {
		return err
	}
	for n := min(last, len(states)-1); n >= first; n-- {
		if got == states[n] {
			return whole(ctx, s, e, got)
		}
	}
	return fmt.Errorf("neither of the states %d to %d; against the first, %s", first, last, difference(got, states[first]))
}

// CrashWriters lets several goroutines append at the same time, crashes now and
// then, and looks for what was acknowledged.
func CrashWriters(ctx context.Context, s Suite) error {
	const writers, each = 8, 40
	disk := vfs.NewMemory()
	c := newClock()
	e, err := s.Open(ctx, Config{FS: disk, Now: c.now})
	if err != nil {
		return err
	}
	defer e.Close()
	for w := range writers {
		id := engine.AccountID(w + 1)
		err := applyWait(e, &engine.Batch{
			Accounts:  []engine.Account{{ID: id, Name: fmt.Sprint(w), NextMailbox: 2}},
			Mailboxes: []engine.MailboxChange{{Account: id, Record: engine.Mailbox{ID: 1, Name: "INBOX", UIDNext: 1}}},
		})
		if err != nil {
			return err
		}
	}
	var mu sync.Mutex
	var acked [writers]int
	crash := func() error {
		mu.Lock()
		want, fs := acked, disk.CrashClone(vfs.CrashConfig{})
		mu.Unlock()
		return holds(ctx, s, c, fs, want[:])
	}
	errs := make(chan error, 2*writers)
	for w := range writers {
		go func() {
			for n := range each {
				if err := appendOne(ctx, e, engine.AccountID(w+1), engine.UID(n+1)); err != nil {
					errs <- err
					return
				}
				mu.Lock()
				acked[w] = n + 1
				mu.Unlock()
				if w == 0 && n%4 == 0 {
					if err := errors.Join(s.Tend(ctx, e), crash()); err != nil {
						errs <- err
						return
					}
				}
			}
			errs <- nil
		}()
	}
	for range writers {
		err = errors.Join(err, <-errs)
	}
	return errors.Join(err, crash())
}

func appendOne(ctx context.Context, e engine.Engine, a engine.AccountID, uid engine.UID) error {
	w, err := write(ctx, e, fmt.Appendf(nil, "body %d of account %d, %s", uid, a, strings.Repeat("x", int(uid)*100)))
	if err != nil {
		return err
	}
	b := &engine.Batch{
		Mailboxes: []engine.MailboxChange{{
			Account: a, Record: engine.Mailbox{ID: 1, Name: "INBOX", UIDNext: uid + 1},
			Add: []engine.Message{{Entry: engine.Entry{UID: uid, ModSeq: engine.ModSeq(uid), Body: w.ID()}}},
		}},
		Bodies:   []engine.BodyWriter{w},
		PutNotes: []engine.Note{{Account: a, Key: lastNote, Value: fmt.Append(nil, uid)}},
	}
	if uid%8 == 0 { // much larger than the others
		b.PutNotes = append(b.PutNotes, engine.Note{Account: a, Key: "large", Value: pattern(200 << 10)})
	}
	return applyWait(e, b)
}

// lastNote is a note of the last message that a writer has appended.
const lastNote = "last"

// holds says whether what was acknowledged is there after a crash.
func holds(ctx context.Context, s Suite, c *clock, fs vfs.FS, acked []int) error {
	e, err := s.Open(ctx, Config{FS: fs, Now: c.now})
	if err != nil {
		return err
	}
	defer e.Close()
	for w, want := range acked {
		got := 0
		for entry, err := range e.Entries(ctx, engine.AccountID(w+1), 1, 0) {
			if err != nil {
				return err
			}
			got++
			if entry.UID != engine.UID(got) {
				return fmt.Errorf("writer %d: uid %d in place %d", w, entry.UID, got)
			}
			body, err := contentOf(ctx, e, entry.Body)
			if err != nil {
				return fmt.Errorf("writer %d, uid %d: %w", w, entry.UID, err)
			}
			if !strings.HasPrefix(string(body), fmt.Sprintf("body %d of account %d,", entry.UID, w+1)) {
				return fmt.Errorf("writer %d, uid %d: another body", w, entry.UID)
			}
		}
		if got < want {
			return fmt.Errorf("writer %d: %d messages, %d were acknowledged", w, got, want)
		}
		if last, err := e.Note(ctx, engine.AccountID(w+1), 0, lastNote); got > 0 && (err != nil || string(last) != fmt.Sprint(got)) {
			return fmt.Errorf("writer %d: %d messages, and a note of %s, %w", w, got, last, err)
		}
	}
	if bad := s.Check(ctx, e); len(bad) > 0 {
		return fmt.Errorf("check: %s", strings.Join(bad, "\n"))
	}
	return nil
}
