package smtpd

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/smtp"
)

// Server holds what the sessions of all its listeners share.
type Server struct {
	o      Options
	panics atomic.Uint64

	mu     sync.Mutex
	open   int
	from   map[netip.Prefix]int
	config map[Kind]tlsPair
}

// tlsPair is a configuration we were given and what we made of it.
type tlsPair struct{ given, ours *tls.Config }

// New makes a Server.
func New(o Options) *Server {
	o.defaults()
	return &Server{o: o, from: map[netip.Prefix]int{}, config: map[Kind]tlsPair{}}
}

// Connections is how many connections are open.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// Panics is how many connections ended by a panic.
func (s *Server) Panics() uint64 { return s.panics.Load() }

// Serve accepts connections until ctx ends, then stops in two stages: idle
// sessions are sent away with 421, those in a transaction may end it within
// Limits.Grace, what is left then is cancelled. It closes the listener and
// returns when every session has ended; the error is nil after a stop.
func (s *Server) Serve(ctx context.Context, l net.Listener, kind Kind) error {
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var group group
	unhook := context.AfterFunc(ctx, func() { l.Close() })
	err := s.accept(ctx, work, l, kind, &group)
	unhook()
	l.Close() // whatever ended accept
	if ctx.Err() != nil {
		err = nil
	}
	group.stop()
	if !group.wait(s.o.Limits.Grace) {
		cancel()
		group.kill()
		group.ended.Wait()
	}
	return err
}

// accept starts a session for each connection until the listener is closed.
func (s *Server) accept(ctx, work context.Context, l net.Listener, kind Kind, group *group) error {
	pause := time.Duration(0)
	for {
		nc, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return err
			}
			// Out of file descriptors or the like: it passes.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			s.o.Log.Error("accept failed", "service", kind.String(), "error", err)
			if s.o.Wait(ctx, pause) != nil {
				return err
			}
			continue
		}
		pause = 0
		c := newConn(s, kind, nc)
		if refusal, ok := s.admit(c); !ok {
			s.turnAway(c, refusal)
			continue
		}
		if !group.add(c) {
			s.leave(c)
			nc.Close()
			continue
		}
		go func() {
			defer group.remove(c)
			defer s.leave(c)
			c.run(work)
		}()
	}
}

var (
	tooMany     = mail.Reply(421, "4.3.2", "too many connections here, try again later")
	tooManyFrom = mail.Reply(421, "4.7.0", "too many connections from your address")
)

// admit counts a connection in, or says why not.
func (s *Server) admit(c *conn) (mail.Status, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open >= s.o.Limits.Connections {
		return tooMany, false
	}
	if !c.local() {
		if s.from[c.network()] >= s.o.Limits.PerAddress {
			return tooManyFrom, false
		}
		s.from[c.network()]++
	}
	s.open++
	return mail.Status{}, true
}

func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if !c.local() {
		if s.from[c.network()]--; s.from[c.network()] <= 0 {
			delete(s.from, c.network())
		}
	}
}

// turnAway answers a connection that was not admitted. A fresh socket takes
// one line without waiting; where TLS comes first there are no words.
func (s *Server) turnAway(c *conn, refusal mail.Status) {
	if c.kind != Submissions {
		c.nc.SetWriteDeadline(time.Now().Add(time.Second))
		c.nc.Write(smtp.AppendStatus(nil, refusal)) // it is closed either way
	}
	c.nc.Close()
	c.record(journal.Event{Kind: journal.Reject, Status: refusal.String()})
}

// tlsConfig is the configuration for a kind of service, nil for none. Session
// tickets are off on port 25, where Microsoft's senders fail on those of TLS
// 1.3; a client that asks for another protocol by ALPN is refused, RFC 7301.
func (s *Server) tlsConfig(kind Kind) *tls.Config {
	if s.o.TLS == nil {
		return nil
	}
	given := s.o.TLS()
	if given == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	pair := s.config[kind]
	if pair.given != given {
		ours := given.Clone()
		if kind == MX {
			ours.SessionTicketsDisabled = true
		}
		ours.MinVersion = max(ours.MinVersion, tls.VersionTLS12)
		if len(ours.NextProtos) == 0 {
			ours.NextProtos = []string{"smtp"}
		}
		pair = tlsPair{given, ours}
		s.config[kind] = pair
	}
	return pair.ours
}

// group is the open connections of one listener.
type group struct {
	ended   sync.WaitGroup
	mu      sync.Mutex
	conns   map[*conn]struct{}
	stopped bool
}

func (g *group) add(c *conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return false
	}
	if g.conns == nil {
		g.conns = map[*conn]struct{}{}
	}
	g.conns[c] = struct{}{}
	g.ended.Add(1)
	return true
}

func (g *group) remove(c *conn) {
	g.mu.Lock()
	delete(g.conns, c)
	g.mu.Unlock()
	g.ended.Done()
}

// stop asks every session to end as soon as it may.
func (g *group) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stopped = true
	for c := range g.conns {
		c.stop()
	}
}

func (g *group) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for c := range g.conns {
		c.kill()
	}
}

// wait says whether all ended in time.
func (g *group) wait(grace time.Duration) bool {
	done := make(chan struct{})
	go func() {
		g.ended.Wait()
		close(done)
	}()
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
