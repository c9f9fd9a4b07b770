package server

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"plic/internal/backup"
	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/store"
	"plic/internal/store/engine/embedded"
	"plic/internal/vfs"
)

// checkpoint and ballast are of the store and no use to a copy of it; "lost+found"
// is of the file system.
func notCopied() []string {
	return []string{"checkpoint", "records.new", "ballast", "lost+found", control.SocketName, control.SocketName + ".new"}
}

// storing is control.Storage. Without an engine, none runs: then it opens the
// data directory's for each operation by itself, so that damage elsewhere is in
// nobody's way.
type storing struct {
	config *config.Config
	log    *slog.Logger
	engine *embedded.Engine
}

// Storage is what can be done with the data of a directory on which no server
// runs.
func Storage(c *config.Config, log *slog.Logger) control.Storage {
	return storing{config: c, log: log}
}

func engineOptions(c *config.Config, log *slog.Logger) embedded.Options {
	return embedded.Options{
		FS: vfs.Disk(), Dir: c.DataDir, Now: time.Now, Log: log,
		Cache: c.Store.Cache, Reserve: orNone(c.Store.Reserve), Grace: orNone(c.Store.Grace),
		Uncompressed: !c.Store.Compress,
	}
}

// with gives the engine.
func (s storing) with(ctx context.Context, do func(*embedded.Engine) error) error {
	if s.engine != nil {
		return do(s.engine)
	}
	if _, err := os.Stat(s.config.DataDir); err != nil {
		return err
	}
	e, err := embedded.Open(ctx, engineOptions(s.config, s.log))
	if err != nil {
		return err
	}
	return errors.Join(do(e), e.Close())
}

// tellEvery is how often the progress of a backup is told.
const tellEvery = 200 * time.Millisecond

// Backup copies the data directory.
func (s storing) Backup(ctx context.Context, o control.BackupOrder) iter.Seq2[control.BackupProgress, error] {
	return func(yield func(control.BackupProgress, error) bool) {
		if !filepath.IsAbs(o.To) {
			yield(control.BackupProgress{}, fmt.Errorf("backup to %q: give the whole path", o.To))
			return
		}
		ctx, stop := context.WithCancel(ctx)
		defer stop()
		var now control.BackupProgress
		var last time.Time
		left := false
		err := s.with(ctx, func(e *embedded.Engine) error {
			data, err := filepath.Abs(s.config.DataDir)
			if err != nil {
				return err
			}
			b, err := backup.Make(ctx, backup.Options{
				Data: data, To: filepath.Clean(o.To), Keep: o.Keep, Skip: notCopied(), Now: time.Now, Snapshot: e.Snapshot,
				Progress: func(p backup.Progress) {
					now = control.BackupProgress{Files: p.Files, Bytes: p.Bytes, Total: p.TotalBytes, Copied: p.Copied}
					if t := time.Now(); !left && t.Sub(last) > tellEvery {
						last = t
						if left = !yield(now, nil); left {
							stop()
						}
					}
				},
			})
			now.Path = b.Path
			return err
		})
		if left {
			return
		}
		yield(now, err)
	}
}

// Check reads all there is.
func (s storing) Check(ctx context.Context) iter.Seq2[control.Fault, error] {
	return func(yield func(control.Fault, error) bool) {
		left := false
		err := s.with(ctx, func(e *embedded.Engine) error {
			for p := range e.Check(ctx) {
				if left = !yield(control.Fault{Record: p.Record, Fault: p.Err.Error()}, nil); left {
					return nil
				}
			}
			return ctx.Err()
		})
		if err != nil && !left {
			yield(control.Fault{}, err)
		}
	}
}

var errRunning = errors.New("a server runs on the data directory: stop it first, a repair must be alone")

// maxRounds is how often a repair looks again: what is set aside may leave
// other things without an owner.
const maxRounds = 3

// Repair sets right what can be, and keeps the rest in files.
func (s storing) Repair(ctx context.Context) iter.Seq2[control.Fault, error] {
	return func(yield func(control.Fault, error) bool) {
		if s.engine != nil {
			yield(control.Fault{}, errRunning)
			return
		}
		aside := filepath.Join(s.config.DataDir, "damaged", time.Now().UTC().Format("20060102T150405Z"))
		for round := range maxRounds {
			found, unreadable, left := 0, false, false
			err := s.with(ctx, func(e *embedded.Engine) error {
				for r, err := range e.Repair(ctx, fmt.Sprintf("%s.%d", aside, round+1)) {
					if err != nil {
						return err
					}
					found++
					if left = !yield(control.Fault{Record: r.Record, Fault: r.Done, Kept: r.Kept}, nil); left {
						return nil
					}
				}
				unreadable = e.Unreadable()
				return nil
			})
			if left {
				return
			}
			if errors.Is(err, embedded.ErrRecords) {
				unreadable = true // look at what was made anew in the next round
				if left, err = s.rebuild(ctx, aside+".rebuilt", yield); left {
					return
				}
			} else if err == nil && unreadable {
				err = embedded.Rewrite(ctx, engineOptions(s.config, s.log), aside+".records")
				if err == nil && !yield(control.Fault{Record: "records", Fault: "written anew without what cannot be read", Kept: aside + ".records"}, nil) {
					return
				}
			}
			if err != nil {
				yield(control.Fault{}, err)
				return
			}
			if found == 0 && !unreadable {
				return
			}
		}
	}
}

// rebuild makes records anew that cannot be opened; left says that nobody wants to
// hear more.
func (s storing) rebuild(ctx context.Context, aside string, yield func(control.Fault, error) bool) (left bool, err error) {
	done, err := embedded.Rebuild(ctx, engineOptions(s.config, s.log), aside)
	for _, r := range done {
		if !yield(control.Fault{Record: r.Record, Fault: r.Done, Kept: r.Kept}, nil) {
			return true, nil
		}
	}
	return false, err
}

// Restore makes a data directory of a backup and gives what is wrong with its
// files. UIDs and MODSEQs go on far above those of the backup, since clients
// have seen what came after it; the queue is held, since what is in it may have
// been delivered.
func Restore(ctx context.Context, from string, c *config.Config, log *slog.Logger, progress func(backup.Progress)) (b backup.Backup, problems []backup.Problem, err error) {
	if b, err = backup.Find(vfs.Disk(), from); err != nil {
		return b, nil, err
	}
	if problems, err = backup.Restore(ctx, vfs.Disk(), b, c.DataDir, progress); err != nil {
		return b, problems, err
	}
	e, err := embedded.Open(ctx, engineOptions(c, log))
	if err != nil {
		return b, problems, err
	}
	return b, problems, errors.Join(store.Leap(ctx, e, "restored from a backup of "+b.Made.Format(time.RFC3339)), e.Close())
}
