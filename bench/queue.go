package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// What one message to many is sent to: crowds are aliases with members at every
// host.
const (
	hosts   = 100
	crowds  = 10
	members = 100 // of a crowd
)

func crowd(i int) string      { return fmt.Sprintf("crowd%d@%s", i, domain) }
func hostDomain(i int) string { return fmt.Sprintf("d%d.many.test", i) }
func member(c, i int) string  { return fmt.Sprintf("m%d.%d@%s", c, i, hostDomain(i%hosts)) }

// queueMeasures are what is asked of a relay.
func queueMeasures() []measure {
	all := []measure{relay(load{1 << 20, 10, 100}), answers(load{2 << 10, 50, 5000}), oneToMany()}
	all[0].least = 1.5
	return append(all, syncs(load{2 << 10, 1, 200}, 1), syncs(load{2 << 10, 50, 3000}, 0.2))
}

// answers is how long the answer to the final dot takes at worst, but for one
// in a hundred.
func answers(l load) measure {
	return measure{
		name: "p99 of the 250 while relaying, " + l.String(), unit: "ms", writes: true, reach: 0.3,
		do: func(ctx context.Context, s *site) (float64, error) {
			before := s.sink.taken.Load()
			letter := s.letters.posted(l.size, l.n)
			var left atomic.Int64
			left.Store(int64(l.n))
			var mu sync.Mutex
			var took []time.Duration
			g, sending := errgroup.WithContext(ctx)
			for range l.conns {
				g.Go(func() error {
					c, err := dialSMTP(sending, s.relay)
					if err != nil {
						return err
					}
					defer c.Close()
					for n := left.Add(-1); n >= 0; n = left.Add(-1) {
						d, err := c.timed("load@sender.test", "relay@"+domain, letter(int(n)))
						if err != nil {
							return err
						}
						mu.Lock()
						took = append(took, d)
						mu.Unlock()
					}
					return c.command("QUIT", "221")
				})
			}
			if err := g.Wait(); err != nil {
				return 0, err
			}
			slices.Sort(took)
			return millis(took[len(took)*99/100]), s.relayed(ctx, before+int64(l.n))
		},
	}
}

// relayed waits until the sink has taken so many messages.
func (s *site) relayed(ctx context.Context, n int64) error {
	for end := time.Now().Add(3 * time.Minute); s.sink.taken.Load() < n; {
		if time.Now().After(end) {
			return fmt.Errorf("%d of %d messages came to the sink", s.sink.taken.Load(), n)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Millisecond):
		}
	}
	return nil
}

// oneToMany is one message to a thousand recipients at a hundred hosts, each
// with an address of its own, until all have it.
func oneToMany() measure {
	return measure{
		name: fmt.Sprintf("one message to %d recipients at %d hosts", crowds*members, hosts), unit: "messages/s", writes: true, least: 2,
		do: func(ctx context.Context, s *site) (float64, error) {
			sinks := make([]*sink, hosts)
			for i := range sinks {
				var err error
				if sinks[i], err = newSink(s.host(i) + ":25"); err != nil {
					return 0, err
				}
				defer sinks[i].Close()
			}
			const n = 5
			letter := s.letters.posted(2<<10, n)
			start := time.Now()
			c, err := dialSMTP(ctx, s.relay)
			if err != nil {
				return 0, err
			}
			defer c.Close()
			for i := range n {
				if err := c.crowded("load@sender.test", letter(i)); err != nil {
					return 0, err
				}
			}
			for {
				least := int64(math.MaxInt64)
				for _, x := range sinks {
					least = min(least, x.reached.Load()) // a message may come in several transactions
				}
				if least >= n*crowds*members/hosts {
					return rate(n, time.Since(start)), nil
				}
				if time.Since(start) > 2*time.Minute {
					return 0, fmt.Errorf("a host has messages for %d recipients only, not for %d", least, n*crowds*members/hosts)
				}
				time.Sleep(time.Millisecond)
			}
		},
	}
}

// crowded sends one message to all crowds.
func (c *smtpConn) crowded(from string, body []byte) error {
	if err := c.command("MAIL FROM:<"+from+">", "250"); err != nil {
		return err
	}
	for i := range crowds {
		if err := c.command("RCPT TO:<"+crowd(i)+">", "250"); err != nil {
			return err
		}
	}
	if err := c.command("DATA", "354"); err != nil {
		return err
	}
	if _, err := c.Write(body); err != nil {
		return err
	}
	return c.expect("250")
}

// syncs is how often the disk is waited for, for each message that is relayed.
func syncs(l load, most float64) measure {
	return measure{
		name: "syncs for each message relayed, " + l.String(), unit: "syncs", once: true, most: most,
		do: func(ctx context.Context, s *site) (float64, error) {
			pids := s.processes()
			args := []string{"-f", "-c", "-U", "calls,name", "-e", "trace=fsync,fdatasync,sync_file_range,msync"}
			for _, pid := range pids {
				args = append(args, "-p", strconv.Itoa(pid))
			}
			var out bytes.Buffer
			trace := exec.Command("strace", args...)
			trace.Stderr = &out
			if err := trace.Start(); err != nil {
				return 0, err
			}
			letter := s.letters.posted(l.size, l.n)
			time.Sleep(time.Second) // until it holds all of them
			before := s.sink.taken.Load()
			err := send(ctx, s.relay, l, letter, func(int) string { return "relay@" + domain })
			if err == nil {
				err = s.relayed(ctx, before+int64(l.n))
			}
			time.Sleep(200 * time.Millisecond)
			trace.Process.Signal(syscall.SIGINT)
			trace.Wait()
			return float64(calls(out.String())) / float64(l.n), err
		},
	}
}

// calls adds up the first column of strace's table.
func calls(table string) (n int) {
	for line := range strings.Lines(table) {
		fields := strings.Fields(line)
		if len(fields) == 2 && fields[1] != "total" {
			if k, err := strconv.Atoi(fields[0]); err == nil {
				n += k
			}
		}
	}
	return n
}

// processes are the ids of the side's programs.
func (s *site) processes() (pids []int) {
	all, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, path := range all {
		exe, err := os.Readlink(path)
		if err != nil || !s.owns(exe) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// holdQueue fills the queue with messages for a host that does not answer, and
// prints what that takes, and how soon the first of them goes out after a
// restart with the host back.
func holdQueue(ctx context.Context, s *site, n int) error {
	if err := s.restart(ctx, known); err != nil {
		return err
	}
	empty := s.memory()
	address := s.sink.Addr().String()
	s.sink.Close()
	letter := s.letters.posted(2<<10, n)
	start := time.Now()
	if err := send(ctx, s.relay, load{2 << 10, 50, n}, letter, func(int) string { return "relay@" + domain }); err != nil {
		return err
	}
	fmt.Printf("queued %d messages in %v; memory %s MiB, before %s MiB\n", n, time.Since(start).Round(time.Millisecond), mebi(s.memory()), mebi(empty))
	if err := s.restart(ctx, known); err != nil {
		return err
	}
	time.Sleep(30 * time.Second)
	fmt.Printf("after a restart: memory %s MiB\n", mebi(s.memory()))
	s.stop()
	var err error
	if s.sink, err = newSink(address); err != nil {
		return err
	}
	start = time.Now()
	if err := s.start(ctx); err != nil {
		return err
	}
	if err := s.relayed(ctx, 1); err != nil {
		return err
	}
	fmt.Printf("from the start to the first delivery: %v\n", time.Since(start).Round(time.Millisecond))
	before, at := s.sink.taken.Load(), time.Now()
	time.Sleep(5 * time.Second)
	fmt.Printf("then %.0f messages/s\n", rate(int(s.sink.taken.Load()-before), time.Since(at)))
	return nil
}

// mebi writes KiB in MiB.
func mebi(n int64) string { return fmt.Sprintf("%.0f", float64(n)/1024) }

// writeCrowds writes the tables by which a side knows the crowds and their hosts.
func (s *site) writeCrowds(dir string) error {
	var aliases, transports strings.Builder
	for c := range crowds {
		fmt.Fprintf(&aliases, "%s ", crowd(c))
		for i := range members {
			if i > 0 {
				aliases.WriteString(", ")
			}
			aliases.WriteString(member(c, i))
		}
		aliases.WriteByte('\n')
	}
	for i := range hosts {
		fmt.Fprintf(&transports, "%s smtp:[%s]:25\n", hostDomain(i), s.host(i))
	}
	return errors.Join(
		os.WriteFile(dir+"/crowds", []byte(aliases.String()), 0o644),
		os.WriteFile(dir+"/transports", []byte(transports.String()), 0o644))
}

// host is the address of one of the many hosts.
func (s *site) host(i int) string { return fmt.Sprintf("127.79.%d.%d", s.many, i+1) }
