package maildir

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/store/files"
	"plic/internal/vfs"
)

// box is a folder: what was read of it, and what is known to have changed since.
type box struct {
	t       *tree
	p       place
	dir     string
	holding atomic.Bool // the lock is taken
	watched atomic.Bool

	mu       sync.Mutex
	messages map[uint64]*message
	read     bool
	cur, new stamp // of the directories, when they were read
	dirty    bool  // something has changed since, nobody knows what
	deaf     bool  // the watch does not tell of all
	told     told  // what has changed since, as the watch says
	lists    bool  // another program has given UIDs or keywords since the last Scan
	whole    bool  // more may differ from the index than recent
	recent   map[uint64]bool
	last     *files.Scan // the one before, as long as it is what there is
	list     uidlist
	words    keywords
	unlisted bool // messages with UIDs are not in the list
	swept    time.Time
}

// at is a path below the folder.
func (b *box) at(elem ...string) string {
	return b.p.PathJoin(append([]string{b.dir}, elem...)...)
}

// path is where a message is.
func (b *box) path(m *message) string { return b.at(m.dir(), m.name()) }

// Header reads what the list of UIDs says.
func (b *box) Header(context.Context) (files.Header, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.readUIDs()
	return b.list.head, err
}

// Scan reads the folder, if it may have changed. As long as the watch says what
// has, that is all that is looked at.
func (b *box) Scan(_ context.Context, index files.Index, again bool) (*files.Scan, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !again { // the index agrees with the last one
		b.whole, b.recent, b.last = false, nil, nil
	}
	changed, err := b.refresh()
	if changed {
		b.last = nil
	}
	if err != nil || !changed && !again {
		return nil, err
	}
	if b.last != nil { // what is much is taken over in parts, and asked for at each
		return b.last, nil
	}
	b.lists = false
	b.sweep()
	s := &files.Scan{Header: b.list.head, Keywords: slices.Clone(b.words.words), Part: !b.whole}
	var fresh []*message
	if b.whole {
		s.Messages = make([]files.Seen, 0, len(b.messages))
		for key, m := range b.messages {
			fresh = b.see(s, index, fresh, key, m)
		}
	}
	for key := range b.recent {
		if m := b.messages[key]; m == nil {
			s.Gone = append(s.Gone, key)
		} else if !b.whole {
			fresh = b.see(s, index, fresh, key, m)
		}
	}
	inOrder(fresh)
	for _, m := range fresh {
		s.Messages = append(s.Messages, files.Seen{Key: keyOf(m.base), Flags: m.flags()})
	}
	b.last = s
	return s, nil
}

// see finds the UID of a message, and adds it to a scan; to fresh if it has none.
func (b *box) see(s *files.Scan, index files.Index, fresh []*message, key uint64, m *message) []*message {
	l, isListed := b.list.entries[key]
	known, isKnown := index.UID(key)
	switch {
	case isListed:
		m.uid = l.uid
		if size, wire := l.sizes(); size > 0 {
			m.size, m.wire = size, wire
		}
	case isKnown:
		m.uid, b.unlisted = known, true
	default:
		m.uid = 0
		return append(fresh, m)
	}
	s.Messages = append(s.Messages, files.Seen{Key: key, UID: l.uid, Flags: m.flags()})
	return fresh
}

// refresh reads what may have changed, and says whether that is anything. b.mu
// is held.
func (b *box) refresh() (changed bool, err error) {
	if err := errors.Join(b.readUIDs(), b.readKeywords()); err != nil {
		return false, err
	}
	b.whole = b.whole || b.lists
	cur, fresh := b.stamps()
	if b.read && !b.dirty {
		if b.as(cur, fresh) && b.told.nothing() {
			return b.lists, nil
		}
		if b.watched.Load() {
			if some, ok := b.follow(cur, fresh); ok {
				return b.lists || some, nil
			}
		}
	}
	return true, b.readFiles(cur, fresh)
}

func (b *box) stamps() (cur, fresh stamp) {
	return b.t.stampOf(b.p, b.at("cur")), b.t.stampOf(b.p, b.at("new"))
}

// as says that the directories are as they were read. Who is told of changes
// need not wait until time tells them.
func (b *box) as(cur, fresh stamp) bool {
	return b.cur.same(cur) && b.new.same(fresh) && (b.watched.Load() && !b.deaf || b.cur.settled() && b.new.settled())
}

// readFiles reads the directories. b.mu is held.
func (b *box) readFiles(cur, fresh stamp) error {
	b.dirty, b.whole = true, true // until all is read
	b.told.take()                 // it will be seen
	next, err := b.listFiles()
	if err != nil {
		return err
	}
	// A file that is renamed while its directory is read may be left out. So who
	// is missing is looked for again.
	for range 3 {
		if !b.missing(next) {
			break
		}
		now, again := b.stamps()
		if now.inode != 0 && cur.same(now) && fresh.same(again) && cur.settled() && fresh.settled() {
			break
		}
		cur, fresh = now, again
		more, err := b.listFiles()
		if err != nil {
			return err
		}
		same := len(more) == len(next)
		next = more
		if same {
			break
		}
	}
	for key, m := range next {
		if had := b.messages[key]; had != nil {
			m.uid, m.size, m.wire = had.uid, had.size, had.wire
		}
	}
	b.messages, b.cur, b.new, b.read, b.dirty = next, cur, fresh, true, false
	return nil
}

func (b *box) missing(next map[uint64]*message) bool {
	for key := range b.messages {
		if next[key] == nil {
			return true
		}
	}
	return false
}

// listFiles lists new and then cur, so that what moves from one to the other is
// not missed.
func (b *box) listFiles() (map[uint64]*message, error) {
	next := make(map[uint64]*message, len(b.messages)+16)
	for _, dir := range []string{"new", "cur"} {
		names, err := b.p.List(b.at(dir))
		if vfs.NotExist(err) && dir == "new" {
			continue
		}
		if vfs.NotExist(err) && b.dir == "." {
			return nil, fmt.Errorf("%w: %w", files.ErrNoPlace, err)
		}
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			m, ok := parseName(name, dir == "new")
			if !ok {
				continue
			}
			key := keyOf(m.base)
			if had := next[key]; had != nil && had.base == m.base && had.fresh == m.fresh {
				b.t.f.o.Log.Warn("two files have the name of one message", "folder", b.p.on(b.dir), "file", name, "other", had.name())
			}
			next[key] = &m
		}
	}
	return next, nil
}

// How old what is left in tmp may be, maildir(5), and how often that is looked
// for.
const (
	tmpAge     = 36 * time.Hour
	sweepEvery = time.Hour
)

// sweep removes what deliveries that never ended have left. b.mu is held.
func (b *box) sweep() {
	now := b.t.f.o.Now()
	if now.Sub(b.swept) < sweepEvery {
		return
	}
	b.swept = now
	names, err := b.p.List(b.at("tmp"))
	if err != nil {
		return
	}
	for _, name := range names {
		info, err := b.p.Stat(b.at("tmp", name))
		if err != nil || vfs.Inode(info) == 0 || now.Sub(info.ModTime()) < tmpAge {
			continue
		}
		if err := b.p.RemoveAll(b.at("tmp", name)); err != nil {
			b.t.f.o.Log.Warn("a file left in tmp cannot be removed", "folder", b.p.on(b.dir), "file", name, "error", err)
		}
	}
}

// find gives where a message is, looking again if try says that it is there no
// more; engine.ErrNotFound.
func (b *box) find(key uint64, try func(m message) error) error {
	for again := range 3 {
		b.mu.Lock()
		m := b.messages[key]
		if !b.read || again > 0 {
			cur, fresh := b.stamps()
			if err := b.readFiles(cur, fresh); err != nil {
				b.mu.Unlock()
				return err
			}
			b.dirty = true // what was read now is to be compared
			m = b.messages[key]
		}
		if m == nil {
			b.mu.Unlock()
			break
		}
		at := *m
		b.mu.Unlock()
		if err := try(at); !vfs.NotExist(err) {
			return err
		}
	}
	return engine.ErrNotFound
}

// Describe reads what the index must have of messages, several at the same time.
func (b *box) Describe(ctx context.Context, keys []uint64) ([]files.Description, error) {
	out := make([]files.Description, len(keys))
	var next atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(keys)) {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(keys)) && failed.Load() == nil; i = next.Add(1) - 1 {
				err := ctx.Err()
				if err == nil {
					err = b.describe(keys[i], &out[i])
				}
				if err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	return out, nil
}

// describe reads what the index must have of one message.
func (b *box) describe(key uint64, d *files.Description) error {
	err := b.find(key, func(m message) error {
		f, err := b.p.Open(b.path(&m))
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		d.Internal = info.ModTime()
		if d.Size = m.wire; m.wire > 0 && m.size == info.Size() {
			return nil
		}
		d.Size, err = wireSize(f, info.Size(), m.base)
		b.counted(key, info.Size(), d.Size)
		return err
	})
	if d.Gone = errors.Is(err, engine.ErrNotFound) || vfs.NotExist(err); d.Gone {
		return nil
	}
	return err
}

// counted notes how long a message is.
func (b *box) counted(key uint64, size, wire int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if m := b.messages[key]; m != nil {
		m.size, m.wire = size, wire
	}
}

// Open reads a message.
func (b *box) Open(_ context.Context, key uint64) (body mail.Body, err error) {
	err = b.find(key, func(m message) error {
		f, err := b.p.Open(b.path(&m))
		if err != nil {
			return err
		}
		body, err = newBody(f, m.base)
		return err
	})
	return body, err
}

// Number notes UIDs.
func (b *box) Number(_ context.Context, h files.Header, uids []files.Numbered) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var added []*message
	for _, u := range uids {
		if m := b.messages[u.Key]; m != nil {
			m.uid = u.UID
			added = append(added, m)
		}
	}
	defer b.relist()
	return b.writeUIDs(h, added)
}

// relist has the Scan before say what the list does now: the index may not follow.
// b.mu is held.
func (b *box) relist() {
	if b.last == nil {
		return
	}
	b.last.Header = b.list.head
	for i := range b.last.Messages {
		s := &b.last.Messages[i]
		s.UID = b.list.entries[s.Key].uid
	}
}
