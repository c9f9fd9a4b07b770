package store

import (
	"container/list"
	"context"
	"slices"
	"sync"

	"plic/internal/pace"
	"plic/internal/store/engine"
)

// Columns are the keys of a mailbox's messages, packed side by side, so that to
// sort or thread all of them reads a few octets for each and no record. They are
// shared by all sessions, and grow with the mailbox.
type Columns struct {
	uids  []UID // rising; some may be gone by now
	ends  []uint32
	arena []byte
}

// Keys are those of a message; empty if nothing is known of it.
func (c *Columns) Keys(uid UID) Keys {
	i, ok := slices.BinarySearch(c.uids, uid)
	if !ok {
		return Keys{}
	}
	return readKeys(c.raw(i))
}

func (c *Columns) raw(i int) []byte {
	from := uint32(0)
	if i > 0 {
		from = c.ends[i-1]
	}
	return c.arena[from:c.ends[i]:c.ends[i]]
}

// Walk gives the keys of messages, whose UIDs must rise, faster than one by one.
func (c *Columns) Walk() func(UID) Keys {
	i := 0
	return func(uid UID) Keys {
		for step := 0; i < len(c.uids) && c.uids[i] < uid; step++ {
			if i++; step == 16 {
				k, _ := slices.BinarySearch(c.uids[i:], uid)
				i += k
			}
		}
		if i == len(c.uids) || c.uids[i] != uid {
			return Keys{}
		}
		return readKeys(c.raw(i))
	}
}

func (c *Columns) push(uid UID, raw []byte) {
	c.arena = append(c.arena, raw...)
	c.uids = append(c.uids, uid)
	c.ends = append(c.ends, uint32(len(c.arena)))
}

func (c *Columns) bytes() int64 {
	return 256 + int64(cap(c.arena)) + 4*int64(cap(c.uids)) + 4*int64(cap(c.ends))
}

// maxArena is where a mailbox has too many keys for Columns: those beyond are
// empty, and sort as if the messages had none.
const maxArena = 1 << 31

// columnCache keeps the columns used last.
type columnCache struct {
	limit int64

	mu    sync.Mutex
	all   map[columnKey]*list.Element // of *columnEntry
	order list.List
	bytes int64
}

type columnKey struct {
	account engine.AccountID
	mailbox engine.MailboxID
}

// columnEntry is a mailbox's columns. Others have older ones, which share their
// arrays and end before what is added.
type columnEntry struct {
	key   columnKey
	bytes int64 // counted in the cache

	mu      sync.Mutex // nobody holds it while he reads messages, which may take long and pause
	columns Columns
}

func (c *columnCache) entry(key columnKey) *columnEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el := c.all[key]; el != nil {
		c.order.MoveToFront(el)
		return el.Value.(*columnEntry)
	}
	if c.all == nil {
		c.all = map[columnKey]*list.Element{}
	}
	e := &columnEntry{key: key}
	c.all[key] = c.order.PushFront(e)
	return e
}

// settle counts what an entry takes and drops those not used for longest.
func (c *columnCache) settle(e *columnEntry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if el := c.all[e.key]; el == nil || el.Value.(*columnEntry) != e {
		return // dropped meanwhile
	}
	bytes := e.get().bytes()
	c.bytes += bytes - e.bytes
	e.bytes = bytes
	for c.bytes > c.limit && c.order.Len() > 0 {
		last := c.order.Remove(c.order.Back()).(*columnEntry)
		delete(c.all, last.key)
		c.bytes -= last.bytes
	}
}

// columnBatch is how many messages are read at a time.
const columnBatch = 1024

// Columns gives the keys of all messages of a snapshot. Of two that read the same
// messages, one has read them for nothing.
func (m *Mailbox) Columns(ctx context.Context, s *Snapshot) (*Columns, error) {
	cache := &m.account.store.columns
	e := cache.entry(columnKey{m.account.id, m.visible.Load().rec.ID})
	defer cache.settle(e)
	var more Columns
	for {
		c := e.upTo(s)
		from := s.Search(c.next())
		if from >= s.n {
			return c, nil
		}
		more = Columns{more.uids[:0], more.ends[:0], more.arena[:0]}
		if err := m.addColumns(ctx, &more, s, from); err != nil {
			return nil, err
		}
		e.add(c.next(), &more, s.n-from)
	}
}

// next is the first UID that is not among the columns' yet.
func (c *Columns) next() UID {
	if n := len(c.uids); n > 0 {
		return c.uids[n-1] + 1
	}
	return 1
}

func (e *columnEntry) get() *Columns {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.columns
	return &out
}

// upTo gives what there is, without what is gone if that is the most of it.
func (e *columnEntry) upTo(s *Snapshot) *Columns {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.columns.uids) > 2*s.n+1024 {
		e.columns = e.columns.only(s)
	}
	out := e.columns
	return &out
}

// add adds what follows from a UID on, if nobody else has meanwhile. grow is how
// many will come with it and after it.
func (e *columnEntry) add(from UID, more *Columns, grow int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := &e.columns
	if c.next() != from {
		return
	}
	if grow > columnBatch {
		c.uids, c.ends = slices.Grow(c.uids, grow), slices.Grow(c.ends, grow)
	}
	for i, uid := range more.uids {
		raw := more.raw(i)
		if len(c.arena)+len(raw) > maxArena {
			raw = nil
		}
		c.push(uid, raw)
	}
}

// only is the columns without what is not in a snapshot.
func (c *Columns) only(s *Snapshot) (out Columns) {
	i := 0
	for _, e := range s.All() {
		for i < len(c.uids) && c.uids[i] < e.UID {
			i++
		}
		if i < len(c.uids) && c.uids[i] == e.UID {
			out.push(e.UID, c.raw(i))
		}
	}
	return out
}

// addColumns adds some messages of a snapshot; those that are gone or cannot be read
// have no keys.
func (m *Mailbox) addColumns(ctx context.Context, c *Columns, s *Snapshot, from int) error {
	uids := make([]UID, 0, min(columnBatch, s.n-from))
	for _, e := range s.Range(from, min(from+columnBatch, s.n)) {
		uids = append(uids, e.UID)
	}
	for d, err := range m.Details(ctx, uids) {
		if err != nil && d.UID == 0 {
			return err
		}
		if err != nil {
			d.keys = nil
		}
		for len(uids) > 0 && uids[0] < d.UID {
			c.push(uids[0], nil)
			uids = uids[1:]
		}
		if len(uids) > 0 && uids[0] == d.UID {
			c.push(d.UID, d.keys)
			uids = uids[1:]
		}
		if len(uids)%32 == 0 {
			if err := pace.Step(ctx); err != nil {
				return err
			}
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	for _, uid := range uids {
		c.push(uid, nil)
	}
	return nil
}
