// Command bench measures plic beside Postfix and Dovecot from Debian, all on
// this machine, in turns within one run, with every sync on. It prints a table
// in Markdown: the median of each side and the ratio between them.
//
//	go run ./bench                             # everything
//	go run ./bench -only select,fetch          # what has one of the words in its name
//	go run ./bench -mailbox 1000000 -rounds 5
//	go run ./bench -directory                  # logins and look-ups with accounts in databases
//	go run ./bench -directory -only lookups
//	go run ./bench -growth docs/growth.svg     # the cost as a mailbox grows, as a plot
//	go run ./bench -files native,maildir,mbox -steps 1000,10000,100000
//	go run ./bench -files mbox -steps 200000 -octets 25000
//	go run ./bench -import 200000              # plic import beside doveadm import
//
// The mail is made from a seed: both sides, and every run, get the same. It
// needs root, as the peers do.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sizes say how much is done.
type sizes struct {
	mailbox int // messages of the large mailbox
	idle    int // idle connections whose memory is measured
	logins  int // sessions that log in one after the other
	pop     int // messages of the POP3 mailbox
}

func main() {
	only := flag.String("only", "", "measure only what has one of these `words` in its name, with commas between")
	rounds := flag.Int("rounds", 3, "how often each side is measured; the median counts")
	growth := flag.String("growth", "", "measure growing mailboxes and plot them into this `file`")
	steps := flag.String("steps", "1000,10000,100000,300000,1000000", "sizes of the growing mailbox")
	var n sizes
	flag.IntVar(&n.mailbox, "mailbox", 100_000, "messages in the large mailbox, from 1,000 to 1,000,000")
	flag.IntVar(&n.idle, "idle", 2000, "idle IMAP connections, twice as many at a time, and three times as many of plic")
	flag.IntVar(&n.logins, "logins", 5000, "IMAP logins that go on to IDLE")
	flag.IntVar(&n.pop, "pop", 5000, "messages that are fetched by POP3")
	queued := flag.Int("queued", 0, "only fill the queue with so many messages, and print what it takes")
	accounts := flag.Bool("directory", false, "only measure logins and look-ups with accounts in databases; it needs dovecot-pgsql and dovecot-sqlite")
	formats := flag.String("files", "", "only measure mailboxes in these `formats`, of -steps messages: native, maildir, mbox")
	octets := flag.Int("octets", 2000, "how long the messages of -files and -import are")
	imported := flag.Int("import", 0, "only import a Maildir of so many `messages`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := func() error {
		switch {
		case *accounts:
			return directoryRates(ctx, *only, *rounds, n.logins)
		case *imported > 0:
			return importRates(ctx, *imported, *octets, *rounds)
		case *formats != "":
			return fileRates(ctx, *formats, *steps, *octets)
		}
		return withSites(ctx, func(ours, theirs *site) error {
			if *queued > 0 {
				return holdQueue(ctx, ours, *queued)
			}
			if *growth != "" {
				return grow(ctx, ours, theirs, *growth, *steps)
			}
			return table(ctx, ours, theirs, strings.Split(*only, ","), *rounds, n)
		})
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// withSites runs both sides while do works with them.
func withSites(ctx context.Context, do func(ours, theirs *site) error) error {
	dir, remove, err := scratch()
	if err != nil {
		return err
	}
	defer remove()
	ours, err := startPlic(ctx, dir+"/plic", "127.78.0", true)
	if err != nil {
		return fmt.Errorf("start plic: %w", err)
	}
	ours.plain = func(ctx context.Context) (*site, error) { return startPlic(ctx, dir+"/plain", "127.78.1", false) }
	defer ours.end()
	theirs, err := startPeers(ctx, dir+"/peers")
	if err != nil {
		return fmt.Errorf("start Postfix and Dovecot: %w", err)
	}
	defer theirs.end()
	return do(ours, theirs)
}

// table measures all that is asked for.
func table(ctx context.Context, ours, theirs *site, only []string, rounds int, n sizes) error {
	fmt.Println("| measure | unit | plic | Postfix + Dovecot | ratio | reach |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, m := range measures(n) {
		if !slices.ContainsFunc(only, func(word string) bool { return strings.Contains(m.name, word) }) {
			continue
		}
		if m.once {
			rounds := 1
			if err := m.compare(ctx, rounds, ours, theirs); err != nil {
				return fmt.Errorf("%s: %w", m.name, err)
			}
		} else if err := m.compare(ctx, rounds, ours, theirs); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

// measure is one thing that both sides do.
type measure struct {
	name    string
	unit    string
	writes  bool    // it waits for the disk
	once    bool    // one round is enough, or all that there can be
	reach   float64 // what the ratio should be at most; 0 for none
	least   float64 // what the ratio should be at least
	most    float64 // what our own figure should be at most
	prepare func(context.Context, *site) error
	do      func(context.Context, *site) (float64, error)
}

// compare runs both sides in turn and prints a row.
func (m measure) compare(ctx context.Context, rounds int, ours, theirs *site) error {
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
			if m.writes {
				syscall.Sync() // what the other side has left to the disk is not waited for
			}
			v, err := m.do(ctx, s)
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			figures[i] = append(figures[i], v)
		}
	}
	a, b := median(figures[0]), median(figures[1])
	fmt.Printf("| %s | %s | %s | %s | %s | %s |\n", m.name, m.unit, number(a), number(b), number(a/b), m.verdict(a, b))
	return nil
}

// verdict says what was wanted, and whether it is missed.
func (m measure) verdict(ours, theirs float64) string {
	var want string
	met := true
	switch {
	case m.most != 0:
		want, met = "≤ "+trim(m.most)+" "+m.unit, ours <= m.most
	case m.reach != 0:
		want, met = "≤ "+trim(m.reach), ours <= m.reach*theirs
	case m.least != 0:
		want, met = "≥ "+trim(m.least), ours >= m.least*theirs
	}
	if !met {
		want += ", missed"
	}
	return want
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

func number(v float64) string {
	switch {
	case v >= 100 || v <= -100:
		return fmt.Sprintf("%.0f", v)
	case v < 0.1 && v > 0:
		return fmt.Sprintf("%.3f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func trim(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// rate is events a second.
func rate(n int, took time.Duration) float64 { return float64(n) / took.Seconds() }

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
