package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// measures are all that is compared, in order.
func measures(n sizes) []measure {
	all := sessionMeasures(n)
	all = append(all, mailboxMeasures(n)...)
	all = append(all, shareMeasures(n)...)
	all = append(all, changeMeasures(n)...)
	all = append(all, popMeasures(n)...)
	all = append(all, ingestMeasures()...)
	return append(all, queueMeasures()...)
}

// load is one way of sending: message size in octets, connections, messages.
type load struct{ size, conns, n int }

func (l load) String() string {
	return fmt.Sprintf("%d KiB, %d connections", l.size>>10, l.conns)
}

func ingestMeasures() []measure {
	var all []measure
	for _, l := range []struct {
		load
		least float64
	}{
		{load{2 << 10, 1, 400}, 2}, {load{2 << 10, 10, 2000}, 0}, {load{2 << 10, 50, 5000}, 10},
		{load{20 << 10, 1, 300}, 0}, {load{20 << 10, 10, 1500}, 3}, {load{20 << 10, 50, 3000}, 0},
	} {
		m := ingest(l.load)
		m.least = l.least
		all = append(all, m)
	}
	for _, l := range []load{{2 << 10, 10, 2000}, {2 << 10, 50, 4000}, {20 << 10, 10, 1500}} {
		all = append(all, relay(l))
	}
	return all
}

// ingest is mail for local mailboxes by SMTP until IMAP shows all of it.
func ingest(l load) measure {
	return measure{
		name: "ingest by SMTP until visible, " + l.String(), unit: "messages/s", writes: true,
		do: func(ctx context.Context, s *site) (float64, error) {
			letter := s.letters.posted(l.size, l.n)
			before, err := s.count(ctx, l.conns)
			if err != nil {
				return 0, err
			}
			start := time.Now()
			if err := send(ctx, s.smtp, l, letter, user); err != nil {
				return 0, err
			}
			for {
				now, err := s.count(ctx, l.conns)
				if err != nil {
					return 0, err
				}
				if now-before >= l.n {
					return rate(l.n, time.Since(start)), nil
				}
				if time.Since(start) > 3*time.Minute {
					return 0, fmt.Errorf("only %d of %d messages arrived", now-before, l.n)
				}
				// Who is asked all the time has less of it for delivering.
				time.Sleep(max(5*time.Millisecond, time.Since(start)/100))
			}
		},
	}
}

// relay is mail through the queue to another host, until that has all of it.
func relay(l load) measure {
	return measure{
		name: "relay through the queue, " + l.String(), unit: "messages/s", writes: true,
		do: func(ctx context.Context, s *site) (float64, error) {
			letter := s.letters.posted(l.size, l.n)
			before := s.sink.taken.Load()
			start := time.Now()
			if err := send(ctx, s.relay, l, letter, func(int) string { return "relay@" + domain }); err != nil {
				return 0, err
			}
			for s.sink.taken.Load()-before < int64(l.n) {
				if time.Since(start) > 3*time.Minute {
					return 0, fmt.Errorf("only %d of %d messages were relayed", s.sink.taken.Load()-before, l.n)
				}
				time.Sleep(2 * time.Millisecond)
			}
			return rate(l.n, time.Since(start)), nil
		},
	}
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
	_, text, _ := strings.Cut(string(c.last), "(MESSAGES ")
	n, err := strconv.Atoi(strings.TrimRight(text, ")\r\n"))
	if err != nil {
		return 0, fmt.Errorf("STATUS answered %q", c.last)
	}
	return n, nil
}
