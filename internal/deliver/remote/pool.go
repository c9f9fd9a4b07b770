package remote

import (
	"sync"
	"time"

	"plic/internal/mail"
)

// maxUses bounds the transactions of one connection: hosts count them, too.
const maxUses = 100

// pool keeps sessions between deliveries to the same hop, for a short time.
type pool struct {
	room int
	keep time.Duration

	mu     sync.Mutex
	idle   map[mail.Hop][]*parked
	n      int
	closed bool
}

// parked is a session in the pool.
type parked struct {
	s     *session
	timer *time.Timer
}

func newPool(room int, keep time.Duration) *pool {
	return &pool{room: room, keep: keep, idle: map[mail.Hop][]*parked{}}
}

// take gives a session of a hop, nil if none is idle.
func (p *pool) take(hop mail.Hop) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[hop]
	if len(list) == 0 {
		return nil
	}
	last := list[len(list)-1] // the freshest
	p.remove(hop, last)
	last.timer.Stop()
	return last.s
}

// put keeps a session, or ends it if there is no room.
func (p *pool) put(s *session) {
	p.mu.Lock()
	if p.closed || p.n >= p.room || s.spent() {
		p.mu.Unlock()
		s.quit()
		return
	}
	entry := &parked{s: s}
	entry.timer = time.AfterFunc(p.keep, func() {
		p.mu.Lock()
		mine := p.remove(s.hop, entry)
		p.mu.Unlock()
		if mine {
			s.quit()
		}
	})
	p.idle[s.hop] = append(p.idle[s.hop], entry)
	p.n++
	p.mu.Unlock()
}

// remove takes an entry out; false if somebody else did.
func (p *pool) remove(hop mail.Hop, entry *parked) bool {
	list := p.idle[hop]
	for i := range list {
		if list[i] == entry {
			p.n--
			if list = append(list[:i], list[i+1:]...); len(list) == 0 {
				delete(p.idle, hop)
			} else {
				p.idle[hop] = list
			}
			return true
		}
	}
	return false
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	var all []*session
	for _, list := range p.idle {
		for _, entry := range list {
			entry.timer.Stop()
			all = append(all, entry.s)
		}
	}
	p.idle, p.n = map[mail.Hop][]*parked{}, 0
	p.mu.Unlock()
	for _, s := range all {
		s.quit()
	}
}

// spent says that a session should not be used for another transaction: its
// host limits them (RFC 9422 MAILMAX), or it has had enough.
func (s *session) spent() bool {
	limit := maxUses
	if n := s.ext.Limit("MAILMAX"); n > 0 {
		limit = min(limit, n)
	}
	return s.sent >= limit
}
