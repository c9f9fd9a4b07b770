// Command bench measures plic beside Postfix and Dovecot from Debian, all on
// this machine, in turns within one run, with every sync on. It prints a table
// in Markdown: the median of each side and the ratio between them.
//
//	go run ./bench                # everything
//	go run ./bench -only ingest   # the measures whose name has the word
//	go run ./bench -rounds 5
//
// It needs root, as the peers do.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"
)

func main() {
	only := flag.String("only", "", "measure only what has this `word` in its name")
	rounds := flag.Int("rounds", 3, "how often each side is measured; the median counts")
	messages := flag.Int("mailbox", 100_000, "messages in the large mailbox")
	idle := flag.Int("idle", 1000, "idle IMAP connections")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *only, *rounds, *messages, *idle); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string, rounds, messages, idle int) error {
	dir, err := os.MkdirTemp("/tmp", "plic-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	ours, err := startPlic(ctx, dir+"/plic")
	if err != nil {
		return fmt.Errorf("start plic: %w", err)
	}
	defer ours.stop()
	theirs, err := startPeers(ctx, dir+"/peers")
	if err != nil {
		return fmt.Errorf("start Postfix and Dovecot: %w", err)
	}
	defer theirs.stop()

	fmt.Println("| measure | unit | plic | Postfix + Dovecot | ratio |")
	fmt.Println("|---|---|---|---|---|")
	for _, m := range measures(messages, idle) {
		if !strings.Contains(m.name, only) {
			continue
		}
		if err := m.compare(ctx, rounds, ours, theirs); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

// measure is one thing that both sides do.
type measure struct {
	name    string
	unit    string
	once    bool // one round is enough: memory
	prepare func(context.Context, *site) error
	do      func(context.Context, *site) (float64, error)
}

// compare runs both sides in turn and prints a row.
func (m measure) compare(ctx context.Context, rounds int, ours, theirs *site) error {
	if m.once {
		rounds = 1
	}
	sides := []*site{ours, theirs}
	var figures [2][]float64
	if m.prepare != nil {
		for _, s := range sides {
			if err := m.prepare(ctx, s); err != nil {
				return fmt.Errorf("prepare %s: %w", s.name, err)
			}
		}
	}
	for range rounds {
		for i, s := range sides {
			v, err := m.do(ctx, s)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			figures[i] = append(figures[i], v)
		}
	}
	a, b := median(figures[0]), median(figures[1])
	fmt.Printf("| %s | %s | %s | %s | %.2f |\n", m.name, m.unit, number(a), number(b), a/b)
	return nil
}

func number(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// rate is events a second.
func rate(n int, took time.Duration) float64 { return float64(n) / took.Seconds() }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
