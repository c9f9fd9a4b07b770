package serve

import (
	"net"
	"net/netip"
	"sync"
)

// Limit gives a listener that turns connections away, without a word, while there
// are all of them or perHost from one address (of IPv6, from one /64). Loopback, where
// a proxy may be, is excepted from the latter.
func Limit(l net.Listener, all, perHost int) net.Listener {
	return &limited{Listener: l, all: all, perHost: perHost}
}

type limited struct {
	net.Listener
	all, perHost int
	total        Tally[struct{}]
	hosts        Tally[netip.Prefix]
}

// Accept waits for a connection for which there is room.
func (l *limited) Accept() (net.Conn, error) {
	for {
		nc, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		host, most := hostOf(Remote(nc).Addr()), l.perHost
		if host.Addr().IsLoopback() {
			most = l.all
		}
		if !l.total.Enter(struct{}{}, l.all) {
			nc.Close()
			continue
		}
		if !l.hosts.Enter(host, most) {
			l.total.Leave(struct{}{})
			nc.Close()
			continue
		}
		return &counted{Conn: nc, leave: sync.OnceFunc(func() {
			l.hosts.Leave(host)
			l.total.Leave(struct{}{})
		})}, nil
	}
}

// hostOf is what counts as one host.
func hostOf(a netip.Addr) netip.Prefix {
	bits := 32
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

// counted gives its place back when it is closed.
type counted struct {
	net.Conn
	leave func()
}

// Close closes the connection.
func (c *counted) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
