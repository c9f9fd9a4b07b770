package store

import (
	"container/list"
	"slices"
	"sync"
	"sync/atomic"
	"weak"

	"plic/internal/mail"
	"plic/internal/message"
)

// indexes bounds the memory of loaded indexes that nobody watches. It holds
// mailboxes weakly: an account that is closed takes its indexes with it.
type indexes struct {
	limit int64
	clock atomic.Uint64 // ticks with each load

	mu     sync.Mutex
	loaded []weak.Pointer[Mailbox]
	bytes  int64 // at most what they take, by the last count and what was added since
}

// touch notes that an index is in use.
func (x *indexes) touch(m *Mailbox) { m.used.Store(x.clock.Load()) }

// add notes that an index was loaded.
func (x *indexes) add(m *Mailbox, bytes int64) {
	m.used.Store(x.clock.Add(1))
	x.mu.Lock()
	defer x.mu.Unlock()
	x.loaded = append(x.loaded, m.self)
	x.bytes += bytes
}

// grow notes that an index has got so many messages more.
func (x *indexes) grow(messages int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.bytes += int64(messages) * entryBytes
}

// trim drops the indexes not used for longest while there are too many. No
// account is locked.
func (x *indexes) trim() {
	for _, m := range x.victims() {
		m.unload()
	}
}

func (x *indexes) victims() []*Mailbox {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.bytes <= x.limit {
		return nil
	}
	type use struct {
		m     *Mailbox
		at    uint64
		bytes int64
	}
	var idle []use
	x.bytes = 0
	x.loaded = slices.DeleteFunc(x.loaded, func(p weak.Pointer[Mailbox]) bool {
		m := p.Value()
		if m == nil {
			return true
		}
		st := m.visible.Load()
		if st.snap == nil {
			return st.gone
		}
		x.bytes += st.snap.bytes()
		if !m.watch.watched() {
			idle = append(idle, use{m, m.used.Load(), st.snap.bytes()})
		}
		return false
	})
	slices.SortFunc(idle, func(a, b use) int { return int(int64(a.at) - int64(b.at)) })
	drop := map[weak.Pointer[Mailbox]]bool{}
	var out []*Mailbox
	for _, u := range idle {
		if x.bytes <= x.limit-x.limit/8 {
			break
		}
		x.bytes -= u.bytes
		drop[u.m.self] = true
		out = append(out, u.m)
	}
	x.loaded = slices.DeleteFunc(x.loaded, func(p weak.Pointer[Mailbox]) bool { return drop[p] })
	return out
}

// unload drops the index; who has a snapshot keeps it.
func (m *Mailbox) unload() {
	m.account.mu.Lock()
	defer m.account.mu.Unlock()
	if m.head.snap != nil {
		m.head.snap.complete()
	}
	m.head = m.head.bare()
	for {
		cur := m.visible.Load()
		if cur.snap == nil || m.visible.CompareAndSwap(cur, cur.bare()) {
			return
		}
	}
}

// bare is the state without its index.
func (st *state) bare() *state {
	if st.snap == nil {
		return st
	}
	next := *st
	next.snap = nil
	return &next
}

// parsed keeps analysed messages, so that reading a message part by part does
// not analyse it each time.
type parsed struct {
	limit int64

	mu    sync.Mutex
	all   map[mail.ID]*list.Element // of parsedBody
	order list.List
	bytes int64
}

type parsedBody struct {
	id    mail.ID
	m     *message.Message
	bytes int64
}

func (p *parsed) get(id mail.ID) *message.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	el := p.all[id]
	if el == nil {
		return nil
	}
	p.order.MoveToFront(el)
	return el.Value.(parsedBody).m
}

func (p *parsed) put(id mail.ID, m *message.Message) {
	b := parsedBody{id, m, weight(m)}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = map[mail.ID]*list.Element{}
	}
	if p.all[id] != nil || b.bytes > p.limit/4 {
		return
	}
	p.all[id] = p.order.PushFront(b)
	p.bytes += b.bytes
	for p.bytes > p.limit {
		last := p.order.Remove(p.order.Back()).(parsedBody)
		delete(p.all, last.id)
		p.bytes -= last.bytes
	}
}
