package maildrop

import (
	"net"

	"golang.org/x/sys/unix"
)

// peer is who runs the program at the other end.
func peer(conn net.Conn) int {
	uid := -1
	c, ok := conn.(*net.UnixConn)
	if !ok {
		return uid
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return uid
	}
	raw.Control(func(fd uintptr) {
		if cred, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err == nil {
			uid = int(cred.Uid)
		}
	})
	return uid
}
