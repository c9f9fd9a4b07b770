package smtpd

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/serve"
	"plic/internal/smtp"
)

// Server holds what the sessions of all its listeners share.
type Server struct {
	o      Options
	panics atomic.Uint64

	stress atomic.Bool

	mu        sync.Mutex
	open      int
	strangers int // of them
	conns     map[*conn]struct{}
	from      map[netip.Prefix]int
	config    map[Kind]tlsPair
}

// tlsPair is a configuration we were given and what we made of it.
type tlsPair struct{ given, ours *tls.Config }

// New makes a Server.
func New(o Options) *Server {
	o.defaults()
	return &Server{o: o, from: map[netip.Prefix]int{}, conns: map[*conn]struct{}{}, config: map[Kind]tlsPair{}}
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
	o := serve.Options{Name: kind.String(), Log: s.o.Log, Grace: s.o.Limits.Grace, Roll: s.o.Sessions, Now: s.o.Now}
	return serve.Run(ctx, l, o, func(nc net.Conn) serve.Session {
		c := newConn(s, kind, nc)
		if refusal, ok := s.admit(c); !ok {
			s.turnAway(c, refusal)
			return nil
		}
		return func(ctx, work context.Context) {
			defer s.leave(c)
			defer context.AfterFunc(ctx, c.stop)()
			defer context.AfterFunc(work, c.kill)()
			c.run(work)
		}
	})
}

var (
	tooMany     = mail.Reply(421, "4.3.2", "too many connections here, try again later")
	tooManyFrom = mail.Reply(421, "4.7.0", "too many connections from your address")
)

// admit counts a connection in, or says why not.
func (s *Server) admit(c *conn) (mail.Status, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limits := s.o.Limits
	each := limits.PerAddress
	if c.stranger() && s.Stressed() {
		each = max(1, each/stressShare)
	}
	switch {
	case !c.local() && s.from[c.network()] >= each:
		return tooManyFrom, false
	case s.open >= limits.Connections, c.stranger() && s.strangers >= limits.Connections-limits.reserved():
		return tooMany, false
	}
	if !c.local() {
		s.from[c.network()]++
	}
	s.count(c, 1)
	return mail.Status{}, true
}

func (s *Server) leave(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count(c, -1)
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
// Where nobody logs in, nobody is asked for a certificate.
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
		if !kind.submission() {
			ours.ClientAuth = tls.NoClientCert
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
