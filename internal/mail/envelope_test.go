package mail

import (
	"net/netip"
	"testing"
)

func TestStranger(t *testing.T) {
	excepted := []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("fe80::/64")}
	from := func(addr string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(addr), 25) }
	for name, c := range map[string]struct {
		origin Origin
		want   bool
	}{
		"another host":              {Origin{Service: "smtp", Remote: from("198.51.100.1")}, true},
		"of IPv6":                   {Origin{Service: "smtp", Remote: from("2001:db8::1")}, true},
		"excepted":                  {Origin{Service: "smtp", Remote: from("192.0.2.7")}, false},
		"excepted, written as IPv6": {Origin{Service: "smtp", Remote: from("::ffff:192.0.2.7")}, false},
		"excepted, on some link":    {Origin{Service: "smtp", Remote: from("fe80::1%eth0")}, false},
		"who logged in":             {Origin{Service: "smtp", Account: "ann@example.org", Remote: from("198.51.100.1")}, false},
		"a submission":              {Origin{Service: "submission", Remote: from("198.51.100.1")}, false},
		"a program of this host":    {Origin{Service: "local"}, false},
		"over a socket":             {Origin{Service: "smtp"}, false},
	} {
		if got := c.origin.Stranger(excepted); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
