package server

import (
	"context"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"plic/internal/serve"
)

// door is an open socket. What comes in goes to the newest server behind it, so
// that a reload changes the server and keeps the socket, and with it every
// connection there is.
type door struct {
	service string
	socket  net.Listener
	places  places
	newest  atomic.Pointer[behind]
}

// openDoor listens at an address.
func openDoor(ctx context.Context, service, address string, p places) (*door, error) {
	l := net.ListenConfig{KeepAliveConfig: keepAlive(service)}
	socket, err := l.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &door{service: service, socket: socket, places: p}, nil
}

// keepAlive says how it is found out that a client has gone without a word. One of POP3
// locks its mailbox until then, for a minute. One of IMAP waits long, maybe in a pocket
// where each question costs some of its battery; it is over before IDLE says that it
// goes on, since nobody is asked who has not yet acknowledged what was said. The others
// are asked as Go does it.
func keepAlive(service string) net.KeepAliveConfig {
	switch service {
	case "pop3", "pop3s":
		return net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3}
	case "imap", "imaps":
		return net.KeepAliveConfig{Enable: true, Idle: 2 * time.Minute, Interval: 20 * time.Second, Count: 4}
	}
	return net.KeepAliveConfig{}
}

// next makes the listener of a new server; what comes in goes there from now
// on. The one before gets nothing more, and its sessions go on.
func (d *door) next() net.Listener {
	b := &behind{door: d, in: make(chan net.Conn), replaced: make(chan struct{}), closed: make(chan struct{})}
	if before := d.newest.Swap(b); before != nil {
		close(before.replaced)
	}
	return b
}

// admit hands connections on until the door is closed.
func (d *door) admit(ctx context.Context, log *slog.Logger) {
	serve.Accept(ctx, d.socket, serve.Options{Name: d.service, Log: log}, func(conn net.Conn) {
		if seated := d.places.take(ctx, conn.(*net.TCPConn)); seated != nil {
			d.hand(ctx, seated)
		}
	})
}

func (d *door) hand(ctx context.Context, conn net.Conn) {
	for {
		b := d.newest.Load()
		select {
		case b.in <- conn:
			return
		case <-b.replaced: // meanwhile; the next one takes it
		case <-b.closed:
			conn.Close()
			return
		case <-ctx.Done():
			conn.Close()
			return
		}
	}
}

// behind is the listener of one server behind a door.
type behind struct {
	door     *door
	in       chan net.Conn
	replaced chan struct{}
	closed   chan struct{}
	once     sync.Once
}

// Accept waits for the next connection. A server that was replaced waits until
// it is closed.
func (b *behind) Accept() (net.Conn, error) {
	select {
	case conn := <-b.in:
		return conn, nil
	case <-b.closed:
		return nil, net.ErrClosed
	}
}

// Close ends this server's part; the socket is the door's.
func (b *behind) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

// Addr is the address of the socket.
func (b *behind) Addr() net.Addr { return b.door.socket.Addr() }
