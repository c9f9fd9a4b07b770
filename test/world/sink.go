package world

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"

	"plic/internal/deliver/delivertest"
)

// Sink is a host that takes mail on port 25 and keeps it in memory. How it
// answers is the Remote's matter.
type Sink struct {
	*delivertest.Remote
	Host    string
	Address string

	mu    sync.Mutex
	l     net.Listener
	conns map[net.Conn]bool
}

// Sink makes a host with a sink that is up; a domain of the same name as the
// host without its first label has it as its MX. Remote may be nil.
func (w *World) Sink(tb testing.TB, host string, r *delivertest.Remote) *Sink {
	tb.Helper()
	s := w.DownSink(tb, host, r)
	s.Up(tb)
	return s
}

// DownSink is a Sink at which nothing listens before Up.
func (w *World) DownSink(tb testing.TB, host string, r *delivertest.Remote) *Sink {
	tb.Helper()
	if r == nil {
		r = &delivertest.Remote{Extensions: []string{"PIPELINING", "8BITMIME", "SMTPUTF8"}}
	}
	r.Name = host
	s := &Sink{Remote: r, Host: host, Address: w.Host(tb, host), conns: map[net.Conn]bool{}}
	_, domain, _ := strings.Cut(host, ".")
	w.MX(tb, domain, 10, host)
	tb.Cleanup(s.Down)
	return s
}

// Up lets the sink listen.
func (s *Sink) Up(tb testing.TB) {
	tb.Helper()
	l := listen(tb, s.Address+":25")
	s.mu.Lock()
	s.l = l
	s.mu.Unlock()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.conns[conn] = true
			s.mu.Unlock()
			go func() {
				s.Serve(conn)
				s.mu.Lock()
				delete(s.conns, conn)
				s.mu.Unlock()
			}()
		}
	}()
}

// Down ends the sink and all its conversations.
func (s *Sink) Down() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.l != nil {
		s.l.Close()
		s.l = nil
	}
	for conn := range s.conns {
		conn.Close()
	}
}

// Wait waits until the sink has taken n messages, and gives them.
func (s *Sink) Wait(tb testing.TB, n int) []delivertest.Message {
	tb.Helper()
	Wait(tb, fmt.Sprintf("%d messages at %s", n, s.Host), func() bool { return len(s.Messages()) >= n })
	return s.Messages()
}

// Said says whether a command that begins so has reached the sink.
func (s *Sink) Said(command string) bool {
	for _, line := range s.Commands() {
		_, line, _ = strings.Cut(line, " ")
		if strings.HasPrefix(strings.ToUpper(line), command) {
			return true
		}
	}
	return false
}

// Times is a script for Remote.On: it gives the answer at the first n steps of
// the name, and lets the sink answer for itself after them.
func Times(n int, step, answer string) func(*delivertest.Conn, string, string) bool {
	var mu sync.Mutex
	return func(c *delivertest.Conn, at, _ string) bool {
		mu.Lock()
		defer mu.Unlock()
		if at != step || n == 0 {
			return false
		}
		n--
		c.Reply(answer)
		return true
	}
}

// Always is a script that gives the answer at every step of the name.
func Always(step, answer string) func(*delivertest.Conn, string, string) bool {
	return Times(-1, step, answer)
}
