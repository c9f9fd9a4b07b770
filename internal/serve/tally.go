package serve

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// Tally counts what is under way by whom, so that none has too much of it. Its
// zero value counts nothing yet; its methods may be called at the same time.
type Tally[K comparable] struct {
	mu sync.Mutex
	of map[K]int
}

// Enter counts one more, and says whether there was room for it.
func (t *Tally[K]) Enter(who K, most int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of[who] >= most {
		return false
	}
	if t.of == nil {
		t.of = map[K]int{}
	}
	t.of[who]++
	return true
}

// Leave counts one less.
func (t *Tally[K]) Leave(who K) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.of[who]--; t.of[who] == 0 {
		delete(t.of, who)
	}
}

// Len says how many there are of whom something is under way.
func (t *Tally[K]) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.of)
}

// Remote is who is at the other end, IPv4 as such; the zero value if that is no
// address of the Internet.
func Remote(nc net.Conn) netip.AddrPort { return address(nc.RemoteAddr()) }

// Local is our own end.
func Local(nc net.Conn) netip.AddrPort { return address(nc.LocalAddr()) }

func address(a net.Addr) netip.AddrPort {
	if a == nil {
		return netip.AddrPort{}
	}
	ap, _ := netip.ParseAddrPort(a.String())
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// Refuse says a line without waiting for the client, and closes.
func Refuse(nc net.Conn, line string) {
	nc.SetWriteDeadline(time.Now().Add(time.Second))
	nc.Write([]byte(line))
	nc.Close()
}
