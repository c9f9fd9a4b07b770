package remote

import (
	"crypto/tls"
	"net/netip"
	"slices"
	"sync"
	"time"

	"plic/internal/mail"
)

// maxUses bounds the transactions of one connection: hosts count them, too.
const maxUses = 100

// pool keeps sessions between deliveries for a short time: for the hop that had
// them last, which needs no look-up then, and for others whose mail goes to the
// same address of the same host.
type pool struct {
	room int
	keep time.Duration

	mu     sync.Mutex
	hops   map[mail.Hop][]*parked
	spots  map[spot][]*parked
	n      int
	closed bool
}

// spot is where a session leads and as whom we are there. Hops with the same
// one may share it.
type spot struct {
	hop  mail.Hop // with the name of the host, and no port
	addr netip.AddrPort
	path string
}

func (p place) spot(hop mail.Hop) spot {
	hop.Host, hop.Port = p.host, 0
	return spot{hop, p.addr, p.path}
}

// parked is a session in the pool.
type parked struct {
	s     *session
	timer *time.Timer
}

func newPool(room int, keep time.Duration) *pool {
	return &pool{room: room, keep: keep, hops: map[mail.Hop][]*parked{}, spots: map[spot][]*parked{}}
}

// take gives a session that a hop had before, nil if none is idle.
func (p *pool) take(hop mail.Hop) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.freshest(p.hops[hop], func(*session) bool { return true })
}

// share gives a session of any hop to a spot that is as secure as it need be,
// nil if none is idle.
func (p *pool) share(at spot, need Requirement) *session {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.freshest(p.spots[at], func(s *session) bool { return s.serves(need) })
}

func (p *pool) freshest(list []*parked, good func(*session) bool) *session {
	for _, entry := range slices.Backward(list) {
		if good(entry.s) {
			p.remove(entry)
			entry.timer.Stop()
			return entry.s
		}
	}
	return nil
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
		mine := p.remove(entry)
		p.mu.Unlock()
		if mine {
			s.quit()
		}
	})
	at := s.spot(s.hop)
	p.hops[s.hop] = append(p.hops[s.hop], entry)
	p.spots[at] = append(p.spots[at], entry)
	p.n++
	p.mu.Unlock()
}

// remove takes an entry out; false if somebody else did.
func (p *pool) remove(entry *parked) bool {
	if !without(p.hops, entry.s.hop, entry) {
		return false
	}
	without(p.spots, entry.s.spot(entry.s.hop), entry)
	p.n--
	return true
}

// without takes an entry out of one of the lists in m.
func without[K comparable](m map[K][]*parked, key K, entry *parked) bool {
	i := slices.Index(m[key], entry)
	if i < 0 {
		return false
	}
	if m[key] = slices.Delete(m[key], i, i+1); len(m[key]) == 0 {
		delete(m, key)
	}
	return true
}

func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	var all []*session
	for _, list := range p.hops {
		for _, entry := range list {
			entry.timer.Stop()
			all = append(all, entry.s)
		}
	}
	p.n = 0
	clear(p.hops)
	clear(p.spots)
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

// serves says that a session that was opened for another hop is as secure as
// this one needs it, so that a new one would be no better.
func (s *session) serves(need Requirement) bool {
	conn, secure := s.conn.(*tls.Conn)
	switch {
	case need.Offer != "":
		return false
	case !secure:
		return need.TLS == Cleartext || need.TLS == Opportunistic && !s.offered && !s.ext.Has("STARTTLS")
	case need.TLS == Cleartext:
		return false
	}
	state := conn.ConnectionState()
	switch {
	case state.ServerName != s.serverName(need):
		return false
	case need.Verify != nil:
		return need.Verify(state) == nil
	case need.TLS == Verified:
		return len(state.VerifiedChains) > 0
	}
	return true
}
