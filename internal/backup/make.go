package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"plic/internal/vfs"
)

// maker makes one backup.
type maker struct {
	o       Options
	made    time.Time
	records string
	dir     string             // the backup, as it grows
	known   map[string]earlier // files that are in an earlier backup
	dirs    map[string]bool    // directories that were made
	list    *writer
	p       Progress
}

// earlier is a file of an earlier backup.
type earlier struct {
	entry
	path  string
	doubt bool // its octets must be looked at first
}

func (m *maker) run(ctx context.Context, done []Backup) (Backup, error) {
	fs, o := m.o.FS, m.o
	final := fs.PathJoin(o.To, m.made.Format(nameLayout))
	m.dir = final + partialSuffix
	if len(done) > 0 {
		if err := m.learn(done[len(done)-1].Path, false); err != nil {
			return Backup{}, err
		}
	}
	unfinished, err := m.unfinished()
	if err != nil {
		return Backup{}, err
	}
	sources, err := m.sources()
	if err != nil {
		return Backup{}, err
	}
	if err := m.begin(); err != nil {
		return Backup{}, err
	}
	defer m.list.file.Close()
	for _, s := range sources {
		if err := ctx.Err(); err != nil {
			return Backup{}, err
		}
		if err := m.file(ctx, s); err != nil {
			return Backup{}, fmt.Errorf("%s: %w", s.path, err)
		}
		m.o.Progress(m.p)
	}
	for dir := range m.dirs {
		if err := vfs.SyncDir(fs, dir); err != nil {
			return Backup{}, err
		}
	}
	if err := m.list.end(); err != nil {
		return Backup{}, err
	}
	if err := errors.Join(vfs.SyncDir(fs, m.dir), fs.Rename(m.dir, final), vfs.SyncDir(fs, o.To)); err != nil {
		return Backup{}, err
	}
	for _, dir := range unfinished {
		if err := fs.RemoveAll(dir); err != nil {
			return Backup{}, err
		}
	}
	return Backup{Path: final, Made: m.made, From: o.Data, Files: m.list.files, Bytes: m.list.bytes}, nil
}

func (m *maker) begin() error {
	fs := m.o.FS
	if err := fs.RemoveAll(m.dir); err != nil {
		return err
	}
	m.dirs = map[string]bool{}
	if err := m.makeDir(m.dir); err != nil {
		return err
	}
	f, err := vfs.CreatePrivate(fs, fs.PathJoin(m.dir, manifestName))
	if err != nil {
		return err
	}
	m.list, err = newWriter(f, head{manifestVersion, m.made, m.o.Data})
	return err
}

// learn takes in what an earlier backup has.
func (m *maker) learn(dir string, doubt bool) error {
	list, _, err := parseManifest(m.o.FS, dir)
	if err != nil {
		if doubt {
			return nil
		}
		return fmt.Errorf("backup %s: %w", dir, err)
	}
	for _, e := range list.files {
		if _, known := m.known[e.Name]; !known || doubt {
			m.known[e.Name] = earlier{e, m.o.FS.PathJoin(dir, e.Name), doubt}
		}
	}
	return nil
}

// unfinished finds backups that were cut short, and learns of their files.
func (m *maker) unfinished() (dirs []string, err error) {
	names, err := m.o.FS.List(m.o.To)
	if err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		stamp, partial := strings.CutSuffix(name, partialSuffix)
		if _, err := time.Parse(nameLayout, stamp); err != nil || !partial || m.o.FS.PathJoin(m.o.To, name) == m.dir {
			continue
		}
		dir := m.o.FS.PathJoin(m.o.To, name)
		dirs = append(dirs, dir)
		if err := m.learn(dir, true); err != nil {
			return nil, err
		}
	}
	return dirs, nil
}

// sources lists what is to be copied: the records first, then all else, so that
// bodies are looked for when the records that name them are fixed.
func (m *maker) sources() (all []source, err error) {
	take := func(s source) error {
		all = append(all, s)
		m.p.TotalFiles++
		m.p.TotalBytes += s.info.Size()
		return nil
	}
	if err := walk(m.o.FS, m.records, recordsDir, func(string) bool { return false }, take); err != nil {
		return nil, err
	}
	skip := func(name string) bool {
		return name == recordsDir || slices.Contains(m.o.Skip, name) ||
			m.o.FS.PathJoin(m.o.Data, name) == m.records || m.o.FS.PathJoin(m.o.Data, name) == strings.TrimSuffix(m.o.To, "/")
	}
	return all, walk(m.o.FS, m.o.Data, "", skip, take)
}

func (m *maker) makeDir(dir string) error {
	if m.dirs[dir] {
		return nil
	}
	if err := vfs.MakeDir(m.o.FS, dir); err != nil {
		return err
	}
	m.dirs[dir] = true
	return nil
}

// file puts one file into the backup.
func (m *maker) file(ctx context.Context, s source) error {
	to := m.o.FS.PathJoin(m.dir, s.name)
	if err := m.makeDir(m.o.FS.PathDir(to)); err != nil {
		return err
	}
	e := entry{
		Name: s.name, Source: s.info.Size(), Changed: s.info.ModTime().UTC(),
		Readable: s.info.Mode().Perm()&0o044 != 0,
	}
	linked, err := m.link(ctx, &e, to)
	if err != nil {
		return err
	}
	if !linked {
		e.Size, e.Sum, err = copyFile(ctx, m.o.FS, s.path, to, e.Readable, func(n int) {
			m.p.Bytes += int64(n)
			m.p.Copied += int64(n)
			m.o.Progress(m.p)
		})
		if vfs.NotExist(err) {
			return nil // a message that was given up on its way in
		}
		if err != nil {
			return err
		}
	}
	m.p.Files++
	return m.list.add(e)
}

// link takes the file over from an earlier backup if it is the same.
func (m *maker) link(ctx context.Context, e *entry, to string) (bool, error) {
	was, ok := m.known[e.Name]
	if !ok || was.Source != e.Source || !was.Changed.Equal(e.Changed) || was.Readable != e.Readable {
		return false, nil
	}
	if was.doubt {
		size, sum, err := sumFile(ctx, m.o.FS, was.path)
		if err != nil || size != was.Size || sum != was.Sum {
			return false, ctx.Err()
		}
	}
	if m.o.FS.Link(was.path, to) != nil {
		return false, nil // not on this file system: it is copied
	}
	e.Size, e.Sum = was.Size, was.Sum
	m.p.Bytes += e.Size
	return true, nil
}

// copyFile copies a file durably and gives its size and sum.
func copyFile(ctx context.Context, on vfs.FS, from, to string, readable bool, progress func(int)) (int64, string, error) {
	in, err := on.Open(from)
	if err != nil {
		return 0, "", err
	}
	defer in.Close()
	out, err := vfs.CreatePrivate(on, to)
	if err != nil {
		return 0, "", err
	}
	defer out.Close()
	if readable {
		if err := vfs.Readable(out); err != nil {
			return 0, "", err
		}
	}
	size, sum, err := pump(ctx, in, vfs.Syncing(out, 8<<20), progress)
	if err != nil {
		return 0, "", err
	}
	return size, sum, out.Sync()
}

// sumFile reads a file for its size and sum.
func sumFile(ctx context.Context, on vfs.FS, path string) (int64, string, error) {
	f, err := on.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	return pump(ctx, f, io.Discard, func(int) {})
}

// pump copies and sums.
func pump(ctx context.Context, from io.Reader, to io.Writer, progress func(int)) (size int64, sum string, err error) {
	all := sha256.New()
	buf := make([]byte, 1<<20)
	for ctx.Err() == nil {
		n, err := from.Read(buf)
		if n > 0 {
			all.Write(buf[:n])
			if _, err := to.Write(buf[:n]); err != nil {
				return 0, "", err
			}
			size += int64(n)
			progress(n)
		}
		if errors.Is(err, io.EOF) {
			return size, hex.EncodeToString(all.Sum(nil)), nil
		}
		if err != nil {
			return 0, "", err
		}
	}
	return 0, "", ctx.Err()
}
