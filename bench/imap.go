package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// imapConn is a client that reads as quickly as a socket allows.
type imapConn struct {
	conn net.Conn
	r    *bufio.Reader
	last []byte // the last untagged line
	hits int    // messages in the last answer to SEARCH
	able string // the last CAPABILITY
}

func (s *site) login(ctx context.Context, name string) (*imapConn, error) {
	return s.loginAt(ctx, name, nil, 256<<10)
}

// loginAt logs in, over TLS if that is wanted.
func (s *site) loginAt(ctx context.Context, name string, secret *tls.Config, buffer int) (*imapConn, error) {
	address := s.imap
	if secret != nil {
		address = s.imaps
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if secret != nil {
		conn = tls.Client(conn, secret)
	}
	c := &imapConn{conn: conn, r: bufio.NewReaderSize(conn, buffer)}
	if _, err = c.r.ReadString('\n'); err == nil {
		err = c.do("LOGIN %s %s", name, password)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

func (c *imapConn) close() { c.conn.Close() }

// do sends a command and reads to its tagged OK.
func (c *imapConn) do(format string, args ...any) error {
	command := fmt.Sprintf(format, args...)
	if _, err := c.conn.Write([]byte("t " + command + "\r\n")); err != nil {
		return err
	}
	if err := c.done(); err != nil {
		return fmt.Errorf("%.60s: %w", command, err)
	}
	return nil
}

// each does some commands.
func (c *imapConn) each(commands ...string) error {
	for _, command := range commands {
		if err := c.do("%s", command); err != nil {
			return err
		}
	}
	return nil
}

// done reads to the tagged response, which must be OK.
func (c *imapConn) done() error {
	c.hits = 0
	found := false // within the answer to SEARCH, which may be longer than the buffer
	for begin := true; ; {
		line, err := c.r.ReadSlice('\n')
		if begin {
			if found = bytes.HasPrefix(line, []byte("* SEARCH")); found {
				c.hits = -1 // for the space before the word
			}
		}
		if found {
			c.hits += bytes.Count(line, []byte(" "))
		}
		if err == bufio.ErrBufferFull {
			begin = false
			continue
		}
		if err != nil {
			return err
		}
		if begin && bytes.HasPrefix(line, []byte("t ")) {
			if !bytes.HasPrefix(line, []byte("t OK")) {
				return fmt.Errorf("answer %q", line)
			}
			return nil
		}
		c.note(line)
		if n, ok := literal(line); ok {
			if _, err := io.CopyN(io.Discard, c.r, n); err != nil {
				return err
			}
			begin = false
			continue
		}
		begin = true
	}
}

// note keeps what later questions are about.
func (c *imapConn) note(line []byte) {
	if bytes.HasPrefix(line, []byte("* CAPABILITY ")) {
		c.able = strings.TrimSpace(string(line)) + " "
	}
	if len(line) < 200 {
		c.last = append(c.last[:0], line...)
	}
}

func literal(line []byte) (int64, bool) {
	line, ok := bytes.CutSuffix(line, []byte("}\r\n"))
	if !ok {
		return 0, false
	}
	i := bytes.LastIndexByte(line, '{')
	n, err := strconv.ParseInt(string(line[i+1:]), 10, 64)
	return n, i >= 0 && err == nil
}

// offers says whether the server has a capability.
func (c *imapConn) offers(name string) (bool, error) {
	err := c.do("CAPABILITY")
	return strings.Contains(c.able, " "+name+" "), err
}

// idle waits with IDLE; said gets the moment of each EXISTS.
func (c *imapConn) idle() (said <-chan time.Time, err error) {
	if _, err := fmt.Fprintf(c.conn, "t IDLE\r\n"); err != nil {
		return nil, err
	}
	if _, err := c.r.ReadString('\n'); err != nil {
		return nil, err
	}
	out := make(chan time.Time, 100)
	go func() {
		for {
			line, err := c.r.ReadSlice('\n')
			if err != nil {
				return
			}
			if bytes.HasSuffix(line, []byte("EXISTS\r\n")) {
				out <- time.Now()
			}
		}
	}()
	return out, nil
}

// append1 puts one message into a mailbox and waits for the answer.
func (c *imapConn) append1(box string, body []byte) error {
	return c.put(appendText(nil, "t APPEND "+box, body, true))
}

func appendText(b []byte, command string, body []byte, end bool) []byte {
	b = fmt.Appendf(b, "%s (\\Seen) {%d+}\r\n", command, len(body))
	b = append(b, body...)
	if end {
		b = append(b, "\r\n"...)
	}
	return b
}

var errNoMulti = errors.New("no MULTIAPPEND")

// multi puts messages into a mailbox by RFC 3502, some at a time.
func (c *imapConn) multi(box string, from, to, at int, make func(int) []byte) (octets int64, err error) {
	if ok, err := c.offers("MULTIAPPEND"); err != nil {
		return 0, err
	} else if !ok {
		return 0, errNoMulti
	}
	for from < to {
		n := min(at, to-from)
		text, some := multiText(box, n, func(i int) []byte { return make(from + i) })
		octets += some
		if err := c.put(text); err != nil {
			return octets, err
		}
		from += n
	}
	return octets, nil
}

// multiText is a command that puts messages into a mailbox; octets are those of
// the messages.
func multiText(box string, n int, make func(int) []byte) (text []byte, octets int64) {
	for i := range n {
		command := ""
		if i == 0 {
			command = "t APPEND " + box
		}
		body := make(i)
		octets += int64(len(body))
		text = appendText(text, command, body, i == n-1)
	}
	return text, octets
}

// put sends a command that was written before, and waits for the answer.
func (c *imapConn) put(text []byte) error {
	if _, err := c.conn.Write(text); err != nil {
		return err
	}
	return c.done()
}
