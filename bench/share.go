package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// searchers is how many sessions of one user look for something at a time, and
// untilBusy how long it takes until all are at it.
const (
	searchers = 50
	untilBusy = 2 * time.Second
)

// shareMeasures are what others have of the machine while one user is searching.
func shareMeasures(n sizes) []measure {
	prepare := func(ctx context.Context, s *site) error {
		if err := s.fill(ctx, n.mailbox); err != nil {
			return err
		}
		return s.fillOther(ctx)
	}
	name := fmt.Sprintf("p99 of a FETCH while another user runs %d SEARCH and SORT, %d messages", searchers, n.mailbox)
	return []measure{
		{name: name, unit: "ms", reach: 1, once: true, prepare: prepare, do: func(ctx context.Context, s *site) (float64, error) {
			return s.disturbed(ctx, untilBusy)
		}},
		{name: name + ", of that without", unit: "times", once: true, prepare: prepare, do: func(ctx context.Context, s *site) (float64, error) {
			quiet, err := s.fetching(ctx)
			if err != nil {
				return 0, err
			}
			busy, err := s.disturbed(ctx, untilBusy)
			return busy / quiet, err
		}},
	}
}

const otherMessages = 100

// fillOther gives another user some messages, once.
func (s *site) fillOther(ctx context.Context) error {
	if s.otherFilled {
		return nil
	}
	c, err := s.login(ctx, user(1))
	if err != nil {
		return err
	}
	defer c.close()
	for i := range otherMessages {
		if err := c.append1("INBOX", s.letters.letter(i)); err != nil {
			return err
		}
	}
	s.otherFilled = true
	return nil
}

// fetching is the p99 of the other user's FETCH of one message, of a thousand or
// what there is time for.
func (s *site) fetching(ctx context.Context) (float64, error) {
	c, err := s.login(ctx, user(1))
	if err != nil {
		return 0, err
	}
	defer c.close()
	if err := c.do("SELECT INBOX"); err != nil {
		return 0, err
	}
	var took []float64
	for begin := time.Now(); len(took) < 100 || len(took) < 1000 && time.Since(begin) < 10*time.Second; {
		start := time.Now()
		if err := c.do("FETCH %d BODY.PEEK[]", len(took)*37%otherMessages+1); err != nil {
			return 0, err
		}
		took = append(took, millis(time.Since(start)))
	}
	slices.Sort(took)
	return took[len(took)*99/100], nil
}

// disturbed is fetching while one user searches all the time, after a while.
func (s *site) disturbed(ctx context.Context, wait time.Duration) (float64, error) {
	var stop atomic.Bool
	var all sync.WaitGroup
	failed := make(chan error, searchers)
	conns := make([]*imapConn, 0, searchers)
	defer func() {
		stop.Store(true)
		for _, c := range conns {
			c.close()
		}
		all.Wait()
	}()
	for i := range searchers {
		c, err := s.login(ctx, user(0))
		if err != nil {
			return 0, err
		}
		conns = append(conns, c)
		if err := c.do("SELECT " + largeBox); err != nil {
			return 0, err
		}
		all.Go(func() {
			for n := i; !stop.Load(); n += searchers {
				command := "SORT RETURN (COUNT) (SUBJECT) UTF-8 ALL"
				if n%2 == 0 {
					command = "SEARCH BODY " + s.letters.words[n%len(s.letters.words)] + "z"
				}
				if err := c.do("%s", command); err != nil {
					if !stop.Load() {
						failed <- err
					}
					return
				}
			}
		})
	}
	time.Sleep(wait)
	took, err := s.fetching(ctx)
	select {
	case lost := <-failed: // so it was not disturbed as it should be
		err = errors.Join(err, fmt.Errorf("search: %w", lost))
	default:
	}
	return took, err
}
