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
//	go run ./bench -limits 100                 # the least time that the rows can take
//	go run ./bench -import 200000              # plic import beside doveadm import
//
// The mail is made from a seed: both sides, and every run, get the same. It
// needs root, as the peers do.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:], os.Stderr)
	if err == nil {
		err = o.run(ctx)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures what is asked for.
func (o *options) run(ctx context.Context) error {
	switch {
	case o.directory:
		return directoryRates(ctx, o.only, o.rounds, o.logins)
	case o.imported > 0:
		return importRates(ctx, o.imported, o.octets, o.rounds)
	case o.limits > 0:
		return tellLimits(ctx, o.only, o.mailbox, o.limits)
	case o.formats != nil:
		return fileRates(ctx, o.formats, o.steps, o.octets)
	}
	return withSites(ctx, func(ours, theirs *site) error {
		switch {
		case o.queued > 0:
			return holdQueue(ctx, ours, o.queued)
		case o.growth != "":
			return grow(ctx, ours, theirs, o.growth, o.steps)
		}
		return o.table(ctx, ours, theirs)
	})
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
func (o *options) table(ctx context.Context, ours, theirs *site) error {
	fmt.Println("| measure | unit | plic | Postfix + Dovecot | ratio | reach |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, m := range measures(o.sizes) {
		if !o.only.in(m.name) {
			continue
		}
		a, b, err := m.compare(ctx, o.rounds, ours, theirs)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		fmt.Println(m.row(a, b))
	}
	return nil
}
