package serve

import (
	"net"
	"testing"
	"testing/synctest"
)

// from is a connection from an address.
type from struct {
	net.Conn
	remote string
}

// RemoteAddr is the address.
func (f from) RemoteAddr() net.Addr {
	a, _ := net.ResolveTCPAddr("tcp", f.remote)
	return a
}

// L2: neither one host nor many take all connections, and places come back.
func TestLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		inner := newListener()
		l := Limit(inner, 4, 2)
		accepted := make(chan net.Conn, 10)
		go func() {
			for {
				nc, err := l.Accept()
				if err != nil {
					return
				}
				accepted <- nc
			}
		}()
		knock := func(remote string) net.Conn {
			ours, theirs := net.Pipe()
			inner.feed <- from{ours, remote}
			synctest.Wait()
			select {
			case nc := <-accepted:
				return nc
			default:
			}
			if _, err := theirs.Read(make([]byte, 1)); err == nil {
				t.Error("it is neither taken nor closed")
			}
			return nil
		}
		first := knock("192.0.2.1:1")
		for _, c := range []struct {
			remote string
			taken  bool
		}{
			{"192.0.2.1:2", true}, {"192.0.2.1:3", false}, {"[2001:db8::1]:1", true}, {"[2001:db8::2]:1", true}, {"[2001:db8::3]:1", false},
			{"192.0.2.2:1", false},
		} {
			if got := knock(c.remote) != nil; got != c.taken {
				t.Errorf("%s: %v", c.remote, got)
			}
		}
		first.Close()
		first.Close()
		if knock("192.0.2.2:1") == nil || knock("192.0.2.3:1") != nil {
			t.Error("one place has come back")
		}
		inner.Close()
	})
}
