package main

import (
	"context"
	"fmt"
	"os"
)

// curve is one thing measured as a mailbox grows.
type curve struct {
	name string
	do   func(context.Context, *site) (float64, error)
}

// tooLong is when a side is not asked for more of a curve.
const tooLong = 20_000 // ms

func curves() []curve {
	on := func(name, command string, times int) curve {
		return curve{name, func(ctx context.Context, s *site) (float64, error) {
			return timed(ctx, s, times, func(c *imapConn) error { return c.do("%s", command) })
		}}
	}
	opened := first("", "", 0, 0, known)
	return []curve{
		{"SELECT, first after a restart", opened.do},
		on("SELECT, warm", "SELECT "+largeBox, 5),
		on("FETCH 1:* (UID FLAGS)", "FETCH 1:* (UID FLAGS)", 3),
		on("FETCH 1:* ENVELOPE", "FETCH 1:* ENVELOPE", 1),
		on("FETCH 1:100 BODY[]", "FETCH 1:100 BODY.PEEK[]", 3),
		{"STORE of 100 flags", func(ctx context.Context, s *site) (float64, error) {
			sign := "-"
			return timed(ctx, s, 6, func(c *imapConn) error {
				sign = map[string]string{"-": "+", "+": "-"}[sign]
				return c.do("STORE 1:100 %sFLAGS (\\Flagged)", sign)
			})
		}},
		{"APPEND of one message", func(ctx context.Context, s *site) (float64, error) {
			return timed(ctx, s, 9, func(c *imapConn) error { return c.append1(largeBox, s.letters.short(0)) })
		}},
		on("SEARCH FROM", "SEARCH FROM "+rareName, 1),
		on("SEARCH TEXT", "SEARCH TEXT "+rareWord, 1),
	}
}

// line is a side's figures of a curve, by the size of the mailbox.
type line struct {
	sizes []int
	took  []float64 // ms
}

// grow measures every curve at each size and writes the plot.
func grow(ctx context.Context, ours, theirs *site, path string, steps []int) error {
	all := curves()
	lines := make([][2]line, len(all))
	filled := 0
	for _, size := range steps {
		for _, s := range []*site{ours, theirs} {
			if err := s.growTo(ctx, filled, size); err != nil {
				return fmt.Errorf("%s: %d messages: %w", s.name, size, err)
			}
		}
		filled = size
		for i, c := range all {
			for side, s := range []*site{ours, theirs} {
				if err := lines[i][side].measure(ctx, c, s, size); err != nil {
					return fmt.Errorf("%s: %s: %w", s.name, c.name, err)
				}
			}
		}
		fmt.Printf("\n%d messages (ms: plic, Dovecot)\n\n", size)
		for i, c := range all {
			fmt.Printf("- %s: %s, %s\n", c.name, lines[i][0].at(size), lines[i][1].at(size))
		}
	}
	return os.WriteFile(path, plot(all, lines), 0o644)
}

// growTo adds short messages to the large mailbox.
func (s *site) growTo(ctx context.Context, from, to int) error {
	if err := s.rush(ctx, true); err != nil {
		return err
	}
	c, err := s.login(ctx, user(0))
	if err != nil {
		return err
	}
	defer c.close()
	c.do("CREATE " + largeBox)
	if _, err = s.pour(ctx, c, from, to, s.letters.short); err != nil {
		return err
	}
	return s.calm(ctx)
}

func (l *line) measure(ctx context.Context, c curve, s *site, size int) error {
	if n := len(l.took); n > 0 && l.took[n-1] > tooLong {
		return nil
	}
	took, err := c.do(ctx, s)
	if err != nil {
		return err
	}
	l.sizes, l.took = append(l.sizes, size), append(l.took, took)
	return nil
}

func (l *line) at(size int) string {
	for i, n := range l.sizes {
		if n == size {
			return number(l.took[i])
		}
	}
	return "too long"
}
