package store

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"plic/internal/store/engine"
)

// loading is the rest of an index of which only UIDs, MODSEQs and flags were
// read: a mailbox can be opened with them. That of a few chunks is read when it
// is first asked for; who asks for more gets that of all, which is read
// together. No message is expunged before, since who does that has asked for its
// entry.
type loading struct {
	m *Mailbox

	mu    sync.Mutex
	alone int // chunks that were read by themselves
	parts []*late
}

// readAlone is how many chunks are read by themselves.
const readAlone = 2

// late is the rest of one chunk.
type late struct {
	of   *loading
	uids []UID
	done atomic.Bool
	rest []rest // once done
}

// read gives the rest. What the engine cannot give is zero: a message without a
// body, as one that is gone.
func (l *late) read() []rest {
	if l.done.Load() {
		return l.rest
	}
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if !l.done.Load() {
		parts := l.of.parts
		if l.of.alone++; l.of.alone <= readAlone {
			parts = []*late{l}
		}
		if err := l.of.load(parts); err != nil {
			l.of.m.account.store.o.Log.Error("the index of a mailbox cannot be read", "account", l.of.m.account.name, "mailbox", l.of.m.Name(), "error", err)
			return make([]rest, len(l.uids))
		}
	}
	return l.rest
}

// load reads the rest of some chunks, which rise; of one that was read before it
// is the same.
func (g *loading) load(parts []*late) error {
	found := make([][]rest, len(parts))
	for k, l := range parts {
		found[k] = make([]rest, len(l.uids))
	}
	k, i := 0, 0
	for e, err := range g.m.account.store.engine.Entries(context.Background(), g.m.account.id, g.m.visible.Load().rec.ID, parts[0].uids[0]) {
		if errors.Is(err, engine.ErrDamaged) {
			continue
		}
		if err != nil {
			return err
		}
		for k < len(parts) && parts[k].uids[i] < e.UID {
			k, i = parts[k].after(k, i)
		}
		if k == len(parts) {
			break // later ones
		}
		if parts[k].uids[i] == e.UID {
			found[k][i] = rest{e.Size, e.Internal, e.Saved, e.Body}
			k, i = parts[k].after(k, i)
		}
	}
	for k, l := range parts {
		if !l.done.Load() {
			l.rest = found[k]
			l.done.Store(true)
		}
	}
	return nil
}

// after is the place that follows one.
func (l *late) after(k, i int) (int, int) {
	if i+1 < len(l.uids) {
		return k, i + 1
	}
	return k + 1, 0
}

// marks adds messages of which only UID, MODSEQ and flags are known.
func (b *builder) marks(list []Entry, g *loading) {
	b.own()
	var c *chunk
	if n := len(b.chunks); n > 0 {
		c = b.chunks[n-1]
	}
	for i := range list {
		if c == nil || len(c.uids) == chunkSize {
			c = &chunk{
				uids: make([]UID, 0, chunkSize), flags: make([]engine.Flags, 0, chunkSize), modseqs: make([]ModSeq, 0, chunkSize),
				late: &late{of: g},
			}
			g.parts = append(g.parts, c.late)
			b.chunks = append(b.chunks, c)
		}
		e := &list[i]
		c.uids, c.flags, c.modseqs = append(c.uids, e.UID), append(c.flags, e.Flags), append(c.modseqs, e.ModSeq)
		c.late.uids = c.uids
		c.highest = max(c.highest, e.ModSeq)
		c.count(e.Flags, 1)
	}
}

// complete reads the rest of a snapshot that somebody may keep while messages
// go of which it has not been read.
func (s *Snapshot) complete() {
	chunks, _ := s.list()
	for _, c := range chunks {
		if c.late != nil {
			c.late.read()
		}
	}
}
