package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// mailboxMeasures are what IMAP clients do with a large mailbox.
func mailboxMeasures(n sizes) []measure {
	of := fmt.Sprintf(", %d messages", n.mailbox)
	fill := func(ctx context.Context, s *site) error { return s.fill(ctx, n.mailbox) }
	command := func(name string, reach float64, times int, command string) measure {
		return measure{name: name, unit: "ms", reach: reach, prepare: fill, do: func(ctx context.Context, s *site) (float64, error) {
			return timed(ctx, s, times, func(c *imapConn) error { return c.do("%s", command) })
		}}
	}
	envelope := "FETCH 1:* ENVELOPE"
	return []measure{
		{name: "disk: octets of a message, of its raw size", unit: "%", once: true, most: 100, prepare: fill, do: share},
		{name: "disk: the same without compression", unit: "%", once: true, most: 115, prepare: fill, do: func(ctx context.Context, s *site) (float64, error) {
			return plainShare(ctx, s, n.mailbox)
		}},
		first("FETCH 1:* ENVELOPE, first ever, from the disk"+of, envelope, 0.03, n.mailbox, cold),
		first("FETCH 1:* ENVELOPE, first ever, from memory"+of, envelope, 0, n.mailbox, ever),
		command(envelope+", warm"+of, 0.3, 1, envelope),
		command("FETCH 1:* of the header fields that Thunderbird lists by"+of, 0, 3, "FETCH 1:* (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS "+
			"(From To Cc Bcc Subject Date Message-ID Priority X-Priority References Newsgroups In-Reply-To Content-Type Reply-To)])"),
		first("SELECT, first after a restart"+of, "", 1, n.mailbox, known),
		command("SELECT, warm"+of, 0.5, 10, "SELECT "+largeBox),
		command("FETCH 1:* (UID FLAGS)"+of, 0.5, 5, "FETCH 1:* (UID FLAGS)"),
		{name: "bodies: 1000 by 1000 FETCH commands", unit: "ms", reach: 0.6, prepare: fill, do: func(ctx context.Context, s *site) (float64, error) {
			return timed(ctx, s, 3, func(c *imapConn) error {
				for i := range 1000 {
					if err := c.do("FETCH %d BODY.PEEK[]", i+1); err != nil {
						return err
					}
				}
				return nil
			})
		}},
		command("bodies: 1000 in one FETCH", 0.7, 3, "FETCH 1:1000 BODY.PEEK[]"),
		{name: "SEARCH FROM" + of, unit: "ms", reach: 0.1, prepare: fill, do: func(ctx context.Context, s *site) (float64, error) {
			return timed(ctx, s, 3, func(c *imapConn) error { return c.find("FROM "+rareName, s.named) })
		}},
		{name: "SEARCH TEXT" + of, unit: "ms", reach: 0.01, once: true, prepare: fill, do: func(ctx context.Context, s *site) (float64, error) {
			return timed(ctx, s, 1, func(c *imapConn) error { return c.find("TEXT "+rareWord, rareWords(n.mailbox)) })
		}},
		{name: "STORE of a flag on 1000 messages", unit: "ms", writes: true, reach: 1, prepare: fill, do: func(ctx context.Context, s *site) (float64, error) {
			sign := "-"
			return timed(ctx, s, 6, func(c *imapConn) error {
				sign = map[string]string{"-": "+", "+": "-"}[sign]
				return c.do("STORE 1:1000 %sFLAGS (\\Flagged)", sign)
			})
		}},
	}
}

// changeMeasures are what clients do with a thousand messages.
func changeMeasures(n sizes) []measure {
	fill := func(ctx context.Context, s *site) error { return s.fill(ctx, n.mailbox) }
	return []measure{
		{name: "APPEND of 1000 messages, each acknowledged", unit: "ms", writes: true, reach: 0.3, do: func(ctx context.Context, s *site) (float64, error) {
			letter := s.letters.ready(1000)
			return s.with(ctx, []string{"CREATE Work"}, func(c *imapConn) error {
				for i := range 1000 {
					if err := c.append1("Work", letter(i)); err != nil {
						return err
					}
				}
				return nil
			}, "DELETE Work")
		}},
		{name: "MULTIAPPEND of 1000 messages", unit: "ms", writes: true, reach: 0.05, do: func(ctx context.Context, s *site) (float64, error) {
			if able, err := s.offers(ctx, "MULTIAPPEND"); err != nil || !able {
				return unable, err
			}
			text, _ := multiText("Work", 1000, s.letters.ready(1000))
			return s.with(ctx, []string{"CREATE Work"}, func(c *imapConn) error { return c.put(text) }, "DELETE Work")
		}},
		{name: "COPY of 1000 messages", unit: "ms", writes: true, reach: 0.1, prepare: fill, do: func(ctx context.Context, s *site) (float64, error) {
			return s.with(ctx, []string{"CREATE Copies", "SELECT " + largeBox},
				func(c *imapConn) error { return c.do("COPY 1:1000 Copies") }, "DELETE Copies")
		}},
		{name: "MOVE of 1000 messages", unit: "ms", writes: true, reach: 0.1, prepare: fill, do: func(ctx context.Context, s *site) (float64, error) {
			return s.with(ctx, []string{"CREATE Copies", "CREATE Moved", "SELECT " + largeBox, "COPY 1:1000 Copies", "SELECT Copies"},
				func(c *imapConn) error { return c.do("MOVE 1:* Moved") }, "SELECT INBOX", "DELETE Copies", "DELETE Moved")
		}},
		{name: "EXPUNGE of 1000 messages", unit: "ms", writes: true, reach: 0.5, prepare: fill, do: func(ctx context.Context, s *site) (float64, error) {
			return s.with(ctx, []string{"CREATE Copies", "SELECT " + largeBox, "COPY 1:1000 Copies", "SELECT Copies", `STORE 1:* +FLAGS.SILENT (\Deleted)`},
				func(c *imapConn) error { return c.do("EXPUNGE") }, "SELECT INBOX", "DELETE Copies")
		}},
	}
}

// find searches, and must find so many messages.
func (c *imapConn) find(what string, want int) error {
	if err := c.do("SEARCH %s", what); err != nil {
		return err
	}
	if c.hits != want {
		return fmt.Errorf("SEARCH %s found %d messages, not %d", what, c.hits, want)
	}
	return nil
}

// offers says whether the server has a capability.
func (s *site) offers(ctx context.Context, name string) (bool, error) {
	c, err := s.login(ctx, user(0))
	if err != nil {
		return false, err
	}
	defer c.close()
	return c.offers(name)
}

// with is the time of an act between its preparation and its traces' removal.
func (s *site) with(ctx context.Context, before []string, act func(*imapConn) error, after ...string) (float64, error) {
	c, err := s.login(ctx, user(0))
	if err != nil {
		return 0, err
	}
	defer c.close()
	if err := c.each(before...); err != nil {
		return 0, err
	}
	start := time.Now()
	err = act(c)
	took := millis(time.Since(start))
	return took, errors.Join(err, c.each(after...))
}

// timed is the median time of something done to the large mailbox.
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

// first is a command, or SELECT itself, on a server that has just started.
func first(name, command string, reach float64, messages int, as freshness) measure {
	return measure{name: name, unit: "ms", reach: reach, once: as != known,
		prepare: func(ctx context.Context, s *site) error { return s.fill(ctx, messages) },
		do: func(ctx context.Context, s *site) (float64, error) {
			if err := s.restart(ctx, as); err != nil {
				return 0, err
			}
			c, err := s.login(ctx, user(0))
			if err != nil {
				return 0, err
			}
			defer c.close()
			opens := "SELECT " + largeBox
			timed := opens
			if command != "" {
				if err := c.do("%s", opens); err != nil {
					return 0, err
				}
				timed = command
			}
			start := time.Now()
			err = c.do("%s", timed)
			return millis(time.Since(start)), err
		}}
}

// share is what the large mailbox takes on the disk, indexes and all, of the
// size of its messages.
func share(_ context.Context, s *site) (float64, error) {
	return 100 * float64(s.onDisk) / float64(s.raw), nil
}

// plainShare is share on a server that does not compress.
func plainShare(ctx context.Context, s *site, messages int) (float64, error) {
	if s.plain == nil {
		return share(ctx, s)
	}
	p, err := s.plain(ctx)
	if err != nil {
		return 0, err
	}
	defer p.end()
	if err := p.fill(ctx, messages); err != nil {
		return 0, err
	}
	return share(ctx, p)
}

// fill makes the large mailbox, once, and sees what it takes on the disk.
func (s *site) fill(ctx context.Context, messages int) error {
	if s.raw > 0 {
		return nil
	}
	if err := s.rush(ctx, true); err != nil {
		return err
	}
	before := s.used()
	c, err := s.login(ctx, user(0))
	if err != nil {
		return err
	}
	defer c.close()
	c.do("CREATE " + largeBox) // it may be there already
	if err := s.pourAll(ctx, c, messages); err != nil {
		return err
	}
	if err := s.calm(ctx); err != nil {
		return err
	}
	s.onDisk = s.used() - before
	return nil
}

// pourAll puts the letters into the large mailbox, and counts what later measures
// must find there.
func (s *site) pourAll(ctx context.Context, c *imapConn, messages int) (err error) {
	s.raw, err = s.pour(ctx, c, 0, messages, func(n int) []byte {
		text := s.letters.letter(n)
		if isRare(text) {
			s.named++
		}
		return text
	})
	return err
}

// rush starts the site anew to be filled.
func (s *site) rush(ctx context.Context, on bool) error {
	if s.hurry != nil {
		s.hurry(on)
	}
	return s.restart(ctx, known)
}

// calm waits until nothing more is done in the background, an index that
// catches up or tables that are merged, and starts the site anew to be measured.
func (s *site) calm(ctx context.Context) error {
	if s.settle != nil {
		if err := s.settle(ctx); err != nil {
			return err
		}
	}
	const quiet, patience = 8, 90 // seconds: plic merges tables after five
	last, still := int64(-1), 0
	for range patience {
		if now := s.used(); now == last {
			still++
		} else {
			last, still = now, 0
		}
		if still == quiet {
			break
		}
		time.Sleep(time.Second)
	}
	return s.rush(ctx, false)
}

// pour puts letters into the large mailbox, in their order.
func (s *site) pour(ctx context.Context, c *imapConn, from, to int, letter func(int) []byte) (int64, error) {
	octets, err := c.multi(largeBox, from, to, 500, letter)
	if !errors.Is(err, errNoMulti) {
		return octets, err
	}
	const window = 100
	for from < to {
		n := min(window, to-from)
		var b []byte
		for i := range n {
			body := letter(from + i)
			octets += int64(len(body))
			b = appendText(b, "t APPEND "+largeBox, body, true)
		}
		var g errgroup.Group
		g.Go(func() error {
			_, err := bytes.NewReader(b).WriteTo(c.conn)
			return err
		})
		for range n {
			if err := c.done(); err != nil {
				return octets, err
			}
		}
		if err := g.Wait(); err != nil {
			return octets, err
		}
		from += n
	}
	return octets, ctx.Err()
}

// insecure is a client that asks for no certificate: they are made for a day.
var insecure = &tls.Config{InsecureSkipVerify: true}
