// Package dnstest is an authoritative DNS server for tests: it listens on an
// address of the loopback network with UDP and TCP, answers from records that
// the test writes as in a zone file, and misbehaves where it is told to.
//
// It follows CNAMEs within its records, answers NXDOMAIN or no data with a SOA
// for names that it does not know, and sets TC when an answer does not fit.
package dnstest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	wire "github.com/miekg/dns"
)

// Fault is a way to misbehave.
type Fault int

// The faults.
const (
	None      Fault = iota
	ServFail        // RCODE 2
	Refused         // RCODE 5
	FormErr         // RCODE 1 to queries with EDNS, good answers to others
	Silent          // no answer at all
	Truncate        // TC over UDP whatever the size, good answers over TCP
	Garbage         // octets that are no DNS message
	Forged          // before the good answer, ones with the wrong id and question
	Undecoded       // the right header and question, then rubbish
	HalfTCP         // TC over UDP; over TCP the connection ends within the answer
	OneStep         // the first CNAME only, the client must ask for the rest
	Rest            // RCODE 2 to questions that no record answers, good answers to others
)

// Query is a question that the server was asked.
type Query struct {
	Name    string // lower case, no trailing dot
	Type    string // "MX"
	Network string // "udp" or "tcp"
	EDNS    uint16 // size offered, 0 for no EDNS
	AD      bool
}

// Server is a running server. Its methods may be called at any time.
type Server struct {
	udp net.PacketConn
	tcp net.Listener
	wg  sync.WaitGroup

	mu      sync.Mutex
	zones   map[string]bool // absolute names that records were given for, and their parents
	records map[string][]wire.RR
	faults  map[string]Fault
	ad      map[string]bool
	updates updates
	queries []Query
	conns   map[net.Conn]bool
	closed  bool
}

// Offline makes a server without sockets, for tests on a clock of their own:
// it is reached by its Dial alone.
func Offline(tb testing.TB, records ...string) *Server {
	tb.Helper()
	s := newServer()
	if err := s.Add(records...); err != nil {
		tb.Fatal(err)
	}
	return s
}

func newServer() *Server {
	return &Server{zones: map[string]bool{}, records: map[string][]wire.RR{},
		faults: map[string]Fault{}, ad: map[string]bool{}, conns: map[net.Conn]bool{}}
}

// Dial reaches the server without sockets, whatever the address.
func (s *Server) Dial(_ context.Context, network, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	if strings.HasPrefix(network, "tcp") {
		go s.serveConn(far)
	} else {
		go s.servePipe(far)
	}
	return near, nil
}

// New starts a server on a free port of 127.0.0.1 for the time of a test.
func New(tb testing.TB, records ...string) *Server {
	tb.Helper()
	s, err := Start("127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.Close)
	if err := s.Add(records...); err != nil {
		tb.Fatal(err)
	}
	return s
}

// Start starts a server on an address such as "127.0.0.53:53"; port 0 is any
// that is free for both UDP and TCP.
func Start(address string) (*Server, error) {
	var problem error
	for range 20 { // a port that UDP has may be taken for TCP
		tcp, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("start a DNS server: %w", err)
		}
		udp, err := net.ListenPacket("udp", tcp.Addr().String())
		if err != nil {
			tcp.Close()
			problem = err
			continue
		}
		s := newServer()
		s.udp, s.tcp = udp, tcp
		s.wg.Add(2)
		go s.serveUDP()
		go s.serveTCP()
		return s, nil
	}
	return nil, fmt.Errorf("start a DNS server: %w", problem)
}

// Addr is the address to ask, with its port. An offline server has none.
func (s *Server) Addr() string { return s.udp.LocalAddr().String() }

// Close stops the server and waits for its goroutines.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.udp.Close()
	s.tcp.Close()
	s.wg.Wait()
}

// Add adds records written as in a zone file, all names absolute with or
// without a dot at their end: "example.org 60 IN MX 10 mx.example.org.".
func (s *Server) Add(records ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, text := range records {
		rr, err := wire.NewRR(text)
		if err == nil && rr == nil {
			err = errors.New("no record")
		}
		if err != nil {
			return fmt.Errorf("record %q: %w", text, err)
		}
		if rr, err = wired(rr); err != nil {
			return fmt.Errorf("record %q: %w", text, err)
		}
		s.insert(key(rr.Header().Name), rr)
	}
	return nil
}

func (s *Server) insert(name string, rr wire.RR) {
	s.records[name] = append(s.records[name], rr)
	for at := name; at != ""; {
		s.zones[at] = true
		_, at, _ = strings.Cut(at, ".")
	}
}

// wired spells the names of a record as those of questions are spelt.
func wired(rr wire.RR) (wire.RR, error) {
	buf := make([]byte, wire.MaxMsgSize)
	n, err := wire.PackRR(rr, buf, 0, nil, false)
	if err != nil {
		return nil, err
	}
	rr, _, err = wire.UnpackRR(buf[:n], 0)
	return rr, err
}

// Remove forgets the records of a name.
func (s *Server) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.records, key(name))
	s.zones = map[string]bool{}
	for at := range s.records {
		for at != "" {
			s.zones[at] = true
			_, at, _ = strings.Cut(at, ".")
		}
	}
}

// Fail makes the server misbehave for a name, or for all with "*"; None ends
// it.
func (s *Server) Fail(name string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[key(name)] = f
}

// Authentic sets the AD bit of answers about a name, or about all with "*".
func (s *Server) Authentic(name string, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ad[key(name)] = on
}

// Queries are the questions so far, in order.
func (s *Server) Queries() []Query {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.queries)
}

func key(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
