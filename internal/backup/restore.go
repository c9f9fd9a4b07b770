package backup

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"plic/internal/vfs"
)

// restoringDir holds what is restored until it is complete.
const restoringDir = ".restoring"

// Problem is a file of a backup that is not as it was written.
type Problem struct {
	File string
	Err  error
}

func (p Problem) String() string { return p.File + ": " + p.Err.Error() }

var errChanged = errors.New("its octets are not those that were copied")

// Verify reads every file of a backup and gives those that are damaged.
func Verify(ctx context.Context, on vfs.FS, b Backup, progress func(Progress)) iter.Seq2[Problem, error] {
	return func(yield func(Problem, error) bool) {
		m, err := readManifest(on, b.Path)
		if err != nil {
			yield(Problem{}, err)
			return
		}
		p := Progress{TotalFiles: len(m.files), TotalBytes: m.bytes}
		for _, e := range m.files {
			size, sum, err := sumFile(ctx, on, on.PathJoin(b.Path, e.Name))
			if ctx.Err() != nil {
				yield(Problem{}, ctx.Err())
				return
			}
			if err == nil && (size != e.Size || sum != e.Sum) {
				err = errChanged
			}
			if err != nil && !yield(Problem{e.Name, err}, nil) {
				return
			}
			p.Files++
			p.Bytes += e.Size
			progress(p)
		}
	}
}

// Restore makes a data directory of a backup, which must be new or empty. A
// damaged file is restored as it is and reported: the store's own checks and
// repair know best what is left of it.
func Restore(ctx context.Context, on vfs.FS, b Backup, to string, progress func(Progress)) ([]Problem, error) {
	m, err := readManifest(on, b.Path)
	if err != nil {
		return nil, err
	}
	if err := vfs.MakeDir(on, to); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	names, err := on.List(to)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	if slices.ContainsFunc(names, func(n string) bool { return n != restoringDir }) {
		return nil, fmt.Errorf("restore: %s is not empty; restore into a new directory", to)
	}
	temporary := on.PathJoin(to, restoringDir)
	if err := on.RemoveAll(temporary); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	problems, err := restoreFiles(ctx, on, m, temporary, progress)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	if err := moveUp(on, temporary, to); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	return problems, nil
}

func restoreFiles(ctx context.Context, on vfs.FS, m *manifest, to string, progress func(Progress)) (problems []Problem, err error) {
	p := Progress{TotalFiles: len(m.files), TotalBytes: m.bytes}
	dirs := map[string]bool{}
	if err := vfs.MakeDir(on, to); err != nil {
		return nil, err
	}
	for _, e := range m.files {
		target := on.PathJoin(to, e.Name)
		if dir := on.PathDir(target); !dirs[dir] {
			if err := vfs.MakeDir(on, dir); err != nil {
				return nil, err
			}
			dirs[dir] = true
		}
		size, sum, err := copyFile(ctx, on, on.PathJoin(m.path, e.Name), target, e.Readable, func(n int) {
			p.Bytes += int64(n)
			progress(p)
		})
		switch {
		case vfs.NotExist(err):
			problems = append(problems, Problem{e.Name, errors.New("is missing in the backup")})
		case err != nil:
			return nil, fmt.Errorf("%s: %w", e.Name, err)
		case size != e.Size || sum != e.Sum:
			problems = append(problems, Problem{e.Name, errChanged})
		}
		p.Files++
		progress(p)
	}
	for dir := range dirs {
		if err := vfs.SyncDir(on, dir); err != nil {
			return nil, err
		}
	}
	return problems, nil
}

// moveUp puts what is restored in its place, the records last: without them
// nobody takes the directory for a site.
func moveUp(on vfs.FS, from, to string) error {
	names, err := on.List(from)
	if err != nil {
		return err
	}
	slices.SortFunc(names, func(a, b string) int {
		switch recordsDir {
		case a:
			return 1
		case b:
			return -1
		}
		return 0
	})
	for _, n := range names {
		if n == recordsDir {
			if err := vfs.SyncDir(on, to); err != nil {
				return err
			}
		}
		if err := on.Rename(on.PathJoin(from, n), on.PathJoin(to, n)); err != nil {
			return err
		}
	}
	return errors.Join(on.RemoveAll(from), vfs.SyncDir(on, to))
}
