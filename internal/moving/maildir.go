package moving

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	"plic/internal/imap"
)

// maildir is a Maildir, read where it is, and nothing changed in it.
type maildir struct {
	root *os.Root
	name string
	plus bool // folders are ".A.B", and not nested directories

	links map[string]bool // symbolic links in the place of folders
}

// Maildir opens a Maildir with its folders, in either layout; UIDs and keywords
// are those of dovecot-uidlist and dovecot-keywords.
func Maildir(dir string) (Source, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	m := &maildir{root: root, name: "maildir " + dir, links: map[string]bool{}}
	if _, err := root.Stat("cur"); err != nil {
		// Without a mailbox at the top it may still have some below.
		if !m.nested() {
			root.Close()
			return nil, fmt.Errorf("%s is no Maildir: there is no directory cur in it", dir)
		}
		return m, nil
	}
	m.plus = !m.nested()
	return m, nil
}

// nested says that a plain directory is a folder.
func (m *maildir) nested() bool {
	for _, name := range m.dirs(".") {
		if name[0] != '.' && name != "cur" && name != "new" && name != "tmp" {
			if m.isFolder(name) || len(m.below(name, 0)) > 0 {
				return true
			}
		}
	}
	return false
}

func (m *maildir) isFolder(dir string) bool {
	for _, sub := range []string{"cur", "new"} {
		if i, err := m.root.Stat(path.Join(dir, sub)); err == nil && i.IsDir() {
			return true
		}
	}
	return false
}

// dirs lists directories, sorted.
func (m *maildir) dirs(dir string) (names []string) {
	f, err := m.root.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		} else if e.Type()&fs.ModeSymlink != 0 {
			m.link(path.Join(dir, e.Name()))
		}
	}
	slices.Sort(names)
	return names
}

// link notes a symbolic link that may stand for a folder: one to a file, such as a
// script, does not.
func (m *maildir) link(at string) {
	if i, err := os.Stat(m.where(at)); err != nil || i.IsDir() {
		m.links[at] = true
	}
}

// where is a path, for people.
func (m *maildir) where(at string) string {
	return path.Join(strings.TrimPrefix(m.name, "maildir "), at)
}

const maxDepth = 32

// below lists the folders of the nested layout below a directory.
func (m *maildir) below(dir string, depth int) (folders []string) {
	for _, name := range m.dirs(dir) {
		if name == "cur" || name == "new" || name == "tmp" || name[0] == '.' || depth > maxDepth {
			continue
		}
		at := path.Join(dir, name)
		if m.isFolder(at) {
			folders = append(folders, at)
		}
		folders = append(folders, m.below(at, depth+1)...)
	}
	return folders
}

// Name names the source.
func (m *maildir) Name() string { return m.name }

// Close lets go of the directory.
func (m *maildir) Close() error { return m.root.Close() }

// Folders lists INBOX and the others.
func (m *maildir) Folders(_ context.Context, bad func(*Bad)) ([]Folder, error) {
	subscribed := m.subscriptions()
	places := map[string]string{}
	if m.isFolder(".") {
		places["INBOX"] = "."
	}
	if m.plus {
		for _, dir := range m.dirs(".") {
			if dir[0] == '.' && len(dir) > 1 && m.isFolder(dir) {
				places[strings.ReplaceAll(decodeName(dir[1:]), ".", "/")] = dir
			}
		}
	} else {
		for _, dir := range m.below(".", 0) {
			places[decodeName(dir)] = dir
		}
	}
	var all []Folder
	for name, dir := range places {
		f := Folder{Name: name, place: dir, Subscribed: subscribed[name] || name == "INBOX"}
		f.UIDValidity, f.UIDNext = m.numbers(dir)
		files, _ := m.files(dir) // Letters says why not
		f.Messages = len(files)
		f.SpecialUse = useOf(name)
		all = append(all, f)
	}
	slices.SortFunc(all, func(a, b Folder) int { return cmp.Compare(a.Name, b.Name) })
	for _, at := range slices.Sorted(maps.Keys(m.links)) {
		bad(&Bad{Name: m.where(at), Err: errLink})
	}
	return all, nil
}

// decodeName reads modified UTF-7, or takes the name as it is.
func decodeName(name string) string {
	if clean, err := imap.DecodeUTF7(name); err == nil {
		return clean
	}
	return strings.ToValidUTF8(name, "_")
}

// useOf guesses what a folder is for by its name, as clients that know nothing
// of special uses name them.
func useOf(name string) string {
	switch strings.ToLower(strings.TrimPrefix(name, "INBOX/")) {
	case "sent", "sent items", "sent messages", "sent mail":
		return `\Sent`
	case "drafts":
		return `\Drafts`
	case "trash", "deleted items", "deleted messages":
		return `\Trash`
	case "junk", "spam", "junk e-mail":
		return `\Junk`
	case "archive", "archives":
		return `\Archive`
	}
	return ""
}

// subscriptions reads Dovecot's and Courier's lists.
func (m *maildir) subscriptions() map[string]bool {
	all := map[string]bool{}
	for _, file := range []string{"subscriptions", "courierimapsubscribed"} {
		m.lines(file, func(line string) bool {
			line = strings.TrimPrefix(line, "INBOX.")
			if line == "" || line[0] == 'V' && strings.Contains(line, "\t") {
				return true // the version, or what parts it
			}
			name := decodeName(strings.ReplaceAll(line, "\t", "/"))
			all[name] = true
			if m.plus {
				all[strings.ReplaceAll(name, ".", "/")] = true
			}
			return true
		})
	}
	return all
}

// lines reads a small file.
func (m *maildir) lines(name string, each func(line string) bool) error {
	f, err := m.root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		if !each(strings.TrimSuffix(in.Text(), "\r")) {
			break
		}
	}
	return in.Err()
}

// uidlist is a dovecot-uidlist.
type uidlist struct {
	validity, next uint32
	uids           map[string]uint32 // by the name of the file, without flags
}

var errUIDList = errors.New("dovecot-uidlist is not understood")

// head reads the first line of a list, and gives its version.
func (l *uidlist) head(words []string) (version string) {
	version = words[0]
	for i, w := range words[1:] {
		switch {
		case version == "1" && i == 0, version == "3" && w[0] == 'V':
			l.validity = number(strings.TrimPrefix(w, "V"))
		case version == "1" && i == 1, version == "3" && w[0] == 'N':
			l.next = number(strings.TrimPrefix(w, "N"))
		}
	}
	return version
}

// numbers reads UIDVALIDITY and UIDNEXT of a list; 0 if it does not say them.
func (m *maildir) numbers(dir string) (validity, next uint32) {
	var l uidlist
	_ = m.lines(path.Join(dir, "dovecot-uidlist"), func(line string) bool {
		if words := strings.Fields(line); len(words) >= 3 {
			l.head(words)
		}
		return false
	}) // Letters says why not
	return l.validity, l.next
}

// uidlist reads a list of version 1 or 3.
func (m *maildir) uidlist(dir string) (uidlist, error) {
	l := uidlist{uids: map[string]uint32{}}
	version := ""
	err := m.lines(path.Join(dir, "dovecot-uidlist"), func(line string) bool {
		words := strings.Fields(line)
		switch {
		case version == "" && len(words) >= 3:
			version = l.head(words)
		case version == "1" && len(words) == 2:
			l.uids[base(words[1])] = number(words[0])
		default:
			head, file, ok := strings.Cut(line, " :")
			uid, _, _ := strings.Cut(head, " ")
			if ok && version == "3" {
				l.uids[base(file)] = number(uid)
			}
		}
		return true
	})
	if err == nil && (l.validity == 0 || version != "1" && version != "3") {
		err = errUIDList
	}
	return l, err
}

func number(text string) uint32 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// base is the name of a file without its flags.
func base(file string) string {
	name, _, _ := strings.Cut(file, ":")
	return name
}

// keywords reads the names of the keywords a to z.
func (m *maildir) keywords(dir string) map[byte]string {
	all := map[byte]string{}
	_ = m.lines(path.Join(dir, "dovecot-keywords"), func(line string) bool {
		if n, word, ok := strings.Cut(line, " "); ok {
			if i := number(n); i < 26 && word != "" {
				all[byte('a'+i)] = word
			}
		}
		return true
	}) // without the file there are none
	return all
}

// found is a file with a message: there may be many.
type found struct {
	name  string
	fresh bool // in new, not in cur
	uid   uint32
	at    int64
}

// sub is the directory of the file.
func (f *found) sub() string {
	if f.fresh {
		return "new"
	}
	return "cur"
}

func (f *found) base() string { return base(f.name) }

// files lists the messages of a folder; with an error, those that could be listed.
func (m *maildir) files(dir string) (all []found, err error) {
	for _, fresh := range []bool{false, true} {
		f := found{fresh: fresh}
		names, failed := namesIn(m.root, path.Join(dir, f.sub()))
		err = errors.Join(err, failed)
		all = slices.Grow(all, len(names))
		for _, f.name = range names {
			if f.name[0] != '.' {
				all = append(all, f)
			}
		}
	}
	return all, err
}

// Letters gives the messages by UID; those that have none come last, as they
// were delivered.
func (m *maildir) Letters(ctx context.Context, f *Folder, known func(uint64) bool) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		all, ok := m.inOrder(f, yield)
		if !ok {
			return
		}
		words := m.keywords(f.place)
		for i := range all {
			one := &all[i]
			if ctx.Err() != nil {
				yield(Letter{}, ctx.Err())
				return
			}
			key := keyOf(one.base())
			if known(key) {
				continue
			}
			letter, err := m.read(f.place, one, words)
			letter.Key = key
			if err != nil {
				err = &Bad{Name: m.where(path.Join(f.place, one.sub(), one.name)), Err: err}
			}
			if !yield(letter, err) {
				return
			}
		}
	}
}

// inOrder lists the messages of a folder as Letters gives them. The list of UIDs
// is not needed any more then.
func (m *maildir) inOrder(f *Folder, yield func(Letter, error) bool) (all []found, ok bool) {
	l, err := m.uidlist(f.place)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !yield(Letter{}, &Bad{Name: f.Name, Err: err}) {
		return nil, false
	}
	all, err = m.files(f.place)
	if err != nil && !yield(Letter{}, &Bad{Name: f.Name, Err: err}) {
		return nil, false
	}
	for i := range all {
		x := &all[i]
		at, _, _ := strings.Cut(x.base(), ".")
		x.at, _ = strconv.ParseInt(at, 10, 64) // without a time it comes first
		x.uid = l.uids[x.base()]
	}
	slices.SortFunc(all, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.uid-1, b.uid-1), cmp.Compare(a.at, b.at), cmp.Compare(a.base(), b.base()))
	})
	return all, true
}

func (m *maildir) read(dir string, one *found, words map[byte]string) (Letter, error) {
	file := path.Join(dir, one.sub(), one.name)
	l := Letter{Name: file, UID: one.uid}
	text, changed, err := readFile(m.root, file)
	if errors.Is(err, fs.ErrNotExist) && m.again(dir, one) { // its flags have changed, or it was moved from new to cur
		text, changed, err = readFile(m.root, path.Join(dir, one.sub(), one.name))
	}
	if err != nil {
		return l, err
	}
	l.Text, l.Internal = text, changed
	l.Size = int64(len(l.Text))
	l.Flags = maildirFlags(one.name, words)
	return l, nil
}

// again finds a file that another program has renamed.
func (m *maildir) again(dir string, one *found) bool {
	files, _ := m.files(dir) // what is not found is named
	i := slices.IndexFunc(files, func(f found) bool { return f.base() == one.base() })
	if i >= 0 {
		one.name, one.fresh = files[i].name, files[i].fresh
	}
	return i >= 0
}

// maildirFlags reads the flags in a name.
func maildirFlags(name string, words map[byte]string) (flags []string) {
	_, letters, _ := strings.Cut(name, ":2,")
	letters, _, _ = strings.Cut(letters, ",")
	for i := range len(letters) {
		switch c := letters[i]; c {
		case 'S':
			flags = append(flags, `\Seen`)
		case 'R':
			flags = append(flags, `\Answered`)
		case 'F':
			flags = append(flags, `\Flagged`)
		case 'D':
			flags = append(flags, `\Draft`)
		case 'T':
			flags = append(flags, `\Deleted`)
		case 'P':
			flags = append(flags, "$Forwarded")
		default:
			if word := words[c]; word != "" {
				flags = append(flags, word)
			}
		}
	}
	return flags
}
