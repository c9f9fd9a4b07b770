package embedded

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"

	"plic/internal/store/engine"
)

// openRecords opens the Pebble database.
func openRecords(e *Engine) (*pebble.DB, error) {
	// Pebble takes its memtables out of the cache.
	cache := pebble.NewCache(e.o.Cache + 2*int64(e.o.memTable))
	defer cache.Unref()
	o := &pebble.Options{
		FS:                          logFS{e.fs, e, new(atomic.Bool)},
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
	if err != nil && !errors.Is(noSpace(err), engine.ErrFull) && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, syscall.EIO) {
		err = fmt.Errorf("%w (%w)", ErrRecords, err)
	}
	return db, err
}

// openPebble opens the database. What its log holds is first written into tables
// by an opening of its own: for new tables Pebble collects statistics, by which it
// knows where there is much to drop, and merges tables, beside the rest of an
// opening, and ends the process if that fails meanwhile, as on a full disk.
func (e *Engine) openPebble(o *pebble.Options) (*pebble.DB, error) {
	if err := e.checkManifest(); err != nil {
		return nil, err
	}
	if e.logged() {
		plain := *o
		plain.DisableTableStats, plain.DisableAutomaticCompactions = true, true
		db, err := pebble.Open(e.records, &plain)
		if err == nil {
			err = db.Close()
		}
		if err != nil {
			return nil, err
		}
	}
	return pebble.Open(e.records, o)
}

// logged says that a log may hold something: what was filled ahead does not.
func (e *Engine) logged() bool {
	names, err := e.fs.List(e.records)
	if err != nil {
		return false // which Pebble will tell
	}
	return slices.ContainsFunc(names, func(name string) bool {
		if !isLog(name) {
			return false
		}
		f, err := e.fs.Open(e.fs.PathJoin(e.records, name))
		if err != nil {
			return true
		}
		defer f.Close()
		head := make([]byte, 16)
		n, err := f.ReadAt(head, 0)
		return err != nil && err != io.EOF || bytes.ContainsFunc(head[:n], func(r rune) bool { return r != 0 })
	})
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
