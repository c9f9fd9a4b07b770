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

	"golang.org/x/sync/errgroup"
)

// send delivers n messages over some connections, each with the pipelining of
// RFC 2920 as MTAs use it. to names the recipient of a connection.
func send(ctx context.Context, address string, l load, to func(conn int) string) error {
	body := sample(l.size)
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
			for left.Add(-1) >= 0 {
				if err := c.message("load@sender.test", to(i), body); err != nil {
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
		if line[3] == ' ' {
			return nil
		}
	}
}

func (c *smtpConn) message(from, to string, body []byte) error {
	if _, err := fmt.Fprintf(c, "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n", from, to); err != nil {
		return err
	}
	for _, code := range []string{"250", "250", "354"} {
		if err := c.expect(code); err != nil {
			return err
		}
	}
	if _, err := c.Write(body); err != nil {
		return err
	}
	return c.expect("250")
}

// sample is a message of about the size, with its final dot.
func sample(size int) []byte {
	var b bytes.Buffer
	b.WriteString("From: Load Test <load@sender.test>\r\nTo: Somebody <bob@sink.test>\r\n" +
		"Subject: Quarterly figures and the minutes of the meeting\r\nDate: Mon, 23 Nov 2026 10:00:00 +0000\r\n" +
		"Message-ID: <20261123100000.1@sender.test>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n")
	for i := 0; b.Len() < size-5; i++ {
		fmt.Fprintf(&b, "Line %04d of a letter that is long enough to be a line of text.\r\n", i)
	}
	b.WriteString(".\r\n")
	return b.Bytes()
}

// sink is a host that takes every message and counts them.
type sink struct {
	net.Listener
	mu     sync.Mutex
	conns  map[net.Conn]struct{}
	closed bool
	taken  atomic.Int64
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
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		switch verb := strings.ToUpper(string(line[:min(4, len(line))])); verb {
		case "EHLO":
			reply("250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 100000000")
		case "DATA":
			w.WriteString("354 go\r\n")
			w.Flush()
			for !bytes.Equal(line, []byte(".\r\n")) {
				if line, err = r.ReadSlice('\n'); err != nil {
					return
				}
			}
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
