package search

import (
	"container/list"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"plic/internal/store"
	"plic/internal/store/engine"
)

// notes is what the keys of an index's notes begin with.
const (
	notes       = "search/"
	manifestKey = notes + "index"
)

// version is that of what words are and how they are kept; an index of another
// is made anew.
const version = 5

// manifest says what the index of a mailbox is.
type manifest struct {
	Version  int       `json:"version"`
	Segments []Segment `json:"segments,omitempty"` // by rising UIDs
	Trash    []Segment `json:"trash,omitempty"`    // to be removed: replaced, or without Docs never finished
	Mail     int64     `json:"mail"`               // octets of the mailbox when it was last added to
}

// high is the highest UID that the index knows of.
func (m *manifest) high() store.UID {
	if n := len(m.Segments); n > 0 {
		return m.Segments[n-1].High
	}
	return 0
}

// Options is what an Index may be told; zero values are good defaults.
type Options struct {
	Log    *slog.Logger
	Memory int64         // octets of indexes kept in memory: 128 MiB
	Wait   time.Duration // how long changes are gathered: 2 s, negative for not at all
	Least  uint32        // messages that make a mailbox worth adding to its index: 100

	dictBlock int // tests want small blocks
}

// Index keeps the search indexes of mailboxes. Its methods may be called at the
// same time.
type Index struct {
	o     Options
	cache cache
	zstd  *zstd.Decoder

	mu      sync.Mutex
	changed map[*store.Mailbox]job
	wake    chan struct{}
	turn    turn // of who writes
}

// job is what is to be done for a mailbox.
type job uint8

const (
	look job = iota // add to its index if that is worth it
	anew            // throw its index away, which is broken, and make another
)

// New makes an Index.
func New(o Options) *Index {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Memory <= 0 {
		o.Memory = 128 << 20
	}
	if o.Wait == 0 {
		o.Wait = 2 * time.Second
	}
	if o.Least == 0 {
		o.Least = 100
	}
	if o.dictBlock == 0 {
		o.dictBlock = dictBlock
	}
	return &Index{
		o: o, zstd: newDecoder(), cache: cache{limit: o.Memory, all: map[string]*list.Element{}},
		changed: map[*store.Mailbox]job{}, wake: make(chan struct{}, 1), turn: newTurn(),
	}
}

// Changed says that messages have come to a mailbox, or gone. It never waits.
func (x *Index) Changed(mb *store.Mailbox) { x.note(mb, look) }

func (x *Index) note(mb *store.Mailbox, j job) {
	x.mu.Lock()
	x.changed[mb] = max(x.changed[mb], j)
	x.mu.Unlock()
	select {
	case x.wake <- struct{}{}:
	default:
	}
}

// Run brings indexes up to date in the background, until ctx is done.
func (x *Index) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-x.wake:
		}
		if err := rest(ctx, x.o.Wait); err != nil {
			return
		}
		x.mu.Lock()
		changed := x.changed
		x.changed = map[*store.Mailbox]job{}
		x.mu.Unlock()
		for mb, j := range changed {
			if err := x.run(ctx, mb, j); err != nil && ctx.Err() == nil {
				x.o.Log.Warn("search index not brought up to date", "account", mb.Account().Name(), "mailbox", mb.Name(), "err", err)
			}
		}
	}
}

// run does what is to be done for a mailbox. When somebody wants to write something
// else it makes way at the next step, and goes on after it with what it has gathered.
func (x *Index) run(ctx context.Context, mb *store.Mailbox, j job) error {
	u := x.updater(mb, false)
	for {
		own, stop := context.WithCancel(ctx)
		err := x.inTurn(own, stop, u, &j)
		madeWay := own.Err() != nil
		stop()
		if err == nil || !madeWay || ctx.Err() != nil {
			return err
		}
	}
}

// inTurn does what is to be done, or what is left of it.
func (x *Index) inTurn(ctx context.Context, stop func(), u *updater, j *job) error {
	if err := x.turn.take(ctx, stop); err != nil {
		return err
	}
	defer x.turn.leave()
	if *j == anew {
		x.o.Log.Warn("a broken search index is made anew", "account", u.mb.Account().Name(), "mailbox", u.mb.Name())
		if err := x.drop(ctx, u.mb); err != nil {
			return err
		}
		*j = look
	}
	return u.refresh(ctx)
}

func rest(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// read gives the manifest of a mailbox's index; an empty one if there is none,
// or none that can be read.
func (x *Index) read(ctx context.Context, mb *store.Mailbox) (*manifest, error) {
	m := &manifest{Version: version}
	b, err := mb.Notes().Get(ctx, manifestKey)
	switch {
	case errors.Is(err, engine.ErrNotFound):
		return m, nil
	case errors.Is(err, engine.ErrDamaged):
		return m, nil
	case err != nil:
		return nil, err
	}
	got := new(manifest)
	if err := json.Unmarshal(b, got); err != nil || got.Version != version || !got.sound() {
		return m, nil
	}
	return got, nil
}

// sound says that the numbers of a manifest make sense.
func (m *manifest) sound() bool {
	next := store.UID(1)
	for i := range m.Segments {
		s := &m.Segments[i]
		if s.Low < next || s.High < s.Low || s.Docs < 0 || s.Docs > maxDocs {
			return false
		}
		for _, v := range s.Parts {
			if v.Words < 0 || v.Dicts < 0 || v.Dicts > v.Words || v.Lists < 0 || v.Filters != 0 && v.Filters != filterNotes(v.Dicts) {
				return false
			}
		}
		next = s.High + 1
	}
	return true
}

// drop removes the index of a mailbox, so that it is made anew.
func (x *Index) drop(ctx context.Context, mb *store.Mailbox) error {
	return mb.Notes().DropAll(ctx, notes)
}

// Status is what is known of a mailbox's index.
type Status struct {
	Mailbox  string `json:"mailbox"`
	Messages uint32 `json:"messages"`
	Indexed  int    `json:"indexed"`
	Segments int    `json:"segments"`
	Words    int    `json:"words"`
	Bytes    int64  `json:"bytes"`
	Mail     int64  `json:"mail"` // octets of the messages
}

// Status says how far the index of a mailbox is.
func (x *Index) Status(ctx context.Context, mb *store.Mailbox) (Status, error) {
	m, err := x.read(ctx, mb)
	if err != nil {
		return Status{}, err
	}
	info := mb.Info()
	s := Status{Mailbox: info.Name, Messages: info.Messages, Mail: info.Bytes, Segments: len(m.Segments)}
	snap, err := mb.Snapshot(ctx)
	if err != nil {
		return s, err
	}
	for i := range m.Segments {
		g := &m.Segments[i]
		s.Words += g.words()
		s.Bytes += g.Bytes
		s.Indexed += min(g.Docs, snap.Search(g.High+1)-snap.Search(g.Low))
	}
	return s, nil
}

func newID() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// open reads a segment, or finds it in memory. Its blocks are read when they are
// needed, and kept in memory while there is room: all of a large mailbox's need
// not be there at once.
func (x *Index) open(ctx context.Context, mb *store.Mailbox, info Segment) (*segment, error) {
	if s, ok := x.cache.get(info.ID).(*segment); ok {
		return s, nil
	}
	b, err := x.block(ctx, mb, info.headKey())
	if err != nil {
		return nil, err
	}
	s := &segment{Segment: info}
	if err := s.readHead(b); err != nil {
		return nil, err
	}
	s.dict = func(ctx context.Context, part, n int) (*dict, error) {
		return recall(&x.cache, info.dictKey(part, n), func(key string) (*dict, int64, error) {
			b, err := x.block(ctx, mb, key)
			if err != nil {
				return nil, 0, err
			}
			d, err := readDict(b, info.Docs)
			if err != nil {
				return nil, 0, err
			}
			return d, d.bytes(), nil
		})
	}
	s.here = func(part, n int) bool { return x.cache.get(info.dictKey(part, n)) != nil }
	page := func(ctx context.Context, key string) ([]byte, error) {
		return recall(&x.cache, key, func(key string) ([]byte, int64, error) {
			b, err := x.block(ctx, mb, key)
			return b, int64(len(b) + 128), err
		})
	}
	s.lists = func(ctx context.Context, part, n int) ([]byte, error) { return page(ctx, info.listKey(part, n)) }
	s.filters = func(ctx context.Context, part, n int) ([]byte, error) { return page(ctx, info.filterKey(part, n)) }
	x.cache.put(info.ID, s, int64(512+4*len(s.uids)+len(b)))
	return s, nil
}

// recall finds something in memory, or makes it and keeps it there.
func recall[T any](c *cache, key string, make func(key string) (T, int64, error)) (T, error) {
	if v, ok := c.get(key).(T); ok {
		return v, nil
	}
	v, bytes, err := make(key)
	if err == nil {
		c.put(key, v, bytes+int64(len(key)))
	}
	return v, err
}

// block reads a note that must be there.
func (x *Index) block(ctx context.Context, mb *store.Mailbox, key string) ([]byte, error) {
	b, err := mb.Notes().Get(ctx, key)
	if err == nil {
		b, err = x.unpack(b)
	}
	if errors.Is(err, engine.ErrNotFound) || errors.Is(err, engine.ErrDamaged) {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	return b, err
}

// maxBlock bounds what a block unpacks to: the head of the largest segment.
const maxBlock = 8 << 20

// unpack undoes pack.
func (x *Index) unpack(b []byte) ([]byte, error) {
	out, err := x.zstd.DecodeAll(b, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", engine.ErrDamaged, err)
	}
	return out, nil
}

func newDecoder() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxBlock), zstd.WithDecoderLowmem(true), zstd.IgnoreChecksum(true)) // records have one of their own
	must(err)
	return d
}

func newEncoder() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(listBlock), zstd.WithLowerEncoderMem(true))
	must(err)
	return e
}

// must is for options that are written here.
func must(err error) {
	if err != nil {
		panic(err)
	}
}

// cache keeps what was used last.
type cache struct {
	limit int64

	mu    sync.Mutex
	all   map[string]*list.Element // of cached
	order list.List
	bytes int64
}

type cached struct {
	key   string
	value any
	bytes int64
}

func (c *cache) get(key string) any {
	c.mu.Lock()
	defer c.mu.Unlock()
	el := c.all[key]
	if el == nil {
		return nil
	}
	c.order.MoveToFront(el)
	return el.Value.(cached).value
}

func (c *cache) put(key string, value any, bytes int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all[key] != nil || bytes > c.limit/2 {
		return
	}
	c.all[key] = c.order.PushFront(cached{key, value, bytes})
	c.bytes += bytes
	for c.bytes > c.limit {
		last := c.order.Remove(c.order.Back()).(cached)
		delete(c.all, last.key)
		c.bytes -= last.bytes
	}
}
