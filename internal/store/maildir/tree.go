package maildir

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"plic/internal/mail"
	"plic/internal/store/files"
	"plic/internal/vfs"
)

// tree is the folders of an account.
type tree struct {
	f           *Format
	root, inbox place
	layout      string
	utf8        bool

	listing *files.Listing
	at      stamp // of the root, when the listing was made
	subs    stamp
	tabs    bool // subscriptions have tabs between levels
}

// stamp tells whether a file or directory is as it was.
type stamp struct {
	inode uint64
	size  int64
	time  time.Time
	seen  time.Time // when it was looked at
}

// stampOf looks at a file; zero if it is not there.
func (t *tree) stampOf(p place, name string) stamp {
	info, err := p.Stat(name)
	if err != nil {
		return stamp{}
	}
	return stamp{vfs.Inode(info), info.Size(), info.ModTime(), t.f.o.Now()}
}

// settle is how long a change may be that the time of its directory does not
// tell, since another had the same time.
const settle = time.Second

// same says that nothing can have changed. Without a disk nobody knows.
func (s stamp) same(now stamp) bool {
	return s.inode == now.inode && s.size == now.size && s.time.Equal(now.time) && (s.inode != 0 || s.seen.IsZero() && now.seen.IsZero())
}

// settled says that a change after the look would have another time.
func (s stamp) settled() bool { return s.seen.Sub(s.time) > settle }

// List says what folders and subscriptions there are.
func (t *tree) List(context.Context) (*files.Listing, error) {
	at, subs := t.stampOf(t.root, "."), t.stampOf(t.root, subscriptionsName)
	if t.listing != nil && t.layout == layoutPlus && t.at.same(at) && t.at.settled() && t.subs.same(subs) && (subs.seen.IsZero() || t.subs.settled()) {
		return t.listing, nil
	}
	names, err := t.folders()
	if err != nil {
		return nil, err
	}
	subscribed, err := t.subscribed()
	if err != nil {
		return nil, err
	}
	l := &files.Listing{Mailboxes: append([]string{inboxName}, names...), Subscribed: subscribed}
	t.at, t.subs = at, subs
	if t.listing != nil && slices.Equal(l.Mailboxes, t.listing.Mailboxes) && slices.Equal(l.Subscribed, t.listing.Subscribed) {
		return t.listing, nil
	}
	t.listing = l
	return l, nil
}

// Create makes a folder, which may be there.
func (t *tree) Create(_ context.Context, name string) error {
	p, dir, err := t.dir(name)
	if err != nil {
		return err
	}
	for _, sub := range []string{"tmp", "new", "cur"} { // what has cur is whole
		if err := vfs.MakeDir(p, p.PathJoin(dir, sub)); err != nil {
			return err
		}
	}
	if t.layout == layoutPlus && name != inboxName {
		f, err := p.Create(p.PathJoin(dir, "maildirfolder"), vfs.Mail)
		if err == nil {
			err = f.Close()
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	t.listing = nil
	return nil
}

// Rename renames a folder. In nested directories those below go along.
func (t *tree) Rename(_ context.Context, from, to string) error {
	p, old, err := t.dir(from)
	if err != nil {
		return err
	}
	_, next, err := t.dir(to)
	if err != nil {
		return err
	}
	if _, err := p.Stat(old); vfs.NotExist(err) {
		if _, err := p.Stat(next); err == nil {
			return nil
		}
	}
	if i, err := p.Stat(next); err == nil && i.IsDir() {
		// Only those below it are there, in nested directories.
		if err := t.merge(p, old, next); err != nil {
			return err
		}
	} else {
		if err := vfs.MakeDir(p, p.PathDir(next)); err != nil {
			return err
		}
		if err := p.Rename(old, next); err != nil {
			return err
		}
	}
	t.listing = nil
	return errors.Join(vfs.SyncDir(p, p.PathDir(next)), vfs.SyncDir(p, p.PathDir(old)))
}

// merge moves what makes a directory a mailbox into another that is none.
func (t *tree) merge(p place, old, next string) error {
	list, err := p.List(old)
	if err != nil {
		return err
	}
	for _, entry := range list {
		if !isOwn(entry) {
			continue
		}
		if err := p.Rename(p.PathJoin(old, entry), p.PathJoin(next, entry)); err != nil {
			return err
		}
	}
	_ = p.Remove(old) // those below it may be there
	return vfs.SyncDir(p, next)
}

// Remove removes a folder with its messages. It leaves the listing at once, and
// its files one by one.
func (t *tree) Remove(_ context.Context, name string) error {
	p, dir, err := t.dir(name)
	if err != nil {
		return err
	}
	t.listing = nil
	if _, err := p.Stat(dir); vfs.NotExist(err) {
		return nil
	}
	if t.layout == layoutPlus && name != inboxName {
		gone := p.PathJoin("tmp", "removed."+mail.NewID(t.f.o.Now()).String())
		if err := vfs.MakeDir(p, "tmp"); err != nil {
			return err
		}
		if err := p.Rename(dir, gone); err != nil {
			return err
		}
		if err := vfs.SyncDir(p, "."); err != nil {
			return err
		}
		return p.RemoveAll(gone)
	}
	list, err := p.List(dir)
	if err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b string) int { // cur first: without it, it is no mailbox
		return strings.Compare(strings.TrimPrefix(a, "cur"), strings.TrimPrefix(b, "cur"))
	})
	for _, entry := range list {
		if isOwn(entry) && entry != subscriptionsName {
			if err := p.RemoveAll(p.PathJoin(dir, entry)); err != nil {
				return err
			}
		}
	}
	if dir == "." {
		return vfs.SyncDir(p, ".")
	}
	_ = p.Remove(dir) // those below it may be there
	return vfs.SyncDir(p, p.PathDir(dir))
}

// Box gives access to a folder.
func (t *tree) Box(name string) (files.Box, error) {
	p, dir, err := t.dir(name)
	if err != nil {
		return nil, err
	}
	return &box{t: t, p: p, dir: dir, messages: map[uint64]*message{}}, nil
}

// Watch tells when a folder comes or goes, or subscriptions change.
func (t *tree) Watch(changed func()) (stop func(), err error) {
	return t.f.watch(t.root, ".", func(name string) {
		if name == "" || name == subscriptionsName || name[0] == '.' || t.layout == layoutFS && !isOwn(name) {
			changed()
		}
	})
}

const subscriptionsName = "subscriptions"

// subscriptionsHead begins a file of the second kind, with tabs between levels.
const subscriptionsHead = "V\t2\n\n"

// subscribed reads the file of subscriptions.
func (t *tree) subscribed() ([]string, error) {
	text, err := readAll(t.root, subscriptionsName)
	if vfs.NotExist(err) {
		t.tabs = true
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rest, tabs := strings.CutPrefix(text, subscriptionsHead)
	t.tabs = tabs
	sep := "."
	switch {
	case tabs:
		sep = "\t"
	case t.layout == layoutFS:
		sep = "/"
	}
	var names []string
	for line := range strings.SplitSeq(rest, "\n") {
		levels := strings.Split(line, sep)
		for i := range levels {
			if levels[i], err = t.decode(levels[i]); err != nil {
				break
			}
		}
		if line != "" && err == nil {
			names = append(names, strings.Join(levels, "/"))
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Subscribe writes it anew.
func (t *tree) Subscribe(_ context.Context, names []string) error {
	if _, err := t.subscribed(); err != nil { // its kind stays
		return err
	}
	var b strings.Builder
	sep := "."
	switch {
	case t.tabs:
		b.WriteString(subscriptionsHead)
		sep = "\t"
	case t.layout == layoutFS:
		sep = "/"
	}
	for _, name := range names {
		levels := strings.Split(name, "/")
		for i := range levels {
			levels[i] = t.encode(levels[i])
		}
		b.WriteString(strings.Join(levels, sep) + "\n")
	}
	t.listing = nil
	if err := vfs.MakeDir(t.root, "tmp"); err != nil {
		return err
	}
	return t.replace(t.root, ".", subscriptionsName, b.String(), true)
}

// replace puts a file in the place of another, whole.
func (t *tree) replace(p place, dir, name, text string, durable bool) error {
	temp := p.PathJoin(dir, "tmp", "plic."+mail.NewID(t.f.o.Now()).String())
	f, err := p.Create(temp, vfs.Mail)
	if err != nil {
		return err
	}
	if _, err = io.WriteString(f, text); err == nil && durable {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = p.Rename(temp, p.PathJoin(dir, name))
	}
	if err != nil {
		return errors.Join(err, p.Remove(temp))
	}
	if durable {
		return vfs.SyncDir(p, dir)
	}
	return nil
}

// maxControl bounds the files beside messages that are read whole.
const maxControl = 256 << 20

func readAll(p place, name string) (string, error) {
	f, err := p.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxControl))
	return string(b), err
}
