package imapd

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"

	"plic/internal/pace"
	"plic/internal/serve"
)

// Server serves IMAP on any number of listeners. Its methods may be called at
// the same time.
type Server struct {
	o     Options
	lines sync.Pool // *[]byte, input of inputSize
	wides sync.Pool // *[]byte, input of wideSize
	pages sync.Pool // *[]byte, output and commands, of pageSize
	large sync.Pool // *[]byte, output, of largePage

	searches *pace.Gate // of accounts, through messages
	readings *pace.Gate // and what is long without that
	atWork   *bench
	board    board

	sessions serve.Tally[login]
}

// login is what sessions are counted by: who, "" before it is known, and whence.
type login struct {
	account string
	remote  netip.Addr
}

// New makes a server.
func New(o Options) *Server {
	s := &Server{
		o:     o.withDefaults(),
		lines: sync.Pool{New: func() any { b := make([]byte, inputSize); return &b }},
		wides: sync.Pool{New: func() any { b := make([]byte, wideSize); return &b }},
		pages: sync.Pool{New: func() any { b := make([]byte, 0, pageSize); return &b }},
		large: sync.Pool{New: func() any { b := make([]byte, 0, largePage); return &b }},
	}
	s.atWork, s.searches, s.readings = newBench(s.o.Pace), pace.NewGate(perAccount), pace.NewGate(perAccount)
	return s
}

// Serve takes connections until ctx is done. Then sessions that wait are told
// BYE; those at work end their command within the grace time, or are cut off.
// It closes the listener, and returns when all its sessions have ended: nil
// when it was told to stop.
func (s *Server) Serve(ctx context.Context, listener net.Listener, implicitTLS bool) error {
	if implicitTLS && s.o.TLS == nil {
		listener.Close()
		return errors.New("imap: implicit TLS needs a certificate")
	}
	places := make(chan struct{}, s.o.MaxConnections)
	o := serve.Options{Name: "imap", Log: s.o.Log, Grace: s.o.Grace, Roll: s.o.Sessions, Now: s.o.Now}
	return serve.Run(ctx, listener, o, func(nc net.Conn) serve.Session {
		select {
		case places <- struct{}{}:
		default:
			serve.Refuse(nc, "* BYE [UNAVAILABLE] too many connections, try again later\r\n")
			return nil
		}
		return func(ctx, work context.Context) {
			defer func() { <-places }()
			s.serve(ctx, work, nc, implicitTLS)
		}
	})
}
