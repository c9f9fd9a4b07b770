package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"time"
)

// popMeasures are the fetching of every message of an INBOX by POP3.
func popMeasures(n sizes) []measure {
	fill := func(ctx context.Context, s *site) error { return s.fillPop(ctx, n.pop) }
	return []measure{
		{name: fmt.Sprintf("POP3 RETR of %d messages, one by one", n.pop), unit: "ms", reach: 0.8, prepare: fill,
			do: func(ctx context.Context, s *site) (float64, error) { return retrieve(ctx, s, n.pop, false) }},
		{name: fmt.Sprintf("POP3 RETR of %d messages, pipelined", n.pop), unit: "ms", reach: 0.7, prepare: fill,
			do: func(ctx context.Context, s *site) (float64, error) { return retrieve(ctx, s, n.pop, true) }},
	}
}

// fillPop makes the mailbox that is fetched, once.
func (s *site) fillPop(ctx context.Context, n int) error {
	if s.popFilled {
		return nil
	}
	c, err := s.login(ctx, popUser)
	if err != nil {
		return err
	}
	defer c.close()
	for i := range n {
		if err := c.append1("INBOX", s.letters.letter(i)); err != nil {
			return err
		}
	}
	s.popFilled = true
	return nil
}

// retrieve reads n messages by POP3 and gives the milliseconds it took.
func retrieve(ctx context.Context, s *site, n int, pipelined bool) (float64, error) {
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
	if pipelined {
		var all bytes.Buffer
		for i := range n {
			fmt.Fprintf(&all, "RETR %d\r\n", i+1)
		}
		go all.WriteTo(conn)
	}
	for i := range n {
		if !pipelined {
			fmt.Fprintf(conn, "RETR %d\r\n", i+1)
		}
		if err := ok(""); err != nil {
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
