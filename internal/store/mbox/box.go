package mbox

import (
	"context"
	"errors"
	"fmt"
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
	tail    int64   // octets at the end that are the beginning of a message that never came whole
	noted   int64   // how large the file was when the index was written
	held    *locked // while Hold lasts
}

// entry is a message.
type entry struct {
	at, next int64 // its octets, from the From_ line on
	key      uint64
	first    uint64     // what the key would be if no other message were the same
	fields   uint64     // what its fields are, but for those of the mailbox
	uid      engine.UID // 0 if none is known
	flags    engine.Flags
	written  bool // the file has the UID
	pseudo   bool
}

// stamp tells whether a file is as it was.
type stamp struct {
	inode uint64
	size  int64
	time  time.Time
	seen  time.Time
}

// settle is how long a change may be that the time of the file does not tell.
const settle = time.Second

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
	return stamp{vfs.Inode(info), info.Size(), info.ModTime(), b.t.f.o.Now()}, nil
}

func (s stamp) same(now stamp) bool {
	return s.inode == now.inode && s.size == now.size && s.time.Equal(now.time) && s.seen.Sub(s.time) > settle && s.inode != 0
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
	b.read, b.stamp, b.entries, b.base, b.tail, b.noted = false, stamp{}, nil, nil, 0, 0
	b.byKey, b.seen, b.words = map[uint64]int{}, map[uint64]int{}, nil
}

// Header says what the file says. If it has messages that nobody has given a UID,
// the next is beyond all that are known.
func (b *box) Header(ctx context.Context) (h files.Header, err error) {
	err = b.with(ctx, true, func(l *locked) error {
		if _, err := b.refresh(l.file); err != nil {
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
		if changed, err := b.refresh(l.file); err != nil || !changed && !again {
			return err
		}
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

// refresh reads the file as far as it may have changed. b.mu is held.
func (b *box) refresh(f vfs.File) (changed bool, err error) {
	if f == nil {
		return true, nil
	}
	now, err := b.stampOf(f)
	if err != nil {
		return false, err
	}
	if b.read && b.stamp.same(now) {
		return false, nil
	}
	fresh := !b.read
	if fresh {
		b.forget()
		b.load()
	}
	from := b.trusted(f, now, fresh)
	older := fresh && !b.stamp.time.Equal(now.time)
	if from == 0 {
		b.forget()
	}
	if err := b.scan(f, from, now.size); err != nil {
		b.forget()
		return false, err
	}
	b.stamp, b.read = now, true
	b.noteIf(older && now.size > saveBytes)
	return true, nil
}

// trusted says up to where what is known holds: if the file has only grown, but
// for flags, all but the last message.
func (b *box) trusted(f vfs.File, now stamp, fresh bool) int64 {
	n := len(b.entries)
	if n == 0 || now.size < b.stamp.size || now.inode != b.stamp.inode {
		return 0
	}
	if fresh && b.stamp.size == now.size && b.stamp.time.Equal(now.time) {
		return b.entries[n-1].next
	}
	last := b.entries[n-1]
	m, err := mbox.NewScanner(f, last.at, now.size, b.options()).Next()
	if err != nil || firstOf(m) != last.first || m.Next < last.next {
		return 0
	}
	b.entries[n-1].next = m.Next // empty lines may have come behind it
	if now.size == b.stamp.size || fresh {
		for i := range b.entries { // in place only what the fields say can change
			e := &b.entries[i]
			m, err := mbox.Head(f, e.at, e.next, b.options())
			if err != nil || fieldsOf(m) != e.fields {
				return 0
			}
			b.note(e, &m.Status)
		}
	}
	return m.Next
}

// scan reads messages from an offset on. b.mu is held.
func (b *box) scan(f vfs.File, from, size int64) error {
	b.tail = 0
	in := mbox.NewScanner(f, from, size, b.options())
	end := from
	for {
		m, err := in.Next()
		switch {
		case errors.Is(err, io.EOF):
			return b.rest(f, end, size)
		case errors.Is(err, mbox.ErrNoMbox) && from == 0 && len(b.entries) == 0:
			if b.rest(f, 0, size) == nil && b.tail > 0 {
				return nil
			}
			return fmt.Errorf("%s: %w", b.p.pathOf(b.at), err)
		case err != nil:
			return fmt.Errorf("%s: %w", b.p.pathOf(b.at), err)
		case m.Torn && !b.counted(m):
			b.tail = size - m.Offset
			return nil
		}
		b.add(m)
		end = m.Next
	}
}

// rest finds the beginning of a From_ line at the end of the file.
func (b *box) rest(f vfs.File, end, size int64) error {
	text := make([]byte, min(size-end, 1024))
	if _, err := f.ReadAt(text, end); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if size-end == int64(len(text)) && mbox.Fragment(text) {
		b.tail = size - end
	}
	return nil
}

// counted says that a message was there before its end got lost: it is kept as
// it is. The last UID is written behind messages that are whole.
func (b *box) counted(m *mbox.Message) bool {
	base := b.base
	if len(b.entries) == 0 {
		base = m.Base
	}
	return base != nil && m.UID != 0 && m.UID <= base.LastUID
}

// add makes a message known.
func (b *box) add(m *mbox.Message) *entry {
	e := entry{at: m.Offset, next: m.Next, first: firstOf(m), fields: fieldsOf(m), pseudo: m.Pseudo}
	for taken := true; taken; {
		b.seen[e.first]++
		e.key = keyOf(e.first, b.seen[e.first])
		_, taken = b.byKey[e.key]
	}
	if len(b.entries) == 0 {
		b.base = m.Base
	}
	b.note(&e, &m.Status)
	b.byKey[e.key] = len(b.entries)
	b.entries = append(b.entries, e)
	return &b.entries[len(b.entries)-1]
}

// note takes over what the file says of a message. UIDs must rise, and mean
// nothing without UIDVALIDITY.
func (b *box) note(e *entry, st *mbox.Status) {
	e.flags = b.flags(st)
	if st.UID != 0 && b.base != nil {
		e.written = true
		i, known := b.byKey[e.key]
		if !known {
			i = len(b.entries)
		}
		for i--; i >= 0; i-- {
			if before := &b.entries[i]; before.written {
				e.written = before.uid < engine.UID(st.UID)
				break
			}
		}
		if e.written {
			e.uid = engine.UID(st.UID)
		}
	}
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
	m, err := mbox.NewScanner(f, e.at, e.next, b.options()).Next()
	if err == nil && firstOf(m) != e.first {
		err = engine.ErrNotFound
	}
	return e, m, err
}

// Describe reads size and date.
func (b *box) Describe(ctx context.Context, key uint64) (d files.Description, err error) {
	err = b.with(ctx, true, func(l *locked) error {
		f := l.file
		if f == nil {
			return engine.ErrNotFound
		}
		_, m, err := b.find(f, key)
		if err != nil {
			return err
		}
		text, err := mbox.Open(f, m, b.options())
		if err != nil {
			return err
		}
		d = files.Description{Size: text.Size(), Internal: m.Date}
		return nil
	})
	return d, err
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
		if err := b.with(ctx, true, func(l *locked) error { _, err := b.refresh(l.file); return err }); err != nil {
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
