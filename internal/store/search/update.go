package search

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"

	"plic/internal/pace"
	"plic/internal/store"
)

const (
	maxTail   = 8 << 20 // octets of mail that make a mailbox worth adding to its index
	batchDocs = 64      // messages looked up together
	maxWrite  = 1 << 20 // octets written in one commit
	mergeDocs = 1 << 19 // no merge makes a segment of more messages
)

// Update brings the index of a mailbox up to date, if there is enough to do, or,
// with all, whatever there is. It takes no more than half of one processor's time
// unless all is asked for, and pauses as the pace of the context wants it. What the
// background is at makes way for it, and is gone on with later.
func (x *Index) Update(ctx context.Context, mb *store.Mailbox, all bool) error {
	if err := x.turn.take(ctx, nil); err != nil {
		return err
	}
	defer x.turn.leave()
	return x.refresh(ctx, mb, all)
}

// Rebuild is Update of all, but throws the index away first. What it leaves when it
// ends before is made in the background.
func (x *Index) Rebuild(ctx context.Context, mb *store.Mailbox) error {
	if err := x.turn.take(ctx, nil); err != nil {
		return err
	}
	defer x.turn.leave()
	err := x.drop(ctx, mb)
	if err == nil {
		err = x.refresh(ctx, mb, true)
	}
	if err != nil {
		x.Changed(mb)
	}
	return err
}

// refresh is Update of who has the turn.
func (x *Index) refresh(ctx context.Context, mb *store.Mailbox, all bool) error {
	err := x.update(ctx, mb, all)
	if errors.Is(err, errBroken) {
		x.o.Log.Warn("search index made anew", "account", mb.Account().Name(), "mailbox", mb.Name(), "err", err)
		if err = x.drop(ctx, mb); err == nil {
			err = x.update(ctx, mb, all)
		}
	}
	if errors.Is(err, store.ErrGone) {
		return nil
	}
	return err
}

func (x *Index) update(ctx context.Context, mb *store.Mailbox, all bool) error {
	m, err := x.read(ctx, mb)
	if err != nil {
		return err
	}
	info := mb.Info()
	if len(m.Segments)+len(m.Trash) == 0 && info.Messages == 0 {
		return nil
	}
	snap, err := mb.Snapshot(ctx)
	if err != nil {
		return err
	}
	u := &updater{x: x, mb: mb, m: m, snap: snap, all: all, pack: newEncoder()}
	defer u.pack.Close()
	if err := u.empty(ctx); err != nil {
		return err
	}
	if err := u.trim(ctx); err != nil {
		return err
	}
	tail := snap.Len() - snap.Search(m.high()+1)
	if tail == 0 || !all && uint32(tail) < x.o.Least && info.Bytes-m.Mail < maxTail {
		return nil
	}
	if len(m.Segments) == 0 {
		if err := x.drop(ctx, mb); err != nil { // what a lost manifest may have left
			return err
		}
	}
	m.Mail = info.Bytes
	return u.grow(ctx)
}

// updater works on the index of one mailbox.
type updater struct {
	x    *Index
	mb   *store.Mailbox
	m    *manifest
	snap *store.Snapshot
	all  bool

	pack *zstd.Encoder
	out  []store.Note // not written yet
	size int
}

// empty removes what is of no use any more.
func (u *updater) empty(ctx context.Context) error {
	if len(u.m.Trash) == 0 {
		return nil
	}
	for i := range u.m.Trash {
		if err := u.mb.Notes().DropAll(ctx, u.m.Trash[i].prefix()); err != nil {
			return err
		}
	}
	u.m.Trash = nil
	return u.save(ctx)
}

// save writes the manifest and what else is to be written.
func (u *updater) save(ctx context.Context) error {
	b, err := json.Marshal(u.m)
	if err != nil {
		return err
	}
	out := append(u.out, store.Note{Key: manifestKey, Value: b})
	u.out, u.size = nil, 0
	return u.mb.Notes().PutAll(ctx, out...)
}

// put keeps a block to be written with others.
func (u *updater) put(ctx context.Context) func(key string, value []byte) (int, error) {
	return func(key string, value []byte) (int, error) {
		packed := u.pack.EncodeAll(value, nil)
		u.out = append(u.out, store.Note{Key: key, Value: packed})
		if u.size += len(packed); u.size < maxWrite {
			return len(packed), nil
		}
		out := u.out
		u.out, u.size = nil, 0
		return len(packed), u.mb.Notes().PutAll(ctx, out...)
	}
}

// present is how many messages of a segment's range there are.
func (u *updater) present(s *Segment) int { return u.snap.Search(s.High+1) - u.snap.Search(s.Low) }

// trim makes segments anew that have lost a third of their messages.
func (u *updater) trim(ctx context.Context) error {
	for i := len(u.m.Segments) - 1; i >= 0; i-- {
		s := u.m.Segments[i]
		n := u.present(&s)
		switch {
		case n == 0:
			u.m.Segments = slices.Delete(u.m.Segments, i, i+1)
			u.m.Trash = append(u.m.Trash, s)
			if err := u.save(ctx); err != nil {
				return err
			}
		case s.Docs > 64 && 3*n < 2*s.Docs:
			if err := u.replace(ctx, i, i+1, nil); err != nil {
				return err
			}
		}
	}
	return u.empty(ctx)
}

// grow adds the messages that the index does not know of.
func (u *updater) grow(ctx context.Context) error {
	b := newBuilder()
	low := u.m.high() + 1
	at := u.snap.Search(low)
	for at < u.snap.Len() {
		if err := u.mb.Notes().Room(maxWrite); err != nil {
			return err // what is left is for mail
		}
		began := time.Now()
		to := min(at+batchDocs, u.snap.Len())
		if err := u.gather(ctx, b, at, to); err != nil {
			return err
		}
		at = to
		high := u.snap.At(at - 1).UID
		if b.full() || at == u.snap.Len() {
			if err := u.append(ctx, low, high, b); err != nil {
				return err
			}
			b, low = newBuilder(), high+1
		}
		if !u.all {
			if err := rest(ctx, time.Since(began)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (u *updater) gather(ctx context.Context, b *builder, from, to int) error {
	entries := make([]store.Entry, 0, batchDocs)
	uids := make([]store.UID, 0, batchDocs)
	for _, e := range u.snap.Range(from, to) {
		entries, uids = append(entries, e), append(uids, e.UID)
	}
	for d, err := range u.mb.Details(ctx, uids) {
		if err != nil && d.UID == 0 {
			return err
		}
		for len(entries) > 0 && entries[0].UID < d.UID {
			entries = entries[1:]
		}
		if err != nil || len(entries) == 0 || entries[0].UID != d.UID {
			continue
		}
		if err := b.add(ctx, u.mb, entries[0], &d); err != nil {
			return err
		}
		if err := pace.Step(ctx); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// append adds what was gathered as a new segment, and merges it with those before
// that are not much larger, so that few are left and none is written often.
func (u *updater) append(ctx context.Context, low, high store.UID, b *builder) error {
	from, docs := len(u.m.Segments), len(b.uids)
	for from > 0 {
		n := u.m.Segments[from-1].Docs
		if n > 3*docs || n+docs > mergeDocs {
			break
		}
		docs += n
		from--
	}
	u.m.Segments = append(u.m.Segments, Segment{Low: low, High: high})
	return u.replace(ctx, from, len(u.m.Segments), b)
}

// replace makes one segment of several; the last of them is what was gathered, if
// anything was.
func (u *updater) replace(ctx context.Context, from, to int, b *builder) error {
	old := slices.Clone(u.m.Segments[from:to])
	made := Segment{ID: newID(), Low: old[0].Low, High: old[len(old)-1].High}
	var sources []*source
	var trash []Segment
	for _, s := range old {
		if s.ID == "" {
			sources = append(sources, b.source())
			continue
		}
		trash = append(trash, s)
		open, err := u.x.open(ctx, u.mb, s)
		if err != nil {
			return err
		}
		sources = append(sources, open.source(ctx))
	}
	segments := u.m.Segments
	if b != nil {
		u.m.Segments = segments[:len(segments)-1]
	}
	u.m.Trash = append(u.m.Trash, Segment{ID: made.ID})
	if err := u.save(ctx); err != nil {
		return err
	}
	w := &segmentWriter{seg: made, block: u.x.o.dictBlock, put: u.put(ctx)}
	made, err := merge(ctx, w, sources, func(uid store.UID) bool { _, ok := u.snap.Get(uid); return ok })
	if err != nil {
		return fmt.Errorf("merge %d segments: %w", len(old), err)
	}
	u.m.Segments = slices.Concat(segments[:from], []Segment{made}, segments[to:])
	u.m.Trash = append(u.m.Trash[:len(u.m.Trash)-1], trash...)
	if err := u.save(ctx); err != nil {
		return err
	}
	return u.empty(ctx)
}
