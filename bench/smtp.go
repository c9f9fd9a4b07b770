package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// send delivers n letters over some connections, each with the pipelining of
// RFC 2920 as MTAs use it. to names the recipient of a connection.
func send(ctx context.Context, address string, l load, letter func(n int) []byte, to func(conn int) string) error {
	var left atomic.Int64
	left.Store(int64(l.n))
	g, ctx := errgroup.WithContext(ctx)
	for i := range l.conns {
		g.Go(func() error {
			c, err := dialSMTP(ctx, address)
			if err != nil {
				return err
			}
			defer c.Close()
			for n := left.Add(-1); n >= 0; n = left.Add(-1) {
				if err := c.message("load@sender.test", to(i), letter(int(n))); err != nil {
					return err
				}
			}
			return c.command("QUIT", "221")
		})
	}
	return g.Wait()
}

type smtpConn struct {
	net.Conn
	r *bufio.Reader
}

func dialSMTP(ctx context.Context, address string) (*smtpConn, error) {
	return dialMail(ctx, address, "EHLO")
}

func dialLMTP(ctx context.Context, address string) (*smtpConn, error) {
	return dialMail(ctx, address, "LHLO")
}

func dialMail(ctx context.Context, address, hello string) (*smtpConn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	c := &smtpConn{conn, bufio.NewReader(conn)}
	if err := c.expect("220"); err != nil {
		return nil, err
	}
	return c, c.command(hello+" load.sender.test", "250")
}

func (c *smtpConn) command(line, code string) error {
	if _, err := fmt.Fprintf(c, "%s\r\n", line); err != nil {
		return err
	}
	return c.expect(code)
}

func (c *smtpConn) expect(code string) error {
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return err
		}
		if !strings.HasPrefix(line, code) {
			return fmt.Errorf("expected %s, got %q", code, line)
		}
		if line[3] != '-' { // RFC 5321, 4.2: the last line may have no text
			return nil
		}
	}
}

// message sends a message to one recipient.
func (c *smtpConn) message(from, to string, body []byte) error {
	_, err := c.timed(from, to, body)
	return err
}

// timed sends a message and says how long its last answer took.
func (c *smtpConn) timed(from, to string, body []byte) (time.Duration, error) {
	if _, err := fmt.Fprintf(c, "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n", from, to); err != nil {
		return 0, err
	}
	for _, code := range []string{"250", "250", "354"} {
		if err := c.expect(code); err != nil {
			return 0, err
		}
	}
	if _, err := c.Write(body); err != nil {
		return 0, err
	}
	began := time.Now()
	err := c.expect("250")
	return time.Since(began), err
}

// sink is a host that takes every message and counts them.
type sink struct {
	net.Listener
	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	closed  bool
	taken   atomic.Int64 // messages
	reached atomic.Int64 // their recipients
}

func newSink(address string) (*sink, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	s := &sink{Listener: l}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go s.serve(conn)
		}
	}()
	return s, nil
}

// Close ends it with its connections: mail that comes later is for another.
func (s *sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for conn := range s.conns {
		conn.Close()
	}
	return s.Listener.Close()
}

// enter notes a connection, if it still may be.
func (s *sink) enter(conn net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns == nil {
		s.conns = map[net.Conn]struct{}{}
	}
	s.conns[conn] = struct{}{}
	return !s.closed
}

func (s *sink) leave(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

func (s *sink) serve(conn net.Conn) {
	defer conn.Close()
	defer s.leave(conn)
	if !s.enter(conn) {
		return
	}
	r, w := bufio.NewReaderSize(conn, 64<<10), bufio.NewWriter(conn)
	reply := func(text string) bool {
		w.WriteString(text + "\r\n")
		return r.Buffered() > 0 || w.Flush() == nil
	}
	reply("220 sink.test ESMTP")
	recipients := int64(0) // of the transaction
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		switch verb := strings.ToUpper(string(line[:min(4, len(line))])); verb {
		case "EHLO":
			reply("250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 100000000")
		case "MAIL":
			recipients = 0
			reply("250 2.1.0 ok")
		case "RCPT":
			recipients++
			reply("250 2.1.5 ok")
		case "DATA":
			w.WriteString("354 go\r\n")
			w.Flush()
			for !bytes.Equal(line, []byte(".\r\n")) {
				if line, err = r.ReadSlice('\n'); err != nil {
					return
				}
			}
			s.reached.Add(recipients)
			s.taken.Add(1)
			reply("250 2.0.0 taken")
		case "QUIT":
			reply("221 bye")
			w.Flush()
			return
		default:
			reply("250 2.1.0 ok")
		}
	}
}
