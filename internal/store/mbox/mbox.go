// Package mbox serves mail in mbox files, RFC 4155, in place, beside mutt,
// mail(1), procmail, Dovecot and whatever else uses them: a file for each
// mailbox, with UIDs, flags and keywords in X-IMAPbase, X-UID, Status, X-Status and
// X-Keywords. Files are locked as the others do it.
//
// New messages are appended. Flags are changed in place where there is room for
// them, which every message has that was written here. What moves other octets
// writes a new file and puts it in the place of the old one, so that a crash leaves
// one or the other. Where messages are in a large file is noted, so that it is read
// as a whole once.
package mbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"plic/internal/imap"
	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/store/files"
	"plic/internal/vfs"
)

// Options is what a Format needs.
type Options struct {
	Now     func() time.Time
	Watcher *vfs.Watcher // nil: everything is looked at each time
	Log     *slog.Logger
	Zone    *time.Location // of From_ lines; default that of the system
	Locks   []string       // unless a place says others; default dotlock, fcntl
	Wait    time.Duration  // for the locks of others; 30 seconds
}

// Format serves mbox files.
type Format struct {
	o Options

	mu   sync.Mutex
	held map[string]chan struct{} // files that this process has locked
}

// New makes a Format.
func New(o Options) *Format {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Zone == nil {
		o.Zone = time.Local
	}
	if len(o.Locks) == 0 {
		o.Locks = []string{lockDot, lockFcntl}
	}
	if o.Wait <= 0 {
		o.Wait = 30 * time.Second
	}
	return &Format{o: o, held: map[string]chan struct{}{}}
}

const (
	inboxName   = "INBOX"
	ownDir      = ".plic" // logs and indexes of ours, below the root
	subsName    = ".subscriptions"
	belowSuffix = ".sbd" // the directory of what is below a mailbox
	lockSuffix  = ".lock"
)

// place is a directory of the disk, or of a test's file system.
type place struct {
	vfs.FS
	path string
	disk bool
}

// Open opens a directory of mbox files. Options of a place are INBOX, the file of
// that mailbox, LOCKS: dotlock, fcntl and flock with "+" between, in the order in
// which they are taken, and WAIT, for how many seconds others may hold them.
func (f *Format) Open(_ context.Context, at files.Place) (files.Tree, error) {
	t := &tree{f: f, locks: f.o.Locks, wait: f.o.Wait, inbox: "inbox"}
	var inbox string
	for name, value := range at.Options {
		switch name {
		case "INBOX":
			inbox = path.Clean(value)
		case "LOCKS":
			t.locks = strings.Split(strings.ToLower(value), "+")
		case "WAIT":
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 || n > 600 {
				return nil, fmt.Errorf("WAIT=%s: use a number of seconds from 1 to 600", value)
			}
			t.wait = time.Duration(n) * time.Second
		case "INDEX":
		default:
			return nil, fmt.Errorf("option %s is unknown: use INBOX, LOCKS or WAIT", name)
		}
	}
	for _, l := range t.locks {
		if l != lockDot && l != lockFcntl && l != lockFlock {
			return nil, fmt.Errorf("LOCKS: %q is unknown: use dotlock, fcntl and flock", l)
		}
	}
	var err error
	if t.root, err = f.place(at, at.Path); err != nil {
		return nil, err
	}
	t.inboxAt = t.root
	if inbox != "" && inbox != path.Join(at.Path, "inbox") {
		if !path.IsAbs(inbox) {
			return nil, fmt.Errorf("INBOX=%s is no absolute path", inbox)
		}
		dir := at
		if dir.Path = path.Dir(inbox); dir.Path != at.Path {
			dir.Owner = vfs.Owner{} // the spool is everybody's
			dir.Make = at.FS != nil
			if t.inboxAt, err = f.place(dir, dir.Path); err != nil {
				return nil, err
			}
		}
		t.inbox = path.Base(inbox)
	}
	return t, t.recoverAll()
}

func (f *Format) place(at files.Place, dir string) (place, error) {
	if at.FS != nil {
		if at.Make {
			if err := vfs.MakeDir(at.FS, dir); err != nil {
				return place{}, err
			}
		}
		p := place{vfs.Below(at.FS, dir), dir, false}
		if _, err := p.Stat("."); vfs.NotExist(err) {
			return p, fmt.Errorf("%w: %w", files.ErrNoPlace, err)
		}
		return p, nil
	}
	if at.Make {
		if err := vfs.MakeOwned(dir, at.Owner); err != nil {
			return place{}, err
		}
	}
	fs, err := vfs.Within(dir, at.Owner)
	if vfs.NotExist(err) {
		err = fmt.Errorf("%w: %w", files.ErrNoPlace, err)
	}
	return place{fs, dir, true}, err
}

// tree is the mailboxes of an account.
type tree struct {
	f       *Format
	root    place
	inboxAt place
	inbox   string // name of its file there
	locks   []string
	wait    time.Duration

	listing *files.Listing
}

// file finds the file of a mailbox.
func (t *tree) file(name string) (place, string, error) {
	if name == inboxName {
		return t.inboxAt, t.inbox, nil
	}
	at := ""
	levels := strings.Split(name, "/")
	for i, l := range levels {
		if l == "" || l[0] == '.' || strings.HasSuffix(l, belowSuffix) || strings.HasSuffix(l, lockSuffix) {
			return place{}, "", fmt.Errorf("%q cannot be the name of a file: %w", l, engine.ErrBadName)
		}
		l = imap.EncodeUTF7(l)
		if len(l) > 250-len(belowSuffix) {
			return place{}, "", fmt.Errorf("%.60q is too long for a file: %w", l, engine.ErrBadName)
		}
		if i == len(levels)-1 {
			at = path.Join(at, l)
			break
		}
		plain := path.Join(at, l)
		if info, err := t.root.Stat(plain); err == nil && info.IsDir() {
			at = plain
		} else {
			at = plain + belowSuffix
		}
	}
	if t.inboxAt.path == t.root.path && at == t.inbox {
		return place{}, "", fmt.Errorf("%q is the file of INBOX: %w", at, engine.ErrBadName)
	}
	if info, err := t.root.Stat(at); err == nil && info.IsDir() {
		return place{}, "", fmt.Errorf("%q is a directory: %w", at, engine.ErrBadName)
	}
	return t.root, at, nil
}

// List walks through the files.
func (t *tree) List(context.Context) (*files.Listing, error) {
	l := &files.Listing{Mailboxes: []string{inboxName}}
	if err := t.walk(".", "", &l.Mailboxes, 0); err != nil {
		return nil, err
	}
	slices.Sort(l.Mailboxes[1:])
	var err error
	if l.Subscribed, err = t.subscribed(); err != nil {
		return nil, err
	}
	if t.listing != nil && slices.Equal(l.Mailboxes, t.listing.Mailboxes) && slices.Equal(l.Subscribed, t.listing.Subscribed) {
		return t.listing, nil
	}
	t.listing = l
	return l, nil
}

const maxDepth = 64

func (t *tree) walk(dir, prefix string, into *[]string, depth int) error {
	names, err := t.root.List(dir)
	if err != nil || depth > maxDepth {
		return err
	}
	for _, n := range names {
		at := path.Join(dir, n)
		info, err := t.root.Stat(at)
		if err != nil || n[0] == '.' || strings.HasSuffix(n, lockSuffix) {
			continue
		}
		base := strings.TrimSuffix(n, belowSuffix)
		name, err := imap.DecodeUTF7(base)
		if err != nil {
			name = base
		}
		switch {
		case info.IsDir():
			if err := t.walk(at, prefix+name+"/", into, depth+1); err != nil {
				return err
			}
		case at == t.inbox && t.inboxAt.path == t.root.path || !t.isMbox(at, info):
		case !slices.Contains(*into, prefix+name):
			*into = append(*into, prefix+name)
		}
	}
	return nil
}

// isMbox says that a file is empty or begins with a From_ line.
func (t *tree) isMbox(at string, info fs.FileInfo) bool {
	if !info.Mode().IsRegular() {
		return false
	}
	if info.Size() == 0 {
		return true
	}
	f, err := t.root.Open(at)
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, min(16, info.Size()))
	if _, err := f.ReadAt(head, 0); err != nil {
		return false
	}
	return strings.HasPrefix(strings.TrimLeft(string(head), "\r\n"), "From ")
}

// Create makes an empty file.
func (t *tree) Create(_ context.Context, name string) error {
	p, at, err := t.file(name)
	if err != nil {
		return err
	}
	if err := vfs.MakeDir(p, p.PathDir(at)); err != nil {
		return err
	}
	if _, err := p.Stat(at); err == nil {
		return nil
	}
	f, err := p.Create(at, vfs.Mail)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close(), vfs.SyncDir(p, p.PathDir(at)))
}

// Rename renames a file; what is below stays, and is asked for by itself.
func (t *tree) Rename(_ context.Context, from, to string) error {
	p, old, err := t.file(from)
	if err != nil {
		return err
	}
	q, next, err := t.file(to)
	if err != nil {
		return err
	}
	if _, err := p.Stat(old); vfs.NotExist(err) {
		if _, err := q.Stat(next); err == nil {
			return nil
		}
	}
	if p.path != q.path {
		return fmt.Errorf("INBOX is in another directory: %w", engine.ErrBadName)
	}
	if err := vfs.MakeDir(q, q.PathDir(next)); err != nil {
		return err
	}
	if err := p.Rename(old, next); err != nil {
		return err
	}
	return errors.Join(vfs.SyncDir(p, p.PathDir(old)), vfs.SyncDir(q, q.PathDir(next)))
}

// Remove removes a file; INBOX becomes empty.
func (t *tree) Remove(_ context.Context, name string) error {
	p, at, err := t.file(name)
	if err != nil {
		return err
	}
	if err := p.Remove(at); err != nil && !vfs.NotExist(err) {
		return err
	}
	return vfs.SyncDir(p, p.PathDir(at))
}

func (t *tree) subscribed() (names []string, err error) {
	text, err := readFile(t.root, subsName)
	if vfs.NotExist(err) {
		return nil, nil
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		name, err := imap.DecodeUTF7(line)
		if err != nil {
			name = line
		}
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, err
}

// Subscribe writes the list that Dovecot keeps for mbox files.
func (t *tree) Subscribe(_ context.Context, names []string) error {
	var b strings.Builder
	for _, n := range names {
		levels := strings.Split(n, "/")
		for i := range levels {
			levels[i] = imap.EncodeUTF7(levels[i])
		}
		b.WriteString(strings.Join(levels, "/") + "\n")
	}
	return replaceFile(t.root, subsName, []byte(b.String()))
}

// Box gives access to a mailbox.
func (t *tree) Box(name string) (files.Box, error) {
	p, at, err := t.file(name)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(p.path + "\x00" + at))
	return &box{t: t, p: p, at: at, own: path.Join(ownDir, hex.EncodeToString(sum[:12]))}, nil
}

// errNotWatched says that there is nobody who tells of changes.
var errNotWatched = errors.New("changes are not told of here")

// Watch tells of files that come and go.
func (t *tree) Watch(changed func()) (func(), error) {
	if t.f.o.Watcher == nil || !t.root.disk {
		return nil, errNotWatched
	}
	return t.f.o.Watcher.Watch(t.root.path, func(name string) {
		if !strings.HasSuffix(name, lockSuffix) && name != ownDir {
			changed()
		}
	})
}

// pathOf is where a file is, for messages and locks.
func (p place) pathOf(name string) string { return filepath.Join(p.path, name) }

// recoverAll removes what a crash has left beside the mailboxes at the top.
func (t *tree) recoverAll() error {
	for _, p := range []place{t.root, t.inboxAt} {
		names, err := p.List(".")
		if err != nil {
			return err
		}
		for _, n := range names {
			base, ok := strings.CutSuffix(n, lockSuffix)
			dot := strings.LastIndexByte(base, '.')
			if !ok || dot < 0 {
				continue
			}
			id, err := mail.ParseID(base[dot+1:])
			if err != nil || t.f.o.Now().Sub(id.Time()) < lockStale {
				continue
			}
			if err := p.Remove(n); err != nil && !vfs.NotExist(err) {
				t.f.o.Log.Warn("a file left by a crash cannot be removed", "file", p.pathOf(n), "error", err)
			}
		}
	}
	return nil
}
