// Package maildir serves mail in Maildirs (maildir(5)), as procmail, mutt,
// Postfix and Dovecot have them: each message a file, its flags in the file's
// name, folders as Maildir++ (".Sent.2024") or as nested directories. UIDs,
// keywords and subscriptions are in dovecot-uidlist, dovecot-keywords and
// subscriptions, read and written as Dovecot does, so that a Maildir can go from
// one to the other, or be served by both.
package maildir

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"plic/internal/store/files"
	"plic/internal/vfs"
)

// Options is what a Format needs.
type Options struct {
	Host    string // of this host, for the names of files
	Now     func() time.Time
	Watcher *vfs.Watcher // nil: everything is looked at each time
	Log     *slog.Logger
	PID     int
}

// Format serves Maildirs.
type Format struct {
	o    Options
	mu   sync.Mutex
	held map[string]bool // locks of this process, by path
}

// New makes a Format.
func New(o Options) *Format {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.PID == 0 {
		o.PID = os.Getpid()
	}
	if o.Host == "" {
		o.Host = "localhost"
	}
	o.Host = strings.NewReplacer("/", `\057`, ":", `\072`, ",", "_").Replace(o.Host)
	return &Format{o: o, held: map[string]bool{}}
}

// The layouts of folders.
const (
	layoutPlus = "maildir++"
	layoutFS   = "fs"
)

// Open opens a Maildir. Options of a place are LAYOUT, INBOX (the path of
// another Maildir) and UTF-8; INDEX is of no meaning here.
func (f *Format) Open(_ context.Context, at files.Place) (files.Tree, error) {
	t := &tree{f: f, layout: layoutPlus}
	inbox := ""
	for name, value := range at.Options {
		switch name {
		case "LAYOUT":
			t.layout = strings.ToLower(value)
			if t.layout != layoutPlus && t.layout != layoutFS {
				return nil, fmt.Errorf("LAYOUT=%s is unknown: use Maildir++ or fs", value)
			}
		case "INBOX":
			inbox = value
		case "UTF-8":
			t.utf8 = true
		case "INDEX":
		default:
			return nil, fmt.Errorf("option %s is unknown: use LAYOUT, INBOX or UTF-8", name)
		}
	}
	root, err := f.place(at, at.Path)
	if err != nil {
		return nil, err
	}
	t.root = root
	t.inbox = root
	if inbox != "" && path.Clean(inbox) != at.Path {
		if !path.IsAbs(inbox) {
			return nil, fmt.Errorf("INBOX=%s is no absolute path", inbox)
		}
		if t.inbox, err = f.place(at, path.Clean(inbox)); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// place is a directory of the disk, or of a test's file system.
type place struct {
	vfs.FS
	path string // on the disk; "" if it is not there
}

func (f *Format) place(at files.Place, dir string) (place, error) {
	if at.FS != nil {
		if at.Make {
			if err := vfs.MakeDir(at.FS, dir); err != nil {
				return place{}, err
			}
		}
		return f.check(at, place{vfs.Below(at.FS, dir), ""})
	}
	if at.Make {
		if err := vfs.MakeOwned(dir, at.Owner); err != nil {
			return place{}, err
		}
	}
	fs, err := vfs.Within(dir, at.Owner)
	if vfs.NotExist(err) {
		return place{}, fmt.Errorf("%w: %w", files.ErrNoPlace, err)
	}
	if err != nil {
		return place{}, err
	}
	return f.check(at, place{fs, dir})
}

// check looks whether a Maildir is there: the directory alone may be where a disk
// is to be mounted.
func (f *Format) check(at files.Place, p place) (place, error) {
	if at.Make {
		return p, nil
	}
	_, err := p.Stat("cur")
	if vfs.NotExist(err) {
		if _, err := p.Stat("new"); err == nil {
			return p, nil
		}
		return p, fmt.Errorf("%w: there is no directory cur in it", files.ErrNoPlace)
	}
	return p, err
}

// on is a path on the disk, to watch; "" if it is not there.
func (p place) on(name string) string {
	if p.path == "" {
		return ""
	}
	return filepath.Join(p.path, name)
}

// errNotWatched says that there is nobody who tells of changes.
var errNotWatched = errors.New("changes are not told of here")

// watch has changes in a directory told.
func (f *Format) watch(p place, dir string, changed func(name string)) (stop func(), err error) {
	if f.o.Watcher == nil || p.path == "" {
		return nil, errNotWatched
	}
	return f.o.Watcher.Watch(p.on(dir), changed)
}
