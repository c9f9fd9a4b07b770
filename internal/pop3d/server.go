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

	unheard func(net.Conn) time.Duration // serve.Unheard

	mu    sync.Mutex
	open  map[string]*hold     // the accounts whose maildrop is locked
	last  map[string]time.Time // login of an account, as long as it matters
	sweep time.Time            // when last was looked through
}

// New makes a server.
func New(o Options) *Server {
	return &Server{
		o: o.withDefaults(), writers: newWriters(), chunks: newChunks(),
		open: map[string]*hold{}, last: map[string]time.Time{}, unheard: serve.Unheard,
	}
}

// hold is the lock of a maildrop.
type hold struct {
	nc    net.Conn
	ended chan struct{} // closed when it is given back
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

// gone is how long a client may owe an answer before another session of its account
// may end its own.
const gone = time.Minute

// lock gives one session the maildrop, RFC 1939 section 4. If the client of the one
// that has it has gone without a word, that ends: else it would last until a time-out,
// while the client is back and wants its mail.
func (s *Server) lock(ctx context.Context, account string, nc net.Conn) bool {
	other := s.take(account, nc)
	if other == nil {
		return true
	}
	if s.unheard(other.nc) < gone {
		return false
	}
	other.nc.Close()
	select {
	case <-other.ended:
	case <-ctx.Done():
		return false
	}
	return s.take(account, nc) == nil
}

// take locks the maildrop, or gives the hold that another session has of it.
func (s *Server) take(account string, nc net.Conn) *hold {
	s.mu.Lock()
	defer s.mu.Unlock()
	other := s.open[account]
	if other == nil {
		s.open[account] = &hold{nc, make(chan struct{})}
	}
	return other
}

func (s *Server) unlock(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.open[account].ended)
	delete(s.open, account)
}
