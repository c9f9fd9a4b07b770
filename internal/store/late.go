package store

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"plic/internal/store/engine"
)

// loading is the rest of an index of which only UIDs, MODSEQs and flags were
// read: a mailbox can be opened with them. The rest of all chunks is read
// together, when that of one is first asked for. No message is expunged before,
// since who does that has asked for its entry.
type loading struct {
	m *Mailbox

	mu    sync.Mutex
	done  atomic.Bool
	parts []*late
}

// late is the rest of one chunk.
type late struct {
	of   *loading
	uids []UID
	rest []rest // once of is done
}

// read gives the rest. What the engine cannot give is zero: a message without a
// body, as one that is gone.
func (l *late) read() []rest {
	if l.of.done.Load() {
		return l.rest
	}
	l.of.mu.Lock()
	defer l.of.mu.Unlock()
	if !l.of.done.Load() {
		if err := l.of.load(); err != nil {
			l.of.m.account.store.o.Log.Error("the index of a mailbox cannot be read", "account", l.of.m.account.name, "mailbox", l.of.m.Name(), "error", err)
			return make([]rest, len(l.uids))
		}
	}
	return l.rest
}

func (g *loading) load() error {
	for _, l := range g.parts {
		l.rest = make([]rest, len(l.uids))
	}
	k, i := 0, 0
	for e, err := range g.m.account.store.engine.Entries(context.Background(), g.m.account.id, g.m.visible.Load().rec.ID, 0) {
		if errors.Is(err, engine.ErrDamaged) {
			continue
		}
		if err != nil {
			return err
		}
		for k < len(g.parts) && g.parts[k].uids[i] < e.UID {
			k, i = g.parts[k].after(k, i)
		}
		if k == len(g.parts) {
			break // newer ones
		}
		if g.parts[k].uids[i] == e.UID {
			g.parts[k].rest[i] = rest{e.Size, e.Internal, e.Saved, e.Body}
			k, i = g.parts[k].after(k, i)
		}
	}
	g.done.Store(true)
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
	for _, c := range s.chunks {
		if c.late != nil {
			c.late.read()
		}
	}
}
