package pop3d

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"plic/internal/serve"
)

// Server serves POP3 on any number of listeners. Its methods may be called at
// the same time.
type Server struct {
	o       Options
	writers sync.Pool // *bufio.Writer
	chunks  sync.Pool // *[]byte

	hosts serve.Tally[netip.Addr]

	mu    sync.Mutex
	last  map[string]time.Time // login of an account, as long as it matters
	sweep time.Time            // when last was looked through
}

// New makes a server.
func New(o Options) *Server {
	return &Server{
		o: o.withDefaults(), writers: newWriters(), chunks: newChunks(),
		last: map[string]time.Time{},
	}
}

// Serve takes connections until ctx is done. Then sessions that wait are told
// to come again; those at work end their command within the grace time, or are
// cut off. It closes the listener, and returns when all its sessions have
// ended: nil when it was told to stop.
func (s *Server) Serve(ctx context.Context, listener net.Listener, implicitTLS bool) error {
	if implicitTLS && s.o.TLS == nil {
		listener.Close()
		return errors.New("pop3: implicit TLS needs a certificate")
	}
	places := make(chan struct{}, s.o.MaxConnections)
	o := serve.Options{Name: "pop3", Log: s.o.Log, Grace: s.o.Grace, Roll: s.o.Sessions, Now: s.o.Now}
	return serve.Run(ctx, listener, o, func(nc net.Conn) serve.Session {
		remote := serve.Remote(nc)
		if len(places) == cap(places) || !s.hosts.Enter(remote.Addr(), s.o.PerHost) {
			serve.Refuse(nc, "-ERR [SYS/TEMP] too many connections, try again later\r\n")
			return nil
		}
		places <- struct{}{} // only the accepting loop adds to it
		return func(ctx, work context.Context) {
			defer func() {
				s.hosts.Leave(remote.Addr())
				<-places
			}()
			s.serve(ctx, work, nc, remote, implicitTLS)
		}
	})
}
