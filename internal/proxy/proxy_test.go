package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestRead(t *testing.T) {
	v2 := signature + "\x21\x11\x00\x0c\xc0\x00\x02\x03\xc6\x33\x64\x01\x04\xd2\x00\x19"
	six := signature + "\x21\x21\x00\x26\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x01\x20\x01\x0d\xb8" + strings.Repeat("\x00", 11) + "\x02\x04\xd2\x00\x19\x04\x00"
	for _, x := range []struct{ in, remote, local string }{
		{"PROXY TCP4 192.0.2.3 198.51.100.1 1234 25\r\n", "192.0.2.3:1234", "198.51.100.1:25"},
		{"PROXY TCP6 2001:db8::1 2001:db8::2 1234 25\r\n", "[2001:db8::1]:1234", "[2001:db8::2]:25"},
		{"PROXY UNKNOWN\r\n", "", ""},
		{"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "", ""},
		{v2, "192.0.2.3:1234", "198.51.100.1:25"},
		{six, "[2001:db8::1]:1234", "[2001:db8::2]:25"},
		{signature + "\x20\x00\x00\x00", "", ""},
		{signature + "\x21\x31\x00\x00", "", ""},
	} {
		h, err := Read(bufio.NewReader(strings.NewReader(x.in + "EHLO x\r\n")))
		if err != nil || x.remote != "" && (h.Remote.String() != x.remote || h.Local.String() != x.local) || x.remote == "" && h.Remote.IsValid() {
			t.Errorf("%q: %+v %v", x.in, h, err)
		}
	}
	for _, bad := range []string{
		"", "EHLO mx.example.org\r\n", "PROXY TCP4 192.0.2.3 198.51.100.1 1234\r\n", "PROXY TCP4 2001:db8::1 192.0.2.1 1 2\r\n",
		"PROXY TCP4 192.0.2.3 198.51.100.1 99999 25\r\n", "PROXY " + strings.Repeat("A", 200), "PROXY TCP4 192.0.2.3 198.51.100.1 1 25\n",
		signature + "\x31\x11\x00\x0c", signature + "\x21\x11\x00\x04aaaa", signature + "\x21\x11\xff\xff",
	} {
		if h, err := Read(bufio.NewReader(strings.NewReader(bad))); err == nil {
			t.Errorf("%q was taken: %+v", bad, h)
		}
	}
}

func TestListen(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")}
	l := Listen(t.Context(), inner, Options{Trusted: trusted, Timeout: time.Hour})
	defer l.Close()
	dial := func(from, text string) net.Conn {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		nc, err := d.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		fmt.Fprint(nc, text)
		return nc
	}
	dial("127.0.0.9", "") // must not hold up the others
	dial("127.0.0.9", "PROXY TCP4 192.0.2.3 198.51.100.1 1234 25\r\nEHLO x\r\n")
	nc, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 8)
	if _, err := io.ReadFull(nc, buf); err != nil || string(buf) != "EHLO x\r\n" || nc.RemoteAddr().String() != "192.0.2.3:1234" {
		t.Errorf("%q %v from %v", buf, err, nc.RemoteAddr())
	}
	dial("127.0.0.8", "PROXY TCP4 192.0.2.3 198.51.100.1 1234 25\r\n") // who is nobody's balancer
	if nc, err = l.Accept(); err != nil || !strings.HasPrefix(nc.RemoteAddr().String(), "127.0.0.8:") {
		t.Errorf("%v from %v", err, nc.RemoteAddr())
	}
	l.Close()
	if _, err := l.Accept(); err == nil {
		t.Error("it accepts when it is closed")
	}
	if inner, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	defer Listen(t.Context(), inner, Options{Trusted: trusted, Timeout: time.Millisecond}).Close()
	if _, err := dial("127.0.0.9", "").Read(buf); err != io.EOF {
		t.Errorf("a balancer without a header: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("PROXY TCP4 192.0.2.3 198.51.100.1 1234 25\r\n")
	f.Add(signature + "\x21\x11\x00\x0c\xc0\x00\x02\x03\xc6\x33\x64\x01\x04\xd2\x00\x19")
	f.Fuzz(func(t *testing.T, in string) {
		h, err := Read(bufio.NewReader(strings.NewReader(in)))
		if err == nil && h.Remote.IsValid() != h.Local.IsValid() {
			t.Errorf("%q: %+v", in, h)
		}
	})
}
