package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// load is one way of sending: message size in octets, connections, messages.
type load struct{ size, conns, n int }

func (l load) String() string {
	return fmt.Sprintf("%d KiB, %d connections", l.size>>10, l.conns)
}

// measures are all that is compared, in order. Memory comes first: a server that
// has worked takes new connections into memory it has already.
func measures(messages, idle int) []measure {
	all := []measure{memory(idle)}
	for _, l := range []load{
		{2 << 10, 1, 400}, {2 << 10, 10, 2000}, {2 << 10, 50, 5000},
		{20 << 10, 1, 300}, {20 << 10, 10, 1500}, {20 << 10, 50, 3000},
	} {
		all = append(all, ingest(l))
	}
	for _, l := range []load{{2 << 10, 10, 2000}, {2 << 10, 50, 4000}, {20 << 10, 10, 1500}} {
		all = append(all, relay(l))
	}
	all = append(all, opening(messages), flags(messages), envelopes(messages))
	return append(all, download(2000))
}

// ingest is mail for local mailboxes by SMTP until IMAP shows all of it.
func ingest(l load) measure {
	return measure{
		name: "ingest by SMTP until visible, " + l.String(), unit: "messages/s",
		do: func(ctx context.Context, s *site) (float64, error) {
			before, err := s.count(ctx, l.conns)
			if err != nil {
				return 0, err
			}
			start := time.Now()
			if err := send(ctx, s.smtp, l, user); err != nil {
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
				time.Sleep(5 * time.Millisecond)
			}
		},
	}
}

// relay is mail through the queue to another host, until that has all of it.
func relay(l load) measure {
	return measure{
		name: "relay through the queue, " + l.String(), unit: "messages/s",
		do: func(ctx context.Context, s *site) (float64, error) {
			before := s.sink.taken.Load()
			start := time.Now()
			if err := send(ctx, s.relay, l, func(int) string { return "relay@" + domain }); err != nil {
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

// opening is SELECT of a large mailbox that is warm.
func opening(messages int) measure {
	return measure{
		name: fmt.Sprintf("SELECT, %d messages, warm", messages), unit: "ms",
		prepare: func(ctx context.Context, s *site) error { return s.fill(ctx, messages) },
		do: func(ctx context.Context, s *site) (float64, error) {
			return timed(ctx, s, 10, func(c *imapConn) error { return c.do("SELECT " + largeBox) })
		},
	}
}

func flags(messages int) measure {
	return measure{
		name: fmt.Sprintf("FETCH 1:* (UID FLAGS), %d messages", messages), unit: "ms",
		prepare: func(ctx context.Context, s *site) error { return s.fill(ctx, messages) },
		do: func(ctx context.Context, s *site) (float64, error) {
			return timed(ctx, s, 5, func(c *imapConn) error { return c.do("FETCH 1:* (UID FLAGS)") })
		},
	}
}

func envelopes(messages int) measure {
	return measure{
		name: fmt.Sprintf("FETCH 1:* ENVELOPE, %d messages, warm", messages), unit: "ms",
		prepare: func(ctx context.Context, s *site) error {
			if err := s.fill(ctx, messages); err != nil {
				return err
			}
			_, err := timed(ctx, s, 1, func(c *imapConn) error { return c.do("FETCH 1:* ENVELOPE") })
			return err
		},
		do: func(ctx context.Context, s *site) (float64, error) {
			return timed(ctx, s, 1, func(c *imapConn) error { return c.do("FETCH 1:* ENVELOPE") })
		},
	}
}

// timed is the median time of an IMAP command on the large mailbox.
func timed(ctx context.Context, s *site, times int, do func(*imapConn) error) (float64, error) {
	c, err := s.login(ctx, user(0))
	if err != nil {
		return 0, err
	}
	defer c.close()
	if err := c.do("SELECT " + largeBox); err != nil {
		return 0, err
	}
	var took []float64
	for range times {
		start := time.Now()
		if err := do(c); err != nil {
			return 0, err
		}
		took = append(took, millis(time.Since(start)))
	}
	return median(took), nil
}

// download is every message of an INBOX by POP3, one RETR after the other.
func download(n int) measure {
	return measure{
		name: fmt.Sprintf("POP3 RETR of %d messages, one by one", n), unit: "ms",
		prepare: func(ctx context.Context, s *site) error {
			if err := send(ctx, s.smtp, load{4 << 10, 4, n}, func(int) string { return popUser }); err != nil {
				return err
			}
			return s.arrived(ctx, popUser, n)
		},
		do: func(ctx context.Context, s *site) (float64, error) { return retrieve(ctx, s, n) },
	}
}

// memory is what an idle IMAP connection costs the server.
func memory(idle int) measure {
	return measure{
		name: fmt.Sprintf("memory of an idling IMAP connection, of %d", idle), unit: "KiB", once: true,
		do: func(ctx context.Context, s *site) (float64, error) { return idling(ctx, s, idle) },
	}
}
