package server

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// A client that has gone without a word is found out about after the time that its
// service gives it.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	for service, want := range map[string][3]int{"pop3s": {30, 10, 3}, "imap": {120, 20, 4}, "smtp": {15, 15, 9}} {
		d, err := openDoor(t.Context(), service, "127.0.0.1:0", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer d.socket.Close()
		theirs, err := net.Dial("tcp", d.socket.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer theirs.Close()
		ours, err := d.socket.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer ours.Close()
		raw, err := ours.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		var got [3]int
		raw.Control(func(fd uintptr) {
			for i, option := range [...]int{unix.TCP_KEEPIDLE, unix.TCP_KEEPINTVL, unix.TCP_KEEPCNT} {
				got[i], _ = unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, option)
			}
			if on, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE); on == 0 {
				t.Errorf("%s: off", service)
			}
		})
		if got != want {
			t.Errorf("%s: %v, want %v", service, got, want)
		}
	}
}
