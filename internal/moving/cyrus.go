package moving

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cyrus is mailboxes in the spool of Cyrus IMAP: directories with a file for each
// message, "UID.", and what is known of them in cyrus.index and cyrus.header.
type cyrus struct {
	name  string
	boxes map[string]*cyrusBox // by Folder.place
	dots  bool                 // part levels for users too

	skipped []*Bad
}

// cyrusBox is one of them.
type cyrusBox struct {
	root       *os.Root
	dir        string // below root
	at         string // for people
	folder     string
	id         string // of version 3.6 and later
	unlisted   bool   // what is subscribed is known, and this is not
	specialUse string
}

// Name names the source.
func (s *cyrus) Name() string { return "cyrus " + s.name }

// Close does nothing: the directories are those of the spool.
func (s *cyrus) Close() error { return nil }

// Folders lists the mailboxes.
func (s *cyrus) Folders(_ context.Context, bad func(*Bad)) ([]Folder, error) {
	for _, b := range s.skipped {
		bad(b)
	}
	var all []Folder
	for place, b := range s.boxes {
		f := Folder{Name: b.folder, place: place, Subscribed: !b.unlisted, SpecialUse: b.specialUse}
		if h, err := b.head(); err == nil { // else Letters says why
			f.UIDValidity, f.UIDNext = h.validity, h.last+1
		}
		uids, _ := b.uids() // likewise
		f.Messages = len(uids)
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b Folder) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.place, b.place)) })
	return all, nil
}

// cyrusUID is the UID of a message's file, 0 for other files.
func cyrusUID(file string) uint32 {
	text, ok := strings.CutSuffix(file, ".")
	if !ok {
		return 0
	}
	return number(text)
}

// uids lists the messages that have a file.
func (b *cyrusBox) uids() (uids []uint32, err error) {
	names, err := namesIn(b.root, b.dir)
	for _, n := range names {
		if uid := cyrusUID(n); uid != 0 {
			uids = append(uids, uid)
		}
	}
	slices.Sort(uids)
	return uids, err
}

// Letters gives the messages by UID.
func (s *cyrus) Letters(ctx context.Context, f *Folder, known func(uint64) bool) iter.Seq2[Letter, error] {
	b := s.boxes[f.place]
	return func(yield func(Letter, error) bool) {
		x, err := b.index()
		if err != nil {
			x = &cyrusIndex{}
			if !yield(Letter{}, &Bad{Name: f.Name, Err: err}) {
				return
			}
		}
		uids, err := b.uids()
		if err != nil && !yield(Letter{}, &Bad{Name: f.Name, Err: err}) {
			return
		}
		for uid := range x.records { // with a file or not: it may be on another partition
			uids = append(uids, uid)
		}
		slices.Sort(uids)
		for _, uid := range slices.Compact(uids) {
			if ctx.Err() != nil {
				yield(Letter{}, ctx.Err())
				return
			}
			rec, indexed := x.records[uid]
			key := keyOf(f.Name, strconv.Itoa(int(f.UIDValidity)), strconv.Itoa(int(uid)))
			if indexed && rec.system&(cyrusExpunged|cyrusUnlinked) != 0 || known(key) {
				continue
			}
			at := path.Join(b.dir, strconv.Itoa(int(uid))+".")
			l := Letter{Key: key, Name: path.Join(b.at, path.Base(at)), UID: uid}
			l.Text, l.Internal, err = readFile(b.root, at)
			l.Size = int64(len(l.Text))
			if indexed {
				l.Internal, l.Flags = time.Unix(rec.internal, 0).UTC(), x.flags(&rec)
			}
			if errors.Is(err, fs.ErrNotExist) && !indexed {
				continue // it was expunged meanwhile
			}
			if err != nil {
				err = &Bad{Name: l.Name, Err: err}
			}
			if !yield(l, err) {
				return
			}
		}
	}
}

// folder is that of a mailbox, by what comes behind its user's name: "." parts
// levels, "^" stands for a dot, unless levels have always been parted by dots.
func (s *cyrus) folder(inner string) string {
	if inner == "" {
		return "INBOX"
	}
	inner = strings.ReplaceAll(strings.ReplaceAll(inner, "/", "_"), ".", "/")
	if !s.dots {
		inner = strings.ReplaceAll(inner, "^", ".")
	}
	return decodeName(inner)
}

// below adds the mailboxes of a directory and those below it, as Cyrus had them
// up to version 3.4.
func (s *cyrus) below(root *os.Root, top, base string) error {
	return fs.WalkDir(root.FS(), top, func(at string, d fs.DirEntry, err error) error {
		if err == nil && d.Type()&fs.ModeSymlink != 0 {
			s.skipped = append(s.skipped, &Bad{Name: path.Join(base, at), Err: errLink})
		}
		if err != nil || d.IsDir() || d.Name() != "cyrus.header" {
			return err
		}
		dir := path.Dir(at)
		inner := strings.TrimPrefix(strings.TrimPrefix(dir, top), "/")
		if dir == top {
			inner = ""
		}
		s.add(root, dir, base, s.folder(strings.ReplaceAll(inner, "/", ".")))
		return nil
	})
}

func (s *cyrus) add(root *os.Root, dir, base, folder string) *cyrusBox {
	b := &cyrusBox{root: root, dir: dir, at: path.Join(base, dir), folder: folder, specialUse: useOf(folder)}
	s.boxes[b.at] = b
	return b
}

// cyrusDirectory opens the directory of a mailbox and those below it.
func cyrusDirectory(root *os.Root, dir string) (Source, error) {
	s := &cyrus{name: dir, boxes: map[string]*cyrusBox{}}
	if err := s.below(root, ".", dir); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return s, nil
}
