package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

const largeBox = "Archive"

// imapConn is a client that reads as quickly as a socket allows.
type imapConn struct {
	conn net.Conn
	r    *bufio.Reader
	last string // the last untagged line
}

func (s *site) login(ctx context.Context, name string) (*imapConn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.imap)
	if err != nil {
		return nil, err
	}
	c := &imapConn{conn: conn, r: bufio.NewReaderSize(conn, 256<<10)}
	if _, err := c.r.ReadString('\n'); err != nil {
		return nil, err
	}
	return c, c.do(fmt.Sprintf("LOGIN %s %s", name, password))
}

func (c *imapConn) close() { c.conn.Close() }

// do sends a command and reads to its tagged OK.
func (c *imapConn) do(command string) error {
	if _, err := fmt.Fprintf(c.conn, "t %s\r\n", command); err != nil {
		return err
	}
	return c.done()
}

func (c *imapConn) done() error {
	for {
		line, err := c.r.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			continue
		}
		if err != nil {
			return err
		}
		if bytes.HasPrefix(line, []byte("t ")) {
			if !bytes.HasPrefix(line, []byte("t OK")) {
				return fmt.Errorf("answer %q", line)
			}
			return nil
		}
		if len(line) < 200 {
			c.last = string(line)
		}
		if n, ok := literal(line); ok {
			if _, err := io.CopyN(io.Discard, c.r, n); err != nil {
				return err
			}
		}
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

// count is the number of messages in the INBOXes of the first users.
func (s *site) count(ctx context.Context, users int) (int, error) {
	total := 0
	for i := range users {
		if s.watch[i] == nil {
			c, err := s.login(ctx, user(i))
			if err != nil {
				return 0, err
			}
			s.watch[i] = c
		}
		n, err := s.watch[i].messages()
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

// messages is the number of messages in the INBOX.
func (c *imapConn) messages() (int, error) {
	if err := c.do("STATUS INBOX (MESSAGES)"); err != nil {
		return 0, err
	}
	_, text, _ := strings.Cut(c.last, "(MESSAGES ")
	n, err := strconv.Atoi(strings.TrimRight(text, ")\r\n"))
	if err != nil {
		return 0, fmt.Errorf("STATUS answered %q", c.last)
	}
	return n, nil
}

// arrived waits until the INBOX of an account has some messages.
func (s *site) arrived(ctx context.Context, name string, n int) error {
	c, err := s.login(ctx, name)
	if err != nil {
		return err
	}
	defer c.close()
	for {
		switch there, err := c.messages(); {
		case err != nil:
			return err
		case there >= n:
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// fill makes the large mailbox, once, over several connections. That is not
// measured.
func (s *site) fill(ctx context.Context, messages int) error {
	if s.filled {
		return nil
	}
	const conns = 20
	g, ctx := errgroup.WithContext(ctx)
	for range conns {
		g.Go(func() error {
			c, err := s.login(ctx, user(0))
			if err != nil {
				return err
			}
			defer c.close()
			return s.append(c, messages/conns)
		})
	}
	s.filled = true
	return g.Wait()
}

// append puts messages into the large mailbox.
func (s *site) append(c *imapConn, messages int) error {
	c.do("CREATE " + largeBox) // it may be there already
	body := bytes.TrimSuffix(sample(1<<10), []byte(".\r\n"))
	const window = 100
	for sent := 0; sent < messages; sent += window {
		w := bufio.NewWriterSize(c.conn, 64<<10)
		for i := range window {
			if i == 0 || !s.multiAppend {
				fmt.Fprintf(w, "t APPEND %s", largeBox)
			}
			fmt.Fprintf(w, " (\\Seen) {%d+}\r\n%s", len(body), body)
			if i == window-1 || !s.multiAppend {
				w.WriteString("\r\n")
			}
		}
		go w.Flush()
		answers := window
		if s.multiAppend {
			answers = 1
		}
		for range answers {
			if err := c.done(); err != nil {
				return err
			}
		}
	}
	return nil
}

// retrieve reads n messages by POP3 and gives the milliseconds it took.
func retrieve(ctx context.Context, s *site, n int) (float64, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.pop3)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	r := bufio.NewReaderSize(conn, 64<<10)
	ok := func(command string) error {
		if command != "" {
			fmt.Fprintf(conn, "%s\r\n", command)
		}
		line, err := r.ReadString('\n')
		if err == nil && !strings.HasPrefix(line, "+OK") {
			err = fmt.Errorf("%q was answered %q", command, line)
		}
		return err
	}
	for _, command := range []string{"", "USER " + popUser, "PASS " + password, "STAT"} {
		if err := ok(command); err != nil {
			return 0, err
		}
	}
	start := time.Now()
	for i := range n {
		if err := ok(fmt.Sprintf("RETR %d", i+1)); err != nil {
			return 0, err
		}
		for line := []byte(nil); !bytes.Equal(line, []byte(".\r\n")); {
			if line, err = r.ReadSlice('\n'); err != nil {
				return 0, err
			}
		}
	}
	took := millis(time.Since(start))
	return took, ok("QUIT")
}

// idling is the memory in KiB that each idling connection adds to the server's
// processes: their proportional set size, as the kernel counts it.
func idling(ctx context.Context, s *site, n int) (float64, error) {
	before := s.memory()
	conns := make([]*imapConn, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range conns {
		g.Go(func() error {
			c, err := s.login(ctx, user(i%users))
			if err != nil {
				return err
			}
			conns[i] = c
			if err := c.do("SELECT INBOX"); err != nil {
				return err
			}
			fmt.Fprintf(c.conn, "t IDLE\r\n")
			_, err = c.r.ReadString('\n')
			return err
		})
	}
	err := g.Wait()
	time.Sleep(3 * time.Second) // let buffers go and collections end
	after := s.memory()
	for _, c := range conns {
		if c != nil {
			c.close()
		}
	}
	return float64(after-before) / float64(n), err
}

// memory is the proportional set size of the site's processes in KiB.
func (s *site) memory() int64 {
	var total int64
	for _, dir := range glob("/proc/[0-9]*") {
		if exe, _ := os.Readlink(dir + "/exe"); !s.owns(exe) {
			continue
		}
		text, _ := os.ReadFile(dir + "/smaps_rollup")
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "Pss:"); ok {
				kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
				total += kib
			}
		}
	}
	return total
}

func glob(pattern string) []string {
	list, _ := filepath.Glob(pattern)
	return list
}
