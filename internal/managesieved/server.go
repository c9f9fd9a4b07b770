package managesieved

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime/debug"
	"time"

	"plic/internal/journal"
	"plic/internal/mail"
	"plic/internal/serve"
	"plic/internal/store"
)

// Server serves ManageSieve on any number of listeners. Its methods may be
// called at the same time.
type Server struct {
	o     Options
	hosts serve.Tally[netip.Addr]
}

// New makes a server.
func New(o Options) *Server {
	return &Server{o: o.withDefaults()}
}

// Serve takes connections until ctx is done. Then sessions that wait are told to
// come again; those at work end their command within the grace time, or are cut
// off. It closes the listener, and returns when all its sessions have ended.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	o := serve.Options{Name: "managesieve", Log: s.o.Log, Grace: s.o.Grace, Roll: s.o.Sessions, Now: s.o.Now}
	places := make(chan struct{}, s.o.MaxConnections)
	return serve.Run(ctx, listener, o, func(nc net.Conn) serve.Session {
		remote := serve.Remote(nc)
		if len(places) == cap(places) || !s.hosts.Enter(remote.Addr(), s.o.PerHost) {
			serve.Refuse(nc, "BYE (TRYLATER) \"too many connections, try again later\"\r\n")
			return nil
		}
		places <- struct{}{} // only the accepting loop adds to it
		return func(ctx, work context.Context) {
			defer func() {
				s.hosts.Leave(remote.Addr())
				<-places
			}()
			s.serve(ctx, work, nc, remote)
		}
	})
}

// session is one session.
type session struct {
	server  *Server
	nc      net.Conn
	id      mail.ID
	remote  netip.AddrPort
	tls     *tls.ConnectionState // nil without
	stop    context.Context      // done when the server begins to stop
	started time.Time

	in      *bufio.Reader
	out     *bufio.Writer
	account *store.Account // nil before login
	owner   string
	bad     int // commands that were no good, in a row
	leaving bool
}

// serve runs a session to its end, whatever happens in it.
func (s *Server) serve(stop, work context.Context, nc net.Conn, remote netip.AddrPort) {
	c := &session{server: s, nc: nc, id: mail.NewID(s.o.Now()), remote: remote, stop: stop, started: s.o.Now()}
	defer context.AfterFunc(work, func() { nc.Close() })()
	defer context.AfterFunc(stop, func() { nc.SetReadDeadline(time.Unix(1, 0)) })()
	c.in, c.out = bufio.NewReaderSize(nc, 4<<10), bufio.NewWriterSize(patient{c}, 4<<10)
	c.record(journal.Event{Kind: journal.Connect})
	defer c.end()
	c.run(work)
}

// end leaves nothing behind; a panic of the session ends here too.
func (c *session) end() {
	if p := recover(); p != nil {
		c.server.o.Log.Error("managesieve: panic", "conn", c.id, "panic", p, "stack", string(debug.Stack()))
		c.record(journal.Event{Kind: journal.Panic, Reason: fmt.Sprint(p)})
	}
	c.nc.Close()
	c.record(journal.Event{Kind: journal.Disconnect, Took: c.server.o.Now().Sub(c.started)})
}

func (c *session) record(e journal.Event) {
	if c.server.o.Journal == nil {
		return
	}
	e.Service, e.Conn, e.Account, e.Remote = "managesieve", c.id, c.owner, c.remote.String()
	if c.tls != nil {
		e.TLS = tls.VersionName(c.tls.Version) + " " + tls.CipherSuiteName(c.tls.CipherSuite)
	}
	c.server.o.Journal.Record(e)
}

// handshake starts TLS. What was read before is not known any more.
func (c *session) handshake(ctx context.Context) error {
	t := tls.Server(c.nc, c.server.o.TLS)
	t.SetDeadline(time.Now().Add(c.server.o.LoginTimeout))
	if err := t.HandshakeContext(ctx); err != nil {
		c.record(journal.Event{Kind: journal.TLS, Reason: err.Error()})
		return fmt.Errorf("TLS handshake: %w", err)
	}
	t.SetDeadline(time.Time{})
	state := t.ConnectionState()
	c.nc, c.tls = t, &state
	c.in.Reset(t)
	c.out.Reset(patient{c})
	c.record(journal.Event{Kind: journal.TLS})
	return nil
}

// The commands that may be no good in a row before we hang up.
const maxBad = 10

// run greets and does commands until one of the two has had enough.
func (c *session) run(ctx context.Context) {
	login := time.Now().Add(c.server.o.LoginTimeout)
	c.capabilities()
	c.answer(ok("plic is ready"))
	for !c.leaving {
		patience := login
		if c.account != nil {
			patience = time.Now().Add(c.server.o.IdleTimeout)
		}
		c.nc.SetReadDeadline(patience)
		if c.stop.Err() != nil {
			c.answer(bye("TRYLATER", "the server ends the session, come back soon"))
			return
		}
		cmd, err := c.read()
		if err != nil {
			c.lost(err)
			return
		}
		r := c.do(ctx, cmd)
		if c.bad++; r.word != "NO" {
			c.bad = 0
		}
		if c.bad >= maxBad {
			r = bye("", "too many commands that are no good")
		}
		if c.answer(r) != nil || r.word == "BYE" {
			return
		}
	}
}

// lost says why a session ends whose command could not be read.
func (c *session) lost(err error) {
	var bad syntaxError
	switch {
	case c.stop.Err() != nil:
		c.answer(bye("TRYLATER", "the server ends the session, come back soon"))
	case errors.As(err, &bad):
		c.answer(bye("", string(bad)))
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.answer(bye("", "nothing was said for too long"))
	}
}
