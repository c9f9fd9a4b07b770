package mbox

import (
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"plic/internal/mail"
	"plic/internal/mbox"
	"plic/internal/store/engine"
	"plic/internal/store/files"
	"plic/internal/vfs"
)

// box is a mailbox: where its messages are in the file, as far as it was read.
type box struct {
	t   *tree
	p   place
	at  string // the file
	own string // names of files of ours begin with it

	mu      sync.Mutex
	read    bool
	stamp   stamp
	entries []entry
	byKey   map[uint64]int
	seen    map[uint64]int // how often a message is there
	words   []string       // keyword n is bit keywordShift+n of an entry's flags
	base    *mbox.Base
	tail    int64 // octets at the end that are the beginning of a message that never came whole
	noted   int64 // how large the file was when the index was written
	unsure  bool  // flags of some messages may have changed since they were read
	news    bool  // more was read since the last Scan
	walked  time.Time
	held    *locked // while Hold lasts
}

// entry is a message.
type entry struct {
	at, next int64 // its octets, from the From_ line on
	behind   mbox.Extent
	known    bool // behind is
	key      uint64
	first    uint64     // what the key would be if no other message were the same
	fields   uint64     // what its fields are, but for those of the mailbox
	uid      engine.UID // 0 if none is known
	flags    engine.Flags
	written  bool // the file has the UID
	ours     bool // there is room for other flags
	pseudo   bool
}

// stamp tells whether a file is as it was.
type stamp struct {
	inode   uint64
	size    int64
	time    time.Time // which other programs may set back: mutt does
	changed time.Time // which they cannot; zero if it is not known
	seen    time.Time
}

// settled says that a change after the look would have another time: of some file
// systems that is in seconds, of others as often as the kernel's clock ticks.
func (s stamp) settled() bool {
	last := s.time
	if s.changed.After(last) {
		last = s.changed
	}
	if last.Nanosecond() != 0 {
		return s.seen.Sub(last) > 50*time.Millisecond
	}
	return s.seen.Sub(last) > time.Second
}

const (
	keywordShift = 8
	maxWords     = 56
)

// The system flags, as the store numbers them.
const (
	seen engine.Flags = 1 << iota
	answered
	flagged
	deleted
	draft
	system = 1<<5 - 1
)

func (b *box) stampOf(f vfs.File) (stamp, error) {
	info, err := f.Stat()
	if err != nil {
		return stamp{}, err
	}
	return stamp{vfs.Inode(info), info.Size(), info.ModTime(), vfs.Changed(info), b.t.f.o.Now()}, nil
}

// same says that nothing has changed.
func (s stamp) same(now stamp) bool { return s.alike(now) && s.settled() && s.inode != 0 }

// alike says so as far as the times tell.
func (s stamp) alike(now stamp) bool {
	return s.inode == now.inode && s.size == now.size && s.time.Equal(now.time) && s.changed.Equal(now.changed)
}

func (b *box) options() mbox.Options { return mbox.Options{Zone: b.t.f.o.Zone} }

// Hold takes the locks until release.
func (b *box) Hold(ctx context.Context) (func(), error) {
	l, err := b.lock(ctx, false)
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	b.held = l
	b.mu.Unlock()
	return func() {
		b.mu.Lock()
		b.held = nil
		b.mu.Unlock()
		l.use.Lock() // who still reads by it ends first
		defer l.use.Unlock()
		l.release()
	}, nil
}

// with runs something with the file locked, in which b.mu is held. A missing file
// is an empty one to who reads.
func (b *box) with(ctx context.Context, shared bool, do func(l *locked) error) error {
	b.mu.Lock()
	l := b.held
	if l != nil {
		l.use.RLock()
		defer l.use.RUnlock()
	}
	b.mu.Unlock()
	if l == nil {
		var err error
		if l, err = b.lock(ctx, shared); vfs.NotExist(err) && shared {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.forget()
			b.read = true
			return do(&locked{})
		} else if err != nil {
			return err
		}
		defer l.release()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return do(l)
}

func (b *box) forget() {
	b.read, b.stamp, b.entries, b.base, b.tail, b.noted, b.unsure = false, stamp{}, nil, nil, 0, 0, false
	b.byKey, b.seen, b.words = map[uint64]int{}, map[uint64]int{}, nil
}

// Header says what the file says. If it has messages that nobody has given a UID,
// the next is beyond all that are known.
func (b *box) Header(ctx context.Context) (h files.Header, err error) {
	err = b.with(ctx, true, func(l *locked) error {
		if err := b.refresh(l.file); err != nil {
			return err
		}
		h = b.header()
		for i := range b.entries {
			if e := &b.entries[i]; e.uid == 0 && !e.pseudo {
				h.UIDNext = math.MaxUint32
			}
		}
		return nil
	})
	return h, err
}

func (b *box) header() (h files.Header) {
	if b.base == nil {
		return h
	}
	h.UIDValidity, h.UIDNext = b.base.UIDValidity, engine.UID(b.base.LastUID)+1
	for i := range b.entries {
		if e := &b.entries[i]; e.written {
			h.UIDNext = max(h.UIDNext, e.uid+1)
		}
	}
	return h
}

// Scan reads what may have changed.
func (b *box) Scan(ctx context.Context, index files.Index, again bool) (s *files.Scan, err error) {
	torn := false
	err = b.with(ctx, true, func(l *locked) error {
		if err := b.refresh(l.file); err != nil || !b.news && !again {
			return err
		}
		b.news = false
		torn = b.tail > 0
		b.settleKeys(index)
		s = &files.Scan{Header: b.header(), Keywords: slices.Clone(b.words), Messages: make([]files.Seen, 0, len(b.entries))}
		for i := range b.entries {
			e := &b.entries[i]
			if e.pseudo {
				continue
			}
			if known, ok := index.UID(e.key); ok && !e.written {
				e.uid = known
			}
			seen := files.Seen{Key: e.key, Flags: e.flags}
			if e.written {
				seen.UID = e.uid
			}
			s.Messages = append(s.Messages, seen)
		}
		return nil
	})
	if torn && err == nil { // soon, so that no other program writes behind it
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if err := b.with(ctx, false, b.fresh); err != nil {
			b.t.f.o.Log.Warn("what a crash has left is still in the file", "mailbox", b.p.pathOf(b.at), "error", err)
		}
	}
	return s, err
}

// flags numbers what a status says.
func (b *box) flags(st *mbox.Status) (f engine.Flags) {
	for _, x := range []struct {
		set bool
		bit engine.Flags
	}{{st.Seen, seen}, {st.Answered, answered}, {st.Flagged, flagged}, {st.Deleted, deleted}, {st.Draft, draft}} {
		if x.set {
			f |= x.bit
		}
	}
	for _, k := range st.Keywords {
		n := slices.IndexFunc(b.words, func(have string) bool { return strings.EqualFold(have, k) })
		if n < 0 && len(b.words) < maxWords {
			n = len(b.words)
			b.words = append(b.words, k)
		}
		if n >= 0 {
			f |= 1 << (keywordShift + n)
		}
	}
	return f
}

// status is the other way: flags whose keywords have other numbers.
func status(f engine.Flags, words []string) mbox.Status {
	st := mbox.Status{
		Old: true, Seen: f&seen != 0, Answered: f&answered != 0, Flagged: f&flagged != 0, Deleted: f&deleted != 0, Draft: f&draft != 0,
	}
	for n, k := range words {
		if k != "" && f&(1<<(keywordShift+n)) != 0 {
			st.Keywords = append(st.Keywords, k)
		}
	}
	return st
}

// find gives a message as it is in the file; engine.ErrNotFound. b.mu is held.
func (b *box) find(f vfs.File, key uint64) (*entry, *mbox.Message, error) {
	i, ok := b.byKey[key]
	if !ok {
		return nil, nil, engine.ErrNotFound
	}
	e := &b.entries[i]
	m, err := b.message(f, e)
	if err == nil && firstOf(m) != e.first {
		err = engine.ErrNotFound
	}
	return e, m, err
}

// message reads a message where it was: only the fields, if it is known what is
// behind them, and another message, or nothing, still is behind that.
func (b *box) message(f vfs.File, e *entry) (*mbox.Message, error) {
	if e.known {
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		heads := mbox.NewHeads(f, info.Size(), b.options())
		m, err := heads.At(e.at)
		if errors.Is(err, mbox.ErrNoMbox) {
			err = engine.ErrNotFound
		}
		if err != nil {
			return nil, err
		}
		heads.Extend(m, e.behind)
		if ok, err := heads.Begins(m.Next); ok || err != nil {
			return m, err
		}
	}
	m, err := mbox.NewScanner(f, e.at, e.next, b.options()).Next()
	if errors.Is(err, io.EOF) || err == nil && m.Offset != e.at {
		err = engine.ErrNotFound
	}
	return m, err
}

// Describe gives sizes and dates.
func (b *box) Describe(ctx context.Context, keys []uint64) ([]files.Description, error) {
	out := make([]files.Description, len(keys))
	err := b.with(ctx, true, func(l *locked) error {
		for i, key := range keys {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := b.describe(l.file, key, &out[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// describe gives size and date of one message. b.mu is held.
func (b *box) describe(f vfs.File, key uint64, d *files.Description) error {
	if f == nil {
		d.Gone = true
		return nil
	}
	_, m, err := b.find(f, key)
	if d.Gone = errors.Is(err, engine.ErrNotFound); d.Gone {
		return nil
	}
	if err != nil {
		return err
	}
	d.Size, d.Internal = m.Size, m.Date
	if m.Size < 0 {
		text, err := mbox.Open(f, m, b.options())
		if err != nil {
			return err
		}
		d.Size = text.Size()
	}
	return nil
}

// Open reads a message. No lock is taken: what is read is what was looked for, or
// it is looked for again.
func (b *box) Open(ctx context.Context, key uint64) (mail.Body, error) {
	for again := range 2 {
		f, err := b.p.Open(b.at)
		if vfs.NotExist(err) {
			return nil, engine.ErrNotFound
		}
		if err != nil {
			return nil, err
		}
		b.mu.Lock()
		_, m, err := b.find(f, key)
		b.mu.Unlock()
		if err == nil {
			text, err := mbox.Open(f, m, b.options())
			if err != nil {
				f.Close()
				return nil, err
			}
			return &body{text, f}, nil
		}
		f.Close()
		if again > 0 {
			return nil, engine.ErrNotFound
		}
		if err := b.with(ctx, true, func(l *locked) error { return b.refresh(l.file) }); err != nil {
			return nil, err
		}
	}
	return nil, engine.ErrNotFound
}

// body is a message that is being read.
type body struct {
	*mbox.Text
	file vfs.File
}

// Close ends the reading.
func (b *body) Close() error { return b.file.Close() }

// Watch tells of changes of the file.
func (b *box) Watch(changed func()) (func(), error) {
	if b.t.f.o.Watcher == nil || !b.p.disk {
		return nil, errNotWatched
	}
	base := b.p.PathBase(b.at)
	return b.t.f.o.Watcher.Watch(b.p.pathOf(b.p.PathDir(b.at)), func(name string) {
		if name == base || name == "" {
			changed()
		}
	})
}
