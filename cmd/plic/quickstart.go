package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/mail"
	"plic/internal/message"

	"github.com/spf13/cobra"
)

// trial is a quickstart: a whole site on one address, for trying.
type trial struct {
	dir, domain, listen string
	base                int
	accounts            []string // user@domain:password
	verbose             bool

	mailDomain mail.Domain
	want       []trialAccount
}

// trialAccount is an account whose password we know.
type trialAccount struct {
	Account  string `json:"account"`
	Password string `json:"password"`
}

func (a *app) quickstartCommand() *cobra.Command {
	var t trial
	c := &cobra.Command{
		Use: "quickstart", Short: "Try plic without any configuration",
		Long: `Start a whole mail server for trying: a data directory, a local certificate
authority, a domain and two accounts with mail in them. Every port is --port-base
plus the well-known one: SMTP at 10025, IMAP at 10143 and so on. Started again on
the same directory it goes on with the same mail. Ctrl-C stops it.

The passwords that it makes up are kept in quickstart.json in the data directory, so
that the next start can show them. No other command does that.`,
		Example: `  plic quickstart
  plic quickstart --dir /tmp/try --account ann@plic.test:secret
  plic quickstart --domain example.test --listen 127.0.0.2 --port-base 20000`,
		Args: arguments(0, 0, ""),
		RunE: func(c *cobra.Command, _ []string) error {
			if t.dir = a.dir; t.dir == "" {
				t.dir = "plic-data"
			}
			if err := t.parse(); err != nil {
				return err
			}
			return a.quickstart(c.Context(), &t)
		},
	}
	f := c.Flags()
	f.StringVar(&t.domain, "domain", "plic.test", "mail `domain`")
	f.StringArrayVar(&t.accounts, "account", nil, "an account as `user@domain:password` (may be repeated)")
	f.StringVar(&t.listen, "listen", "127.0.0.1", "`address` to listen at")
	f.IntVar(&t.base, "port-base", 10000, "`number` that is added to every port")
	f.BoolVarP(&t.verbose, "verbose", "v", false, "show the log of what happens")
	return c
}

// parse checks the flags.
func (t *trial) parse() error {
	var err error
	if t.mailDomain, err = mail.ParseDomain(t.domain); err != nil {
		return usagef("--domain: %w", err)
	}
	if net.ParseIP(t.listen) == nil && t.listen != "localhost" {
		return usagef("--listen %q is not an address: write 127.0.0.1", t.listen)
	}
	if t.base < 0 || t.base > 65535-995 {
		return usagef("--port-base %d is out of bounds: it may be 0 to %d", t.base, 65535-995)
	}
	for _, text := range t.accounts {
		name, password, ok := strings.Cut(text, ":")
		address, err := mail.ParseAddress(name)
		if err != nil || !ok || password == "" {
			return usagef("--account %q is not user@domain:password", text)
		}
		t.want = append(t.want, trialAccount{address.Key(), password})
	}
	return nil
}

// port is a well-known port of the trial.
func (t *trial) at(port int) string { return net.JoinHostPort(t.listen, strconv.Itoa(t.base+port)) }

// near is a well-known port of the trial as a client on this host reaches it.
func (t *trial) near(port int) string {
	if ip := net.ParseIP(t.listen); ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("localhost", strconv.Itoa(t.base+port))
	}
	return t.at(port)
}

// config is a site that holds to the flags.
func (t *trial) config() *config.Config {
	c := config.Default()
	c.DataDir = t.dir
	c.Hostname = mail.MustDomain("mail." + t.mailDomain.String())
	c.Listen = config.Listen{
		SMTP: []string{t.at(25)}, Submission: []string{t.at(587)}, Submissions: []string{t.at(465)},
		LMTP: []string{t.at(24)},
		IMAP: []string{t.at(143)}, IMAPS: []string{t.at(993)},
		POP3: []string{t.at(110)}, POP3S: []string{t.at(995)}, Sieve: []string{t.at(4190)},
		HTTP: []string{t.at(80)},
	}
	if c.Log.Level = config.LogWarn; t.verbose {
		c.Log.Level = config.LogInfo
	}
	return c
}

// quickstart runs a trial until ctx ends.
func (a *app) quickstart(ctx context.Context, t *trial) error {
	c := t.config()
	if err := c.Check(); err != nil {
		return err
	}
	log := logger(a.err, c, new(slog.LevelVar))
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	// There is nothing to be read again: the terminal has gone, so stop cleanly.
	hangups := a.hangups()
	go func() {
		select {
		case <-hangups:
			stop(nil)
		case <-ctx.Done():
		}
	}()
	s, err := a.host.New(ctx, c, log, func(up site) {
		if err := a.furnish(ctx, t, up); err != nil {
			stop(err)
		}
	})
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w\nAnother program listens there, perhaps another quickstart: choose with --port-base or --listen", err)
	}
	if err != nil {
		return err
	}
	if err := s.Run(ctx); err != nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	fmt.Fprintf(a.out, "\nplic has stopped. Its mail is in %s; start it again with the same command.\n", t.dir)
	return nil
}

// furnish makes what the trial needs once it is up, and tells of it.
func (a *app) furnish(ctx context.Context, t *trial, up site) error {
	known, err := t.remembered()
	if err != nil {
		return err
	}
	accounts, fresh, err := t.makeAccounts(ctx, up.Operations.Directory, known)
	if err != nil {
		return err
	}
	if err := t.remember(accounts); err != nil {
		return err
	}
	for _, name := range fresh {
		if err := a.welcome(ctx, t, up, name); err != nil {
			return fmt.Errorf("welcoming %s: %w", name, err)
		}
	}
	t.banner(a.out, up, accounts)
	return nil
}

// makeAccounts makes the accounts that are asked for, or two when there is
// none, and gives all there are, and the new ones.
func (t *trial) makeAccounts(ctx context.Context, d control.Directory, known []trialAccount) (all []trialAccount, fresh []string, err error) {
	domains, err := collect(d.Domains(ctx))
	if err != nil {
		return nil, nil, err
	}
	existing, err := collect(d.Accounts(ctx))
	if err != nil {
		return nil, nil, err
	}
	want := t.want
	if len(want) == 0 && len(existing) == 0 {
		for _, user := range []string{"ann", "bob"} {
			want = append(want, trialAccount{user + "@" + t.mailDomain.String(), newPassword()})
		}
	}
	need := []string{t.mailDomain.String()}
	for _, w := range want {
		need = append(need, w.Account[strings.LastIndexByte(w.Account, '@')+1:])
	}
	for _, name := range need {
		if slices.ContainsFunc(domains, func(x control.Domain) bool { return x.Name == name }) {
			continue
		}
		if err := d.AddDomain(ctx, name); err != nil {
			return nil, nil, err
		}
		domains = append(domains, control.Domain{Name: name})
	}
	for _, x := range existing {
		if !slices.ContainsFunc(want, func(w trialAccount) bool { return w.Account == x.Name }) {
			i := slices.IndexFunc(known, func(k trialAccount) bool { return k.Account == x.Name })
			if i < 0 {
				known, i = append(known, trialAccount{Account: x.Name}), len(known)
			}
			all = append(all, known[i])
		}
	}
	for _, w := range want {
		if slices.ContainsFunc(existing, func(x control.Account) bool { return x.Name == w.Account }) {
			err = d.SetPassword(ctx, w.Account, w.Password)
		} else {
			err = d.AddAccount(ctx, w.Account, w.Password)
			fresh = append(fresh, w.Account)
		}
		if err != nil {
			return nil, nil, err
		}
		all = append(all, w)
	}
	return all, fresh, nil
}

// memory is where a trial keeps the passwords that it made, so that the next
// start can show them again. A real site never does.
func (t *trial) memory() string { return filepath.Join(t.dir, "quickstart.json") }

func (t *trial) remembered() ([]trialAccount, error) {
	text, err := os.ReadFile(t.memory())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var known []trialAccount
	if err := json.Unmarshal(text, &known); err != nil {
		return nil, fmt.Errorf("%s: %w: delete the file to go on without its passwords", t.memory(), err)
	}
	return known, nil
}

func (t *trial) remember(accounts []trialAccount) error {
	text, err := json.MarshalIndent(accounts, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(t.memory(), append(text, '\n'), 0o600)
}

// welcome puts a first message in a new account, on the way that all mail goes.
func (a *app) welcome(ctx context.Context, t *trial, up site, account string) error {
	to, err := mail.ParseAddress(account)
	if err != nil {
		return err
	}
	from, now := mail.Address{Local: "postmaster", Domain: t.mailDomain}, a.now()
	text := message.Compose(&message.Entity{
		Header: []message.Field{
			{Name: "From", Value: "plic <" + from.String() + ">"},
			{Name: "To", Value: to.String()},
			{Name: "Subject", Value: "Welcome to plic"},
			{Name: "Date", Value: now.Format("Mon, 02 Jan 2006 15:04:05 -0700")},
			{Name: "Message-ID", Value: "<" + mail.NewID(now).String() + "@" + t.mailDomain.String() + ">"},
		},
		Text: fmt.Sprintf(`Hello %s,

this is your mailbox. Any mail program reads it:

  IMAP   %s, STARTTLS, or %s with TLS
  POP3   %s, STLS, or %s with TLS
  SMTP   %s, STARTTLS, or %s with TLS, to send

Your user name is %s.
`, to.Local, t.near(143), t.near(993), t.near(110), t.near(995), t.near(587), t.near(465), account),
	}, message.Allow{})
	return up.Submit(ctx, from, to, text)
}

func collect[T any](values func(func(T, error) bool)) (all []T, err error) {
	for v, err := range values {
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, nil
}

// banner tells where everything is and what to try.
func (t *trial) banner(w io.Writer, up site, accounts []trialAccount) {
	fmt.Fprintf(w, "plic %s runs. Its data is in %s. Ctrl-C stops it.\n\n", thisBuild().Version, t.dir)
	services := table{head: []string{"SERVICE", "ADDRESS", "TLS", "FOR"}}
	for _, e := range up.Endpoints {
		tls, use := serviceWords(e.Service)
		services.add(e.Service, e.Address, tls, use)
	}
	services.write(w, "  ")
	fmt.Fprintln(w)
	people := table{head: []string{"ACCOUNT", "PASSWORD"}}
	for _, x := range accounts {
		password := x.Password
		if password == "" {
			password = "(yours; plic account passwd sets another)"
		}
		people.add(x.Account, password)
	}
	people.write(w, "  ")
	fmt.Fprintln(w)
	if up.CA != "" {
		fmt.Fprintf(w, "  The certificate is signed by %s\n\n", up.CA)
	}
	if known := slices.DeleteFunc(slices.Clone(accounts), func(x trialAccount) bool { return x.Password == "" }); len(known) > 0 {
		t.tries(w, up, known[0], known[len(known)-1])
	}
}

// serviceWords are the TLS and the use of a service.
func serviceWords(service string) (tls, use string) {
	switch service {
	case "smtp":
		return "STARTTLS", "mail from other servers"
	case "submission":
		return "STARTTLS", "sending mail"
	case "submissions":
		return "from the start", "sending mail"
	case "lmtp":
		return "-", "mail from a relay in front"
	case "imap", "pop3":
		return "STARTTLS", "reading mail"
	case "imaps", "pop3s":
		return "from the start", "reading mail"
	case "sieve":
		return "STARTTLS", "scripts that filter mail"
	case "http":
		return "-", "/health and /metrics"
	}
	return "-", ""
}

// tries prints three commands to paste: send, read, look.
func (t *trial) tries(w io.Writer, up site, from, to trialAccount) {
	ca := ""
	if up.CA != "" {
		ca = "--cacert " + shellQuote(up.CA) + " "
	}
	login := func(x trialAccount) string { return shellQuote(x.Account + ":" + x.Password) }
	self := "plic"
	if path, err := os.Executable(); err == nil {
		if self = shellQuote(path); strings.Contains(path, "go-build") {
			self = "go run ./cmd/plic"
		}
	}
	fmt.Fprintf(w, "Send a message, read it, look at the queue:\n\n")
	fmt.Fprintf(w, "  printf '%%s\\r\\n' %s %s 'Subject: Hello' '' 'How are you?' | curl -sS %s%s --user %s --mail-from %s --mail-rcpt %s -T -\n\n",
		shellQuote("From: <"+from.Account+">"), shellQuote("To: <"+to.Account+">"),
		ca, shellQuote("smtps://"+t.near(465)), login(from), shellQuote(from.Account), shellQuote(to.Account))
	fmt.Fprintf(w, "  curl -sS %s'imaps://%s/INBOX;MAILINDEX=*' --user %s\n\n", ca, t.near(993), login(to))
	fmt.Fprintf(w, "  %s queue list --dir %s\n\n", self, shellQuote(t.dir))
}

// shellQuote makes a word that a shell leaves alone.
func shellQuote(word string) string {
	if word != "" && strings.Trim(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-") == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
