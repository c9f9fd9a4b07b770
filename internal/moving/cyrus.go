package moving

import (
	"bufio"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cyrus is a part of the spool of Cyrus IMAP: in each directory a file for each
// message, "UID.", and what is known of them in cyrus.index and cyrus.header.
type cyrus struct {
	root *os.Root
	dir  string
}

// Cyrus opens the directory of an account in the spool.
func Cyrus(dir string) (Source, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	if _, err := root.Stat("cyrus.header"); err != nil {
		root.Close()
		return nil, fmt.Errorf("%s is no mailbox of Cyrus: there is no cyrus.header in it", dir)
	}
	return &cyrus{root, dir}, nil
}

// Name names the source.
func (s *cyrus) Name() string { return "cyrus " + s.dir }

// Close lets go of the directory.
func (s *cyrus) Close() error { return s.root.Close() }

// Folders lists the directory and those below it.
func (s *cyrus) Folders(context.Context) ([]Folder, error) {
	var all []Folder
	err := fs.WalkDir(s.root.FS(), ".", func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() != "cyrus.header" {
			return err
		}
		dir := path.Dir(at)
		f := Folder{Name: "INBOX", place: dir, Subscribed: true}
		if dir != "." {
			// A dot in a name is kept as "^".
			f.Name = decodeName(strings.ReplaceAll(dir, "^", "."))
			f.SpecialUse = useOf(f.Name)
		}
		if x, err := s.index(dir); err == nil {
			f.UIDValidity, f.UIDNext = x.validity, x.last+1
		}
		f.Messages = len(s.uids(dir))
		all = append(all, f)
		return nil
	})
	slices.SortFunc(all, func(a, b Folder) int { return cmp.Compare(a.Name, b.Name) })
	return all, err
}

// uids lists the messages of a directory.
func (s *cyrus) uids(dir string) (uids []uint32) {
	f, err := s.root.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil
	}
	for _, n := range names {
		if text, ok := strings.CutSuffix(n, "."); ok {
			if uid := number(text); uid != 0 {
				uids = append(uids, uid)
			}
		}
	}
	slices.Sort(uids)
	return uids
}

// cyrusIndex is what cyrus.index says.
type cyrusIndex struct {
	validity, last uint32
	records        map[uint32]cyrusRecord
	words          []string // user flags by number
}

type cyrusRecord struct {
	internal int64
	system   uint32
	user     [4]uint32
}

var errCyrusIndex = errors.New("cyrus.index is of a version that is not understood: flags and dates are not brought")

// The versions whose records begin alike.
const (
	cyrusLeast = 12
	cyrusMost  = 19
)

// Bits of system_flags.
const (
	cyrusAnswered = 1 << iota
	cyrusFlagged
	cyrusDeleted
	cyrusDraft
	cyrusSeen
	cyrusUnlinked = 1 << 30
	cyrusExpunged = 1 << 31
)

// index reads cyrus.index, whose numbers are big-endian.
func (s *cyrus) index(dir string) (*cyrusIndex, error) {
	f, err := s.root.Open(path.Join(dir, "cyrus.index"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	head := make([]byte, 48)
	if _, err := io.ReadFull(in, head); err != nil {
		return nil, fmt.Errorf("cyrus.index: %w", err)
	}
	word := func(b []byte, at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }
	version, start, size, count := word(head, 8), word(head, 12), word(head, 16), word(head, 20)
	if version < cyrusLeast || version > cyrusMost || start < 48 || start > 4096 || size < 52 || size > 4096 {
		return nil, errCyrusIndex
	}
	x := &cyrusIndex{last: word(head, 28), validity: word(head, 44), records: map[uint32]cyrusRecord{}}
	if _, err := in.Discard(int(start) - len(head)); err != nil {
		return nil, fmt.Errorf("cyrus.index: %w", err)
	}
	record := make([]byte, size)
	for range count {
		if _, err := io.ReadFull(in, record); err != nil {
			return nil, fmt.Errorf("cyrus.index: %w", err)
		}
		r := cyrusRecord{internal: int64(word(record, 4)), system: word(record, 32)}
		for i := range r.user {
			r.user[i] = word(record, 36+4*i)
		}
		x.records[word(record, 0)] = r
	}
	x.words, err = s.words(dir)
	return x, err
}

// words reads the names of the user flags, in the line after the quota root in cyrus.header.
func (s *cyrus) words(dir string) ([]string, error) {
	f, err := s.root.Open(path.Join(dir, "cyrus.header"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewScanner(io.LimitReader(f, 64<<10))
	for n := 0; in.Scan(); n++ {
		if n == 4 {
			return strings.Split(in.Text(), " "), nil
		}
	}
	return nil, in.Err()
}

// Letters gives the messages by UID.
func (s *cyrus) Letters(ctx context.Context, f *Folder, known func(uint64) bool) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		x, err := s.index(f.place)
		if err != nil {
			x = &cyrusIndex{}
			if !yield(Letter{}, &Bad{Name: f.Name, Err: err}) {
				return
			}
		}
		for _, uid := range s.uids(f.place) {
			if ctx.Err() != nil {
				yield(Letter{}, ctx.Err())
				return
			}
			rec, indexed := x.records[uid]
			key := keyOf(f.Name, strconv.Itoa(int(f.UIDValidity)), strconv.Itoa(int(uid)))
			if indexed && rec.system&(cyrusExpunged|cyrusUnlinked) != 0 || known(key) {
				continue
			}
			l, err := s.read(f, uid)
			l.Key = key
			if indexed {
				l.Internal, l.Flags = time.Unix(rec.internal, 0).UTC(), x.flags(&rec)
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

func (s *cyrus) read(f *Folder, uid uint32) (Letter, error) {
	at := path.Join(f.place, strconv.Itoa(int(uid))+".")
	l := Letter{Name: path.Join(s.dir, at), UID: uid}
	file, err := s.root.Open(at)
	if err != nil {
		return l, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return l, err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxLetter))
	l.Text, l.Internal = crlf(text), info.ModTime()
	l.Size = int64(len(l.Text))
	return l, err
}

func (x *cyrusIndex) flags(r *cyrusRecord) (flags []string) {
	for _, f := range []struct {
		bit  uint32
		name string
	}{{cyrusSeen, `\Seen`}, {cyrusAnswered, `\Answered`}, {cyrusFlagged, `\Flagged`}, {cyrusDeleted, `\Deleted`}, {cyrusDraft, `\Draft`}} {
		if r.system&f.bit != 0 {
			flags = append(flags, f.name)
		}
	}
	for n, w := range x.words {
		if n < 128 && w != "" && r.user[n/32]&(1<<(n%32)) != 0 {
			flags = append(flags, w)
		}
	}
	return flags
}
