package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
)

// sessionMeasures are what waiting clients cost, on fresh servers: one that has
// worked takes new connections into memory it has.
func sessionMeasures(n sizes) []measure {
	of := func(n int) string { return fmt.Sprintf("%d and %d", plicDense*n, n) }
	return []measure{
		{name: "memory of an idling session, of " + of(n.idle), unit: "KiB", most: 25,
			do: func(ctx context.Context, s *site) (float64, error) { return idling(ctx, s, n.idle, nil) }},
		{name: "memory of an idling session over TLS, of " + of(n.idle/4), unit: "KiB", most: 45,
			// Dovecot's login processes take no more than some thousand over TLS.
			do: func(ctx context.Context, s *site) (float64, error) { return idling(ctx, s, n.idle/4, insecure) }},
		{name: fmt.Sprintf("logins: %d that go on to IDLE", n.logins), unit: "ms", once: true, reach: 0.2,
			prepare: func(ctx context.Context, s *site) error { return s.restart(ctx, known) },
			do: func(ctx context.Context, s *site) (float64, error) {
				start := time.Now()
				err := s.crowd(ctx, n.logins, nil, nil)
				return millis(time.Since(start)), err
			}},
		{name: "delivery: from the 250 to EXISTS at an idling client", unit: "ms", reach: 0.02, do: notice},
	}
}

// crowd has sessions log in, select their INBOX and idle, then calls a function
// and ends them.
func (s *site) crowd(ctx context.Context, n int, secret *tls.Config, then func()) error {
	conns := make([]*imapConn, n)
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.close()
			}
		}
	}()
	var next atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for range 8 {
		g.Go(func() error {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				c, err := s.loginAt(ctx, user(i), secret, 4<<10)
				if err != nil {
					return err
				}
				conns[i] = c
				if err := c.do("SELECT INBOX"); err != nil {
					return err
				}
				fmt.Fprintf(c.conn, "t IDLE\r\n")
				if _, err = c.r.ReadString('\n'); err != nil {
					return err
				}
			}
			return nil
		})
	}
	err := g.Wait()
	if err == nil && then != nil {
		then()
	}
	return err
}

// idling is the memory in KiB that each idling session adds to the server's
// processes, their proportional set size as the kernel counts it: what n more
// sessions take beside n that are there, so that neither what is made once nor
// what was freed before counts. Of a server that collects garbage n must be so large
// that what logins have left is little beside it.
func idling(ctx context.Context, s *site, n int, secret *tls.Config) (float64, error) {
	if err := s.restart(ctx, known); err != nil {
		return 0, err
	}
	n *= s.dense
	var before, after int64
	var errs [3]error
	errs[0] = s.crowd(ctx, n, secret, func() {
		if before, errs[1] = s.settled(); errs[1] == nil {
			errs[1] = s.crowd(ctx, n, secret, func() { after, errs[2] = s.settled() })
		}
	})
	return float64(after-before) / float64(n), errors.Join(errs[:]...)
}

// settled is the memory of the site once it is at rest: three readings in a row
// agree.
func (s *site) settled() (int64, error) {
	const pause, patience, agree = 4 * time.Second, 20, 3
	var read []int64
	for range patience {
		time.Sleep(pause) // buffers go and collections end meanwhile
		read = append(read, s.memory())
		if last := read[max(0, len(read)-agree):]; len(last) == agree && slices.Max(last)-slices.Min(last) <= slices.Max(last)/200 {
			return slices.Min(last), nil
		}
	}
	return 0, fmt.Errorf("the memory does not come to rest: %d KiB", read)
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

// notice is how long after the 250 an idling client hears of a message: the
// median of some. Of one that hears before it is none.
func notice(ctx context.Context, s *site) (float64, error) {
	c, err := s.login(ctx, user(1))
	if err != nil {
		return 0, err
	}
	defer c.close()
	if err := c.do("SELECT INBOX"); err != nil {
		return 0, err
	}
	heard, err := c.idle()
	if err != nil {
		return 0, err
	}
	sender, err := dialSMTP(ctx, s.smtp)
	if err != nil {
		return 0, err
	}
	defer sender.Close()
	var took []float64
	const times = 9
	letter := s.letters.posted(2<<10, times)
	for i := range times {
		if err := sender.message("load@sender.test", user(1), letter(i)); err != nil {
			return 0, err
		}
		taken := time.Now()
		select {
		case at := <-heard:
			took = append(took, max(0, millis(at.Sub(taken))))
		case <-time.After(20 * time.Second):
			return 0, errors.New("the client was not told")
		}
		time.Sleep(100 * time.Millisecond)
	}
	return median(took), nil
}
