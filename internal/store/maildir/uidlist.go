package maildir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"plic/internal/mail"
	"plic/internal/maildir"
	"plic/internal/store/engine"
	"plic/internal/store/files"
	"plic/internal/vfs"
)

const (
	uidlistName = "dovecot-uidlist"
	lockName    = "dovecot-uidlist.lock"
)

// uidlist is what dovecot-uidlist says.
type uidlist struct {
	stamp   stamp
	loaded  bool
	head    files.Header
	rest    []string // other fields of the header
	lines   int
	ragged  bool // the last line has no end
	entries map[uint64]listed
}

// listed is one line of it.
type listed struct {
	uid   engine.UID
	extra string // fields between UID and base
	base  string
}

// sizes are those that the list has of a message, as a name may have them; 0 if it
// does not have both.
func (l *listed) sizes() (file, wire int64) {
	for field := range strings.FieldsSeq(l.extra) {
		n, err := strconv.ParseInt(field[1:], 10, 64)
		switch {
		case err != nil:
		case field[0] == 'S':
			file = n
		case field[0] == 'W':
			wire = n
		}
	}
	if file <= 0 || wire < file {
		return 0, 0
	}
	return file, wire
}

// readUIDs reads the list if it is another than before, and notes it. b.mu is
// held.
func (b *box) readUIDs() error {
	now := b.t.stampOf(b.p, b.at(uidlistName))
	if b.list.loaded && b.list.stamp.same(now) { // it grows, or is another file
		return nil
	}
	text, err := readAll(b.p, b.at(uidlistName))
	if err != nil && !vfs.NotExist(err) {
		return err
	}
	u := parseUIDs(text)
	b.lists = b.lists || !b.list.loaded || u.head != b.list.head || !maps.Equal(u.entries, b.list.entries)
	u.stamp = now
	b.list = u
	return nil
}

// parseUIDs reads a list of the third or first kind. Lines that are torn or make
// no sense are left out.
func parseUIDs(text string) uidlist {
	u := uidlist{loaded: true, entries: map[uint64]listed{}, ragged: text != "" && !strings.HasSuffix(text, "\n")}
	var l maildir.List
	for rest := text; rest != ""; {
		line, more, ended := strings.Cut(rest, "\n")
		if rest = more; !ended {
			break
		}
		if e, ok := l.Line(line); ok {
			u.entries[keyOf(e.Base)] = listed{engine.UID(e.UID), e.Extra, e.Base}
		}
	}
	u.head, u.rest, u.lines = files.Header{UIDValidity: l.UIDValidity, UIDNext: engine.UID(l.UIDNext)}, l.Rest, l.Lines
	return u
}

func (l listed) String() string {
	return maildir.Entry{UID: uint32(l.uid), Extra: l.extra, Base: l.base}.String()
}

// writeUIDs makes the list say what the box knows, and the header at least h:
// by lines appended, or anew where that cannot be. The lock and b.mu are held.
func (b *box) writeUIDs(h files.Header, added []*message) error {
	if err := b.readUIDs(); err != nil {
		return err
	}
	u := &b.list
	if h.UIDValidity == 0 {
		h.UIDValidity = u.head.UIDValidity
	}
	var fresh []listed
	next := u.head.UIDNext
	for _, m := range added {
		if l, ok := u.entries[keyOf(m.base)]; !ok || l.uid != m.uid {
			fresh = append(fresh, listed{uid: m.uid, base: m.base})
			next = max(next, m.uid+1)
		}
	}
	slices.SortFunc(fresh, func(x, y listed) int { return cmp.Compare(x.uid, y.uid) })
	whole := u.head.UIDValidity != h.UIDValidity || next < h.UIDNext || u.ragged || b.unlisted ||
		u.lines+len(fresh) > 2*len(b.messages)+1000
	rises := len(fresh) == 0 || fresh[0].uid >= u.head.UIDNext
	switch {
	case whole || !rises:
		return b.rewriteUIDs(files.Header{UIDValidity: h.UIDValidity, UIDNext: max(next, h.UIDNext)})
	case len(fresh) == 0:
		return nil
	}
	return b.appendUIDs(fresh, next)
}

// appendUIDs adds lines at the end.
func (b *box) appendUIDs(lines []listed, next engine.UID) error {
	f, err := b.p.OpenReadWrite(b.at(uidlistName), vfs.Mail)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil {
		var text strings.Builder
		for _, l := range lines {
			text.WriteString(l.String())
		}
		_, err = f.WriteAt([]byte(text.String()), info.Size())
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	for _, l := range lines {
		b.list.entries[keyOf(l.base)] = l
	}
	b.list.lines += len(lines)
	b.list.head.UIDNext = max(b.list.head.UIDNext, next)
	b.list.stamp = b.t.stampOf(b.p, b.at(uidlistName))
	return nil
}

// rewriteUIDs writes the list of all messages with a UID.
func (b *box) rewriteUIDs(h files.Header) error {
	var all []listed
	for key, m := range b.messages {
		if m.uid == 0 {
			continue
		}
		l := listed{uid: m.uid, base: m.base}
		if had, ok := b.list.entries[key]; ok && had.uid == m.uid {
			l.extra = had.extra
		}
		all = append(all, l)
		h.UIDNext = max(h.UIDNext, m.uid+1)
	}
	slices.SortFunc(all, func(x, y listed) int { return cmp.Compare(x.uid, y.uid) })
	rest := b.list.rest
	if !slices.ContainsFunc(rest, func(f string) bool { return f[0] == 'G' }) {
		rest = append(slices.Clone(rest), fmt.Sprintf("G%016x%016x", rand.Uint64(), rand.Uint64()))
	}
	var text strings.Builder
	fmt.Fprintf(&text, "3 V%d N%d %s\n", h.UIDValidity, h.UIDNext, strings.Join(rest, " "))
	entries := make(map[uint64]listed, len(all))
	for _, l := range all {
		text.WriteString(l.String())
		entries[keyOf(l.base)] = l
	}
	if err := b.t.replace(b.p, b.dir, uidlistName, text.String(), false); err != nil {
		return err
	}
	b.list = uidlist{loaded: true, head: h, rest: rest, lines: len(all), entries: entries, stamp: b.t.stampOf(b.p, b.at(uidlistName))}
	b.unlisted = false
	return nil
}

// How long to wait for the lock of another program, and when one is taken for
// left by a program that died.
const (
	lockWait  = 10 * time.Second
	lockStale = 2 * time.Minute
	lockTorn  = 2 * time.Second
)

// errLocked says that another program has the lock of a folder.
var errLocked = errors.New("another program has locked the folder")

// Hold takes the lock that Dovecot takes when it gives UIDs: a file beside the
// list, which holds the number of the process and the host.
func (b *box) Hold(ctx context.Context) (release func(), err error) {
	text := fmt.Sprintf("%d:%s", b.t.f.o.PID, b.t.f.o.Host)
	temp := b.at("tmp", "lock."+mail.NewID(b.t.f.o.Now()).String())
	f, err := b.p.Create(temp, vfs.Mail)
	if err != nil {
		return nil, err
	}
	_, err = f.Write([]byte(text))
	if err = errors.Join(err, f.Close()); err == nil {
		err = b.take(ctx, temp, text)
	}
	if err = errors.Join(err, b.p.Remove(temp)); err != nil {
		return nil, err
	}
	b.holding.Store(true)
	return func() {
		b.holding.Store(false)
		_ = b.p.Remove(b.at(lockName)) // one that is left is found out by its text
		b.t.f.lockHeld(b.lockPath(), false)
	}, nil
}

// lockPath names the lock among those of this process.
func (b *box) lockPath() string {
	if b.p.path != "" {
		return b.p.on(b.dir)
	}
	return fmt.Sprintf("%p %s", b.t, b.dir)
}

func (f *Format) lockHeld(path string, held bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if held {
		f.held[path] = true
	} else {
		delete(f.held, path)
	}
}

func (f *Format) holds(path string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held[path]
}

// take makes a link to a file the lock, when there is none.
func (b *box) take(ctx context.Context, temp, text string) error {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for wait := 2 * time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		err := b.p.Link(temp, b.at(lockName))
		if err == nil {
			b.t.f.lockHeld(b.lockPath(), true)
			return nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return err
		}
		if b.abandoned() {
			if err := b.p.Remove(b.at(lockName)); err != nil && !vfs.NotExist(err) {
				return err
			}
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%s: %w", lockName, errLocked)
		}
	}
}

// abandoned says that the program that took the lock is there no more.
func (b *box) abandoned() bool {
	name := b.at(lockName)
	info, err := b.p.Stat(name)
	if err != nil {
		return false
	}
	onDisk, age := vfs.Inode(info) != 0, b.t.f.o.Now().Sub(info.ModTime())
	if onDisk && age > lockStale {
		return true
	}
	text, err := readAll(b.p, name)
	if err != nil {
		return false
	}
	number, host, ok := strings.Cut(strings.TrimSpace(text), ":")
	pid, err := strconv.Atoi(number)
	if !ok || err != nil { // torn by a power cut
		return !b.t.f.holds(b.lockPath()) && (!onDisk || age > lockTorn)
	}
	if host != b.t.f.o.Host {
		return false
	}
	if pid == b.t.f.o.PID {
		return !b.t.f.holds(b.lockPath())
	}
	return !vfs.Alive(pid)
}
