package embedded

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"plic/internal/vfs"
)

// Unreadable says that the engine has met files of its records that it cannot
// read all of; Rewrite gets rid of them.
func (e *Engine) Unreadable() bool { return e.leaps.Load() > 0 }

// freshSuffix is that of records being rewritten.
const freshSuffix = ".new"

// finishRewrite goes on where a crash cut swap short.
func (e *Engine) finishRewrite() error {
	fresh := e.records + freshSuffix
	_, old := e.fs.Stat(e.records)
	if _, err := e.fs.Stat(fresh); err != nil || !vfs.NotExist(old) {
		return nil
	}
	return errors.Join(e.fs.Rename(fresh, e.records), vfs.SyncDir(e.fs, e.o.Dir))
}

// Rewrite writes all records that can be read to a new database, when some of
// the old one's files are damaged, and moves the old one aside. Nobody may have
// the store open.
func Rewrite(ctx context.Context, o Options, aside string) error {
	o.manual = true
	e, err := Open(ctx, o)
	if err != nil {
		return err
	}
	fresh := e.records + freshSuffix
	if err := errors.Join(e.fs.RemoveAll(fresh), e.rewrite(ctx, fresh)); err != nil {
		e.Close()
		return fmt.Errorf("rewrite records: %w", err)
	}
	fs, records := e.o.FS, e.records
	if err := e.Close(); err != nil {
		return err
	}
	return swap(fs, records, fresh, aside)
}

// rewrite copies the records to a database in another directory.
func (e *Engine) rewrite(ctx context.Context, dir string) error {
	db, err := pebble.Open(dir, &pebble.Options{FS: e.fs, FormatMajorVersion: formatVersion, Logger: logger{e}, DisableWAL: true})
	if err != nil {
		return err
	}
	defer db.Close()
	b := db.NewBatch()
	for kind := range math.MaxUint8 {
		err := e.eachReadable(ctx, e.db, byte(kind), func(key, value []byte) error {
			if b.Len() > 1<<20 {
				if err := db.Apply(b, pebble.NoSync); err != nil {
					return err
				}
				b = db.NewBatch()
			}
			return b.Set(key, value, nil)
		})
		if err != nil {
			return err
		}
	}
	if err := db.Apply(b, pebble.NoSync); err != nil {
		return err
	}
	return db.Flush()
}

// swap puts the new records in the place of the old ones.
func swap(fs vfs.FS, records, fresh, aside string) error {
	if err := vfs.MakeDir(fs, aside); err != nil {
		return err
	}
	if err := fs.Rename(records, fs.PathJoin(aside, "records")); err != nil {
		return err
	}
	return errors.Join(fs.Rename(fresh, records), vfs.SyncDir(fs, aside), vfs.SyncDir(fs, fs.PathDir(records)))
}
