package embedded

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"

	"plic/internal/store/engine"
	"plic/internal/vfs"
)

// openRecords opens the Pebble database.
func openRecords(e *Engine) (*pebble.DB, error) {
	// Pebble takes its memtables out of the cache.
	cache := pebble.NewCache(e.o.Cache + 2*int64(e.o.memTable))
	defer cache.Unref()
	o := &pebble.Options{
		FS:                          halting{e.fs, e},
		Lock:                        e.lock,
		Cache:                       cache,
		FormatMajorVersion:          formatVersion,
		Logger:                      logger{e},
		MemTableSize:                e.o.memTable,
		MemTableStopWritesThreshold: 4,
		L0CompactionThreshold:       4,
		L0StopWritesThreshold:       64,
		LBaseMaxBytes:               64 << 20,
		MaxOpenFiles:                1000,
		BytesPerSync:                512 << 10,
		EventListener:               e.listener(),
		DisableWAL:                  true,
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].BlockSize = 16 << 10
		o.Levels[i].Compression = func() *sstable.CompressionProfile { return sstable.FastestCompression }
		if i >= lasting {
			o.Levels[i].BlockSize = 32 << 10
			o.Levels[i].Compression = smaller
		}
	}
	o.ErrorIfNotExists = e.hasRecords()
	if err := e.checkVersion(); err != nil {
		return nil, err
	}
	db, err := e.openPebble(o)
	return db, unopened(err)
}

// unopened says of an error that Rebuild can help, unless it is of the system.
func unopened(err error) error {
	for _, not := range []error{nil, engine.ErrFull, engine.ErrFailed, context.Canceled, ErrRecords} {
		if errors.Is(noSpace(err), not) {
			return err
		}
	}
	if no := syscall.Errno(0); errors.As(err, &no) && no != syscall.ENOENT {
		return err // no descriptors, no permission, the disk
	}
	return fmt.Errorf("%w (%w)", ErrRecords, err)
}

// openPebble opens the database.
func (e *Engine) openPebble(o *pebble.Options) (*pebble.DB, error) {
	if err := e.checkManifest(); err != nil {
		return nil, err
	}
	if err := e.takeOldLogs(*o); err != nil {
		return nil, err
	}
	return pebble.Open(e.records, o)
}

const oldLogSuffix = ".log"

// takeOldLogs has Pebble write into tables what its own logs hold, which stores had
// up to format 4.
func (e *Engine) takeOldLogs(o pebble.Options) error {
	logs, err := e.oldLogs()
	if err != nil || len(logs) == 0 {
		return err
	}
	o.DisableWAL, o.DisableTableStats, o.DisableAutomaticCompactions = false, true, true
	db, err := pebble.Open(e.records, &o)
	if err == nil {
		err = errors.Join(db.Flush(), db.Close())
	}
	if err != nil {
		return err
	}
	logs, err = e.oldLogs()
	for _, name := range logs {
		err = errors.Join(err, e.fs.Remove(e.fs.PathJoin(e.records, name)))
	}
	return errors.Join(err, vfs.SyncDir(e.fs, e.records))
}

// oldLogs are logs of Pebble's. It makes one even so, which has an end at the most.
func (e *Engine) oldLogs() (names []string, err error) {
	const end = 11
	all, err := e.fs.List(e.records)
	for _, name := range all {
		if strings.HasSuffix(name, oldLogSuffix) {
			if i, err := e.fs.Stat(e.fs.PathJoin(e.records, name)); err != nil || i.Size() > end {
				names = append(names, name)
			}
		}
	}
	return names, err
}

// halting has the engine fail where Pebble would panic, which ends the process: when a
// directory cannot be synced. Only goroutines of Pebble's, the committer and guard meet it.
type halting struct {
	vfs.FS
	e *Engine
}

func (h halting) Unwrap() vfs.FS { return h.FS }

func (h halting) OpenDir(name string) (vfs.File, error) {
	dir, err := h.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return haltingDir{dir, h.e}, nil
}

type haltingDir struct {
	vfs.File
	e *Engine
}

func (d haltingDir) Sync() error {
	if err := d.File.Sync(); err != nil {
		d.e.fail(fmt.Errorf("records: %w", err))
		runtime.Goexit()
	}
	return nil
}

// lasting is the first level of records that stay for long.
const lasting = 5

// smaller is the compression of records that stay: what they gain most by without
// being slower to read. Pebble has no name for MinLZ's level in the middle.
func smaller() *sstable.CompressionProfile {
	const balanced = 2
	profile := *sstable.MinLZCompression
	profile.DataBlocks.Level = balanced
	return &profile
}
