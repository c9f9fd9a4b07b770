package smtpd

import (
	"net"
	"syscall"
)

// early says that a client has sent something before it was greeted, which
// RFC 5321 section 3.1 forbids and only senders of junk do. It looks without
// waiting and takes nothing.
func early(nc net.Conn) bool {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	n := 0
	err = raw.Read(func(fd uintptr) bool {
		var one [1]byte
		n, _, _ = syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return true
	})
	return err == nil && n > 0
}
