// Command plic is the whole of e-mail in one program: it takes mail by SMTP,
// submission and LMTP, keeps it, gives it to readers by IMAP and POP3, and
// brings the rest to other servers.
//
//	plic quickstart        try it, without any configuration
//	plic serve             run a site
//	plic domain, account, alias, queue, route, journal, tls, tlsrpt, config
//
// Started as sendmail, mailq or newaliases it behaves as those do.
//
// Exit codes are 0 for success, 1 for failure and 2 for wrong usage.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	a := &app{
		in: os.Stdin, out: os.Stdout, err: os.Stderr,
		env: os.Getenv, now: time.Now, hangups: hangups,
		terminal: terminal, live: isTerminal(os.Stderr), host: realHost{},
	}
	if old := oldFriend(os.Args[0]); old != "" {
		os.Exit(a.sendmail(ctx, old, os.Args[1:]))
	}
	os.Exit(a.run(ctx, os.Args[1:]))
}

// hangups makes SIGHUP ask for what a command does then, where it would end the
// process.
func hangups() <-chan os.Signal {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c
}
