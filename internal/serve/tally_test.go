package serve

import (
	"net"
	"testing"
)

func TestTally(t *testing.T) {
	var tally Tally[string]
	for i, want := range []bool{true, true, false} {
		if got := tally.Enter("ann", 2); got != want {
			t.Errorf("%d: %v", i, got)
		}
	}
	if !tally.Enter("bob", 2) || tally.Len() != 2 {
		t.Error("ann takes the place of bob")
	}
	tally.Leave("ann")
	if !tally.Enter("ann", 2) {
		t.Error("a place that was left is not free")
	}
	tally.Leave("ann")
	tally.Leave("ann")
	tally.Leave("bob")
	if n := tally.Len(); n != 0 {
		t.Errorf("%d are remembered who have nothing", n)
	}
}

func TestAddress(t *testing.T) {
	for in, want := range map[net.Addr]string{
		&net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 25}:          "192.0.2.1:25",
		&net.TCPAddr{IP: net.ParseIP("2001:db8::1"), Port: 25}:      "[2001:db8::1]:25",
		&net.TCPAddr{IP: net.ParseIP("::ffff:192.0.2.1"), Port: 25}: "192.0.2.1:25",
		&net.UnixAddr{Name: "/run/x", Net: "unix"}:                  "invalid AddrPort",
	} {
		if got := address(in).String(); got != want {
			t.Errorf("%v is %s, not %s", in, got, want)
		}
	}
}
