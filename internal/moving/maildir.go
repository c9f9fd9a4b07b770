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
	"strings"

	"plic/internal/imap"
	"plic/internal/maildir"
)

// maildirSource is a Maildir, read where it is, and nothing changed in it.
type maildirSource struct {
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
	m := &maildirSource{root: root, name: "maildir " + dir, links: map[string]bool{}}
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
func (m *maildirSource) nested() bool {
	for _, name := range m.dirs(".") {
		if name[0] != '.' && name != "cur" && name != "new" && name != "tmp" {
			if m.isFolder(name) || len(m.below(name, 0)) > 0 {
				return true
			}
		}
	}
	return false
}

func (m *maildirSource) isFolder(dir string) bool {
	for _, sub := range []string{"cur", "new"} {
		if i, err := m.root.Stat(path.Join(dir, sub)); err == nil && i.IsDir() {
			return true
		}
	}
	return false
}

// dirs lists directories, sorted.
func (m *maildirSource) dirs(dir string) (names []string) {
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
func (m *maildirSource) link(at string) {
	if i, err := os.Stat(m.where(at)); err != nil || i.IsDir() {
		m.links[at] = true
	}
}

// where is a path, for people.
func (m *maildirSource) where(at string) string {
	return path.Join(strings.TrimPrefix(m.name, "maildir "), at)
}

const maxDepth = 32

// below lists the folders of the nested layout below a directory.
func (m *maildirSource) below(dir string, depth int) (folders []string) {
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
func (m *maildirSource) Name() string { return m.name }

// Close lets go of the directory.
func (m *maildirSource) Close() error { return m.root.Close() }

// Folders lists INBOX and the others.
func (m *maildirSource) Folders(_ context.Context, bad func(*Bad)) ([]Folder, error) {
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
func (m *maildirSource) subscriptions() map[string]bool {
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
func (m *maildirSource) lines(name string, each func(line string) bool) error {
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

var errUIDList = errors.New("dovecot-uidlist is not understood")

// numbers reads UIDVALIDITY and UIDNEXT of a list; 0 if it does not say them.
func (m *maildirSource) numbers(dir string) (validity, next uint32) {
	var l maildir.List
	_ = m.lines(path.Join(dir, "dovecot-uidlist"), func(line string) bool {
		l.Line(line)
		return false
	}) // Letters says why not
	return l.UIDValidity, l.UIDNext
}

// uids reads a list: UIDs by the bases of names.
func (m *maildirSource) uids(dir string) (map[string]uint32, error) {
	var l maildir.List
	uids := map[string]uint32{}
	err := m.lines(path.Join(dir, "dovecot-uidlist"), func(line string) bool {
		if e, ok := l.Line(line); ok {
			uids[e.Base] = e.UID
		}
		return true
	})
	if err == nil && l.UIDValidity == 0 {
		err = errUIDList
	}
	return uids, err
}

// keywords reads the names of the keywords a to z.
func (m *maildirSource) keywords(dir string) []string {
	text, _ := m.root.ReadFile(path.Join(dir, "dovecot-keywords")) // without the file there are none
	return maildir.ParseKeywords(string(text))
}

// found is a file with a message: there may be many.
type found struct {
	name  string
	fresh bool // in new, not in cur
	uid   uint32
}

// sub is the directory of the file.
func (f *found) sub() string {
	if f.fresh {
		return "new"
	}
	return "cur"
}

func (f *found) base() string {
	base, _ := maildir.Cut(f.name)
	return base
}

// files lists the messages of a folder; with an error, those that could be listed.
func (m *maildirSource) files(dir string) (all []found, err error) {
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
func (m *maildirSource) Letters(ctx context.Context, f *Folder, known func(uint64) bool) iter.Seq2[Letter, error] {
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
func (m *maildirSource) inOrder(f *Folder, yield func(Letter, error) bool) (all []found, ok bool) {
	uids, err := m.uids(f.place)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !yield(Letter{}, &Bad{Name: f.Name, Err: err}) {
		return nil, false
	}
	all, err = m.files(f.place)
	if err != nil && !yield(Letter{}, &Bad{Name: f.Name, Err: err}) {
		return nil, false
	}
	for i := range all {
		all[i].uid = uids[all[i].base()]
	}
	slices.SortFunc(all, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.uid-1, b.uid-1), cmp.Compare(maildir.Arrived(a.name), maildir.Arrived(b.name)), cmp.Compare(a.base(), b.base()))
	})
	return all, true
}

func (m *maildirSource) read(dir string, one *found, words []string) (Letter, error) {
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
func (m *maildirSource) again(dir string, one *found) bool {
	files, _ := m.files(dir) // what is not found is named
	i := slices.IndexFunc(files, func(f found) bool { return f.base() == one.base() })
	if i >= 0 {
		one.name, one.fresh = files[i].name, files[i].fresh
	}
	return i >= 0
}

// maildirFlags reads the flags in a name.
func maildirFlags(name string, words []string) (flags []string) {
	_, info := maildir.Cut(name)
	letters, _ := maildir.Info(info)
	for i := range len(letters) {
		c := letters[i]
		if n := strings.IndexByte(maildir.Letters, c); n >= 0 {
			flags = append(flags, maildir.Flags[n])
		} else if n := int(c) - 'a'; n >= 0 && n < len(words) && words[n] != "" {
			flags = append(flags, words[n])
		} else if c == 'P' {
			flags = append(flags, "$Forwarded")
		}
	}
	return flags
}
