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

// columnEntry is a mailbox's columns. Who has the turn may add to them; others
// have older ones, which share their arrays and end before what is added.
type columnEntry struct {
	key     columnKey
	turn    chan struct{}
	columns Columns
	bytes   int64 // counted in the cache
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
	e := &columnEntry{key: key, turn: make(chan struct{}, 1)}
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
	c.bytes += e.columns.bytes() - e.bytes
	e.bytes = e.columns.bytes()
	for c.bytes > c.limit && c.order.Len() > 0 {
		last := c.order.Remove(c.order.Back()).(*columnEntry)
		delete(c.all, last.key)
		c.bytes -= last.bytes
	}
}

// Columns gives the keys of all messages of a snapshot.
func (m *Mailbox) Columns(ctx context.Context, s *Snapshot) (*Columns, error) {
	cache := &m.account.store.columns
	e := cache.entry(columnKey{m.account.id, m.visible.Load().rec.ID})
	select {
	case e.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-e.turn }()
	if len(e.columns.uids) > 2*s.n+1024 {
		e.columns = e.columns.only(s)
	}
	err := m.fillColumns(ctx, &e.columns, s)
	cache.settle(e)
	if err != nil {
		return nil, err
	}
	out := e.columns
	return &out, nil
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

// fillColumns adds what came since the columns were filled last.
func (m *Mailbox) fillColumns(ctx context.Context, c *Columns, s *Snapshot) error {
	next := UID(1)
	if n := len(c.uids); n > 0 {
		next = c.uids[n-1] + 1
	}
	const batch = 1024
	from := s.Search(next)
	if grow := s.n - from; grow > batch {
		c.uids, c.ends = slices.Grow(c.uids, grow), slices.Grow(c.ends, grow)
	}
	uids := make([]UID, 0, min(batch, s.n-from))
	for from < s.n {
		uids = uids[:0]
		for _, e := range s.Range(from, from+batch) {
			uids = append(uids, e.UID)
		}
		from += len(uids)
		if err := m.addColumns(ctx, c, uids); err != nil {
			return err
		}
	}
	return nil
}

// addColumns adds messages; those that are gone or cannot be read have no keys.
func (m *Mailbox) addColumns(ctx context.Context, c *Columns, uids []UID) error {
	for d, err := range m.Details(ctx, uids) {
		if err != nil && d.UID == 0 {
			return err
		}
		if err != nil || len(c.arena)+len(d.keys) > maxArena {
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
