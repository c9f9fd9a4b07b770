package dns

import (
	"container/list"
	"sync"
	"time"
)

type cacheKey struct {
	name  string // canonical
	qtype uint16
}

type cached struct {
	key     cacheKey
	reply   *reply
	expires time.Time
	cost    int
}

// cache keeps replies for their time to live, the least recently used going
// first when the octets are up.
type cache struct {
	mu      sync.Mutex
	size    int // octets that may be kept
	room    int // octets left of them
	entries map[cacheKey]*list.Element
	order   *list.List // of *cached, most recently used first
}

func newCache(size int) *cache {
	return &cache{size: size, room: size, entries: make(map[cacheKey]*list.Element), order: list.New()}
}

// get gives a reply and how long it may still be kept.
func (c *cache) get(key cacheKey, now time.Time) (*reply, time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		return nil, 0
	}
	got := e.Value.(*cached)
	left := got.expires.Sub(now)
	if left <= 0 || left > got.reply.ttl { // or the clock went back
		c.remove(e)
		return nil, 0
	}
	c.order.MoveToFront(e)
	return got.reply, left
}

func (c *cache) put(key cacheKey, r *reply, now time.Time) {
	// The decoded form takes some times the octets on the wire.
	add := &cached{key, r, now.Add(r.ttl), 512 + 4*r.size}
	c.mu.Lock()
	defer c.mu.Unlock()
	if add.cost > c.size/4 {
		return
	}
	if old := c.entries[key]; old != nil {
		c.remove(old)
	}
	c.entries[key] = c.order.PushFront(add)
	c.room -= add.cost
	for c.room < 0 {
		c.remove(c.order.Back())
	}
}

func (c *cache) remove(e *list.Element) {
	gone := c.order.Remove(e).(*cached)
	delete(c.entries, gone.key)
	c.room += gone.cost
}
