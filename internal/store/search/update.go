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

// Rebuild throws the index of a mailbox away and makes it anew, whatever there is to
// do. What the background is at makes way for it, and is gone on with later; what it
// leaves itself when it ends before is made in the background.
func (x *Index) Rebuild(ctx context.Context, mb *store.Mailbox) error {
	if err := x.turn.take(ctx, nil); err != nil {
		return err
	}
	defer x.turn.leave()
	err := x.drop(ctx, mb)
	if err == nil {
		err = x.updater(mb, true).refresh(ctx)
	}
	if err != nil {
		x.Changed(mb)
	}
	return err
}

// updater works on the index of one mailbox.
type updater struct {
	x   *Index
	mb  *store.Mailbox
	all bool

	m    *manifest
	snap *store.Snapshot
	pack *zstd.Encoder
	out  []store.Note // not written yet
	size int

	gathered *builder  // not in a segment yet
	low      store.UID // where that begins
	next     store.UID // and where it is to be gone on with
}

// updater gives one that brings an index up to date, if there is enough to do, or, with
// all, whatever there is. It takes no more than half of one processor's time unless all
// is asked for, and pauses as the pace of the context wants it.
func (x *Index) updater(mb *store.Mailbox, all bool) *updater {
	return &updater{x: x, mb: mb, all: all}
}

// refresh does the work. Its caller has the turn. When it was ended it may be called
// again, and goes on with what was gathered.
func (u *updater) refresh(ctx context.Context) error {
	err := u.update(ctx)
	if errors.Is(err, errBroken) {
		u.x.o.Log.Warn("search index made anew", "account", u.mb.Account().Name(), "mailbox", u.mb.Name(), "err", err)
		if err = u.x.drop(ctx, u.mb); err == nil {
			err = u.update(ctx)
		}
	}
	if errors.Is(err, store.ErrGone) {
		return nil
	}
	return err
}

func (u *updater) update(ctx context.Context) error {
	m, err := u.x.read(ctx, u.mb)
	if err != nil {
		return err
	}
	info := u.mb.Info()
	if len(m.Segments)+len(m.Trash) == 0 && info.Messages == 0 {
		return nil
	}
	snap, err := u.mb.Snapshot(ctx)
	if err != nil {
		return err
	}
	u.m, u.snap, u.out, u.size, u.pack = m, snap, nil, 0, newEncoder()
	defer u.pack.Close()
	if err := u.empty(ctx); err != nil {
		return err
	}
	if err := u.trim(ctx); err != nil {
		return err
	}
	tail := snap.Len() - snap.Search(m.high()+1)
	if tail == 0 || !u.all && uint32(tail) < u.x.o.Least && info.Bytes-m.Mail < maxTail {
		return nil
	}
	if len(m.Segments) == 0 {
		if err := u.x.drop(ctx, u.mb); err != nil { // what a lost manifest may have left
			return err
		}
	}
	m.Mail = info.Bytes
	return u.grow(ctx)
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
	if low := u.m.high() + 1; u.gathered == nil || u.low != low {
		u.begin(low)
	}
	for at := 0; at < u.snap.Len(); {
		if err := u.mb.Notes().Room(maxWrite); err != nil {
			return err // what is left is for mail
		}
		began := time.Now()
		if at = u.snap.Search(u.next); at < u.snap.Len() && !u.gathered.full() {
			if err := u.gather(ctx, at); err != nil {
				return err
			}
			at = u.snap.Search(u.next)
		}
		if u.gathered.full() || at == u.snap.Len() {
			if err := u.append(ctx, u.low, u.next-1, u.gathered); err != nil {
				return err
			}
			u.begin(u.next)
		}
		if !u.all {
			if err := rest(ctx, time.Since(began)); err != nil {
				return err
			}
		}
	}
	return nil
}

// begin gathers for another segment.
func (u *updater) begin(low store.UID) { u.gathered, u.low, u.next = newBuilder(), low, low }

// gather takes the words of some messages.
func (u *updater) gather(ctx context.Context, from int) error {
	entries := make([]store.Entry, 0, batchDocs)
	uids := make([]store.UID, 0, batchDocs)
	for _, e := range u.snap.Range(from, min(from+batchDocs, u.snap.Len())) {
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
		if err := u.gathered.add(ctx, u.mb, entries[0], &d); err != nil {
			return err
		}
		u.next = d.UID + 1
		if err := pace.Step(ctx); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	u.next = uids[len(uids)-1] + 1
	return nil
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
