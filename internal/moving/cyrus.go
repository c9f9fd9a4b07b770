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
	messages := map[string]int{}
	err := fs.WalkDir(s.root.FS(), ".", func(at string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		dir := path.Dir(at)
		if cyrusUID(d.Name()) != 0 {
			messages[dir]++
		}
		if d.Name() != "cyrus.header" {
			return nil
		}
		f := Folder{Name: "INBOX", place: dir, Subscribed: true}
		if dir != "." {
			// A dot in a name is kept as "^".
			f.Name = decodeName(strings.ReplaceAll(dir, "^", "."))
			f.SpecialUse = useOf(f.Name)
		}
		if h, err := s.head(dir); err == nil { // else Letters says why
			f.UIDValidity, f.UIDNext = h.validity, h.last+1
		}
		all = append(all, f)
		return nil
	})
	for i := range all {
		all[i].Messages = messages[all[i].place]
	}
	slices.SortFunc(all, func(a, b Folder) int { return cmp.Compare(a.Name, b.Name) })
	return all, err
}

// cyrusUID is the UID of a message's file, 0 for other files.
func cyrusUID(file string) uint32 {
	text, ok := strings.CutSuffix(file, ".")
	if !ok {
		return 0
	}
	return number(text)
}

// uids lists the messages of a directory.
func (s *cyrus) uids(dir string) (uids []uint32, err error) {
	names, err := namesIn(s.root, dir)
	for _, n := range names {
		if uid := cyrusUID(n); uid != 0 {
			uids = append(uids, uid)
		}
	}
	slices.Sort(uids)
	return uids, err
}

// cyrusHead is the beginning of cyrus.index.
type cyrusHead struct {
	start, size, count uint32 // of the records
	validity, last     uint32
}

// cyrusIndex is what cyrus.index says.
type cyrusIndex struct {
	records map[uint32]cyrusRecord
	words   []string // user flags by number
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

const cyrusHeadSize = 48

// readCyrusHead reads the beginning of an index; all its numbers are big-endian.
func readCyrusHead(in io.Reader) (h cyrusHead, err error) {
	text := make([]byte, cyrusHeadSize)
	if _, err := io.ReadFull(in, text); err != nil {
		return h, fmt.Errorf("cyrus.index: %w", err)
	}
	version := word(text, 8)
	h = cyrusHead{start: word(text, 12), size: word(text, 16), count: word(text, 20), last: word(text, 28), validity: word(text, 44)}
	if version < cyrusLeast || version > cyrusMost || h.start < cyrusHeadSize || h.start > 4096 || h.size < 52 || h.size > 4096 {
		return h, errCyrusIndex
	}
	return h, nil
}

func word(b []byte, at int) uint32 { return binary.BigEndian.Uint32(b[at:]) }

// head reads the beginning of cyrus.index.
func (s *cyrus) head(dir string) (cyrusHead, error) {
	f, err := s.root.Open(path.Join(dir, "cyrus.index"))
	if err != nil {
		return cyrusHead{}, err
	}
	defer f.Close()
	return readCyrusHead(f)
}

// index reads cyrus.index.
func (s *cyrus) index(dir string) (*cyrusIndex, error) {
	f, err := s.root.Open(path.Join(dir, "cyrus.index"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	in := bufio.NewReader(f)
	h, err := readCyrusHead(in)
	if err != nil {
		return nil, err
	}
	x := &cyrusIndex{records: map[uint32]cyrusRecord{}}
	if _, err := in.Discard(int(h.start) - cyrusHeadSize); err != nil {
		return nil, fmt.Errorf("cyrus.index: %w", err)
	}
	record := make([]byte, h.size)
	for range h.count {
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
		uids, err := s.uids(f.place)
		if err != nil && !yield(Letter{}, &Bad{Name: f.Name, Err: err}) {
			return
		}
		for _, uid := range uids {
			if ctx.Err() != nil {
				yield(Letter{}, ctx.Err())
				return
			}
			rec, indexed := x.records[uid]
			key := keyOf(f.Name, strconv.Itoa(int(f.UIDValidity)), strconv.Itoa(int(uid)))
			if indexed && rec.system&(cyrusExpunged|cyrusUnlinked) != 0 || known(key) {
				continue
			}
			at := path.Join(f.place, strconv.Itoa(int(uid))+".")
			l := Letter{Key: key, Name: path.Join(s.dir, at), UID: uid}
			l.Text, l.Internal, err = readFile(s.root, at)
			l.Size = int64(len(l.Text))
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
