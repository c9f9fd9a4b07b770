package moving

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"plic/internal/mbox"
)

// mboxes is an mbox file, or a directory of some.
type mboxes struct {
	root *os.Root
	name string
	one  string // the only file
	o    mbox.Options
}

// Mbox opens an mbox file, which becomes INBOX, or a directory of mbox files,
// each a folder.
func Mbox(file string, o mbox.Options) (Source, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	s := &mboxes{name: "mbox " + file, o: o}
	dir := file
	if !info.IsDir() {
		dir, s.one = filepath.Dir(file), filepath.Base(file)
	}
	if s.root, err = os.OpenRoot(dir); err != nil {
		return nil, err
	}
	return s, nil
}

// Name names the source.
func (s *mboxes) Name() string { return s.name }

// Close lets go of the directory.
func (s *mboxes) Close() error { return s.root.Close() }

// Folders lists the files that are mbox files.
func (s *mboxes) Folders(_ context.Context, bad func(*Bad)) ([]Folder, error) {
	if s.one != "" {
		return []Folder{s.folder("INBOX", s.one)}, nil
	}
	var all []Folder
	err := fs.WalkDir(s.root.FS(), ".", func(at string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case at != "." && name[0] == '.':
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.Type()&fs.ModeSymlink != 0:
			bad(&Bad{Name: s.where(at), Err: errLink})
			return nil
		case d.IsDir() || !d.Type().IsRegular() || !s.isMbox(at):
			return nil
		}
		name := decodeName(at)
		if strings.EqualFold(name, "inbox") {
			name = "INBOX"
		}
		// Thunderbird keeps what is below "a" in "a.sbd".
		name = strings.ReplaceAll(name, ".sbd/", "/")
		all = append(all, s.folder(name, at))
		return nil
	})
	if err == nil && len(all) == 0 {
		err = errors.New("there is no mbox file in the directory")
	}
	slices.SortFunc(all, func(a, b Folder) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}

// where is the path of a file, for people.
func (s *mboxes) where(at string) string {
	if s.one != "" {
		return strings.TrimPrefix(s.name, "mbox ")
	}
	return path.Join(strings.TrimPrefix(s.name, "mbox "), at)
}

func (s *mboxes) isMbox(at string) bool {
	f, err := s.root.Open(at)
	if err != nil {
		return true // Letters will say why it cannot be read
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return false
	}
	var head [64]byte
	n, err := f.ReadAt(head[:], 0)
	return (err == nil || errors.Is(err, io.EOF)) && strings.HasPrefix(strings.TrimLeft(string(head[:n]), "\r\n"), "From ")
}

// folder reads what the first message says of the mailbox.
func (s *mboxes) folder(name, at string) Folder {
	f := Folder{Name: name, place: at, Subscribed: true, SpecialUse: useOf(name)}
	file, err := s.root.Open(at)
	if err != nil {
		return f // Letters will say so
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return f
	}
	if m, err := mbox.NewScanner(file, 0, info.Size(), s.o).Next(); err == nil && m.Base != nil {
		f.UIDValidity, f.UIDNext = m.Base.UIDValidity, m.Base.LastUID+1
	}
	return f
}

// Letters gives the messages in the order of the file. A file that is growing
// gives those that were there at the beginning.
func (s *mboxes) Letters(ctx context.Context, f *Folder, known func(uint64) bool) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		where := s.where(f.place)
		file, err := s.root.Open(f.place)
		if err != nil {
			yield(Letter{}, &Bad{Name: where, Err: err})
			return
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			yield(Letter{}, &Bad{Name: where, Err: err})
			return
		}
		if info.Size() == 0 {
			return
		}
		seen := map[mbox.Sum]int{}
		in := mbox.NewScanner(file, 0, info.Size(), s.o)
		for {
			m, err := in.Next()
			switch {
			case errors.Is(err, io.EOF):
				return
			case ctx.Err() != nil:
				yield(Letter{}, ctx.Err())
				return
			case err != nil:
				yield(Letter{}, &Bad{Name: where, Err: err})
				return
			case m.Pseudo:
				continue
			}
			seen[m.Sum]++ // the same message may be there twice
			key := keyOf(string(m.Sum[:]), fmt.Sprint(seen[m.Sum]))
			if known(key) {
				continue
			}
			l, err := s.read(file, m)
			l.Key, l.Name = key, fmt.Sprintf("%s, message at %d", where, m.Offset)
			if err != nil {
				err = &Bad{Name: l.Name, Err: err}
			}
			if !yield(l, err) {
				return
			}
		}
	}
}

func (s *mboxes) read(file io.ReaderAt, m *mbox.Message) (Letter, error) {
	l := Letter{UID: m.UID, Internal: m.Date, Flags: flagsOf(&m.Status)}
	if m.End-m.Head > maxLetter {
		return l, fmt.Errorf("longer than %d octets", int64(maxLetter))
	}
	text, err := mbox.Open(file, m, s.o)
	if err != nil {
		return l, err
	}
	l.Size = text.Size()
	l.Text = make([]byte, l.Size)
	if _, err := text.ReadAt(l.Text, 0); err != nil && !errors.Is(err, io.EOF) {
		return l, err
	}
	l.Text = crlf(l.Text)
	l.Size = int64(len(l.Text))
	return l, nil
}

func flagsOf(st *mbox.Status) (flags []string) {
	for _, f := range []struct {
		set  bool
		name string
	}{{st.Seen, `\Seen`}, {st.Answered, `\Answered`}, {st.Flagged, `\Flagged`}, {st.Deleted, `\Deleted`}, {st.Draft, `\Draft`}} {
		if f.set {
			flags = append(flags, f.name)
		}
	}
	return append(flags, st.Keywords...)
}

// statusOf is the other way.
func statusOf(flags []string) (st mbox.Status) {
	for _, f := range flags {
		switch strings.ToLower(f) {
		case `\seen`:
			st.Seen = true
		case `\answered`:
			st.Answered = true
		case `\flagged`:
			st.Flagged = true
		case `\deleted`:
			st.Deleted = true
		case `\draft`:
			st.Draft = true
		default:
			if f[0] != '\\' {
				st.Keywords = append(st.Keywords, f)
			}
		}
	}
	return st
}
