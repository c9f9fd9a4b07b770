// Package backup copies a data directory while it is in use, and back again.
//
// A backup is a directory that looks like the data directory itself, beside a
// manifest with the size and SHA-256 of every file. Files that did not change
// since the backup before are hard links to its copies, so that each backup is
// whole and costs only what is new; any of them may be removed by itself. The
// records come from a snapshot of the store, the bodies after them: then all
// that the records name is there.
//
// A backup grows under a name that ends in ".partial" and gets its own when all
// of it is on stable storage. What one that was cut short has copied is taken
// over by the next, once its octets were found to be right.
package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"plic/internal/vfs"
)

const (
	partialSuffix = ".partial"
	manifestName  = "manifest"
	nameLayout    = "20060102T150405Z"

	recordsDir = "records"
)

// Options say what is copied and where to.
type Options struct {
	FS   vfs.FS // default vfs.Disk
	Data string // the data directory
	To   string // the directory of all backups
	Keep int    // backups that stay, the newest ones; 0 is all
	Skip []string
	Now  func() time.Time
	// Snapshot gives the records of a moment and keeps all bodies in place until
	// use returns.
	Snapshot func(ctx context.Context, use func(records string) error) error
	Progress func(Progress) // called now and then
}

// Progress is how far a copy is. Total may grow while mail comes in.
type Progress struct {
	Files, TotalFiles int
	Bytes, TotalBytes int64
	Copied            int64 // octets of Bytes that were not there before
}

// Backup is one that is complete.
type Backup struct {
	Path  string
	Made  time.Time
	From  string // the data directory
	Files int
	Bytes int64
}

// ErrNone says that there is no backup where one was looked for.
var ErrNone = errors.New("no backup")

// Make makes a backup. Earlier ones that are damaged are in nobody's way, and
// named by the error when it is made.
func Make(ctx context.Context, o Options) (Backup, error) {
	if o.FS == nil {
		o.FS = vfs.Disk()
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if err := vfs.MakeDir(o.FS, o.To); err != nil {
		return Backup{}, fmt.Errorf("backup: %w", err)
	}
	done, damaged, err := list(o.FS, o.To)
	if err != nil {
		return Backup{}, err
	}
	made := o.Now().UTC().Truncate(time.Second)
	for len(done) > 0 && !made.After(done[len(done)-1].Made) {
		made = done[len(done)-1].Made.Add(time.Second) // a clock that was set back
	}
	var out Backup
	err = o.Snapshot(ctx, func(records string) error {
		m := &maker{o: o, made: made, records: records, known: map[string]earlier{}}
		out, err = m.run(ctx, done)
		return err
	})
	if err != nil {
		return Backup{}, fmt.Errorf("backup: %w", err)
	}
	if damaged != nil {
		damaged = fmt.Errorf("%s is made, but an earlier one is damaged: %w", out.Path, damaged)
	}
	return out, errors.Join(damaged, thin(o, append(done, out)))
}

// thin removes the oldest backups beyond those that stay.
func thin(o Options, all []Backup) error {
	if o.Keep <= 0 || len(all) <= o.Keep {
		return nil
	}
	for _, b := range all[:len(all)-o.Keep] {
		// Not a backup any more before it is not whole any more.
		gone := b.Path + partialSuffix
		if err := o.FS.Rename(b.Path, gone); err != nil {
			return fmt.Errorf("remove backup %s: %w", b.Path, err)
		}
		if err := o.FS.RemoveAll(gone); err != nil {
			return fmt.Errorf("remove backup %s: %w", b.Path, err)
		}
	}
	return nil
}

// List gives the complete backups in a directory, the oldest first.
func List(on vfs.FS, dir string) ([]Backup, error) {
	all, damaged, err := list(on, dir)
	if err == nil {
		err = damaged
	}
	return all, err
}

// list is List that tells apart what is wrong with a backup.
func list(on vfs.FS, dir string) (all []Backup, damaged, err error) {
	names, err := on.List(dir)
	if vfs.NotExist(err) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("backups: %w", err)
	}
	slices.Sort(names)
	for _, name := range names {
		if _, err := time.Parse(nameLayout, name); err != nil {
			continue
		}
		m, err := readManifest(on, on.PathJoin(dir, name))
		if err != nil {
			damaged = errors.Join(damaged, err)
			continue
		}
		all = append(all, m.backup())
	}
	return all, damaged, nil
}

// Find gives the backup at a path, or the newest one in a directory of backups.
func Find(on vfs.FS, path string) (Backup, error) {
	if _, err := on.Stat(on.PathJoin(path, manifestName)); err == nil {
		m, err := readManifest(on, path)
		if err != nil {
			return Backup{}, err
		}
		return m.backup(), nil
	}
	all, err := List(on, path)
	if err != nil {
		return Backup{}, err
	}
	if len(all) == 0 {
		return Backup{}, fmt.Errorf("%s: %w: neither one nor a directory of some", path, ErrNone)
	}
	return all[len(all)-1], nil
}

// source is a file to copy.
type source struct {
	name string // in the data directory, with slashes
	path string
	info fs.FileInfo
}

// walk lists the files under a directory, by name.
func walk(on vfs.FS, dir, name string, skip func(string) bool, yield func(source) error) error {
	names, err := on.List(dir)
	if vfs.NotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, n := range names {
		s := source{name: strings.TrimPrefix(name+"/"+n, "/"), path: on.PathJoin(dir, n)}
		if skip(s.name) {
			continue
		}
		info, err := on.Stat(s.path)
		switch {
		case vfs.NotExist(err):
			continue // removed while we looked
		case err != nil:
			return err
		case info.IsDir():
			if err := walk(on, s.path, s.name, skip, yield); err != nil {
				return err
			}
			continue
		case !info.Mode().IsRegular():
			continue // a socket
		}
		s.info = info
		if err := yield(s); err != nil {
			return err
		}
	}
	return nil
}
