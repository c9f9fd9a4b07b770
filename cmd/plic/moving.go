package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"plic/internal/control"
	"plic/internal/mbox"
	"plic/internal/moving"
	"plic/internal/vfs"

	"github.com/spf13/cobra"
)

// bringing is what all imports have in common.
type bringing struct {
	*app
	accounts string // file with a line for each account
	into     string
	folders  []string
	aside    string
	spools   map[string]*moving.CyrusSpool // that are open, by their places
}

// imapFlags say how to reach another server.
type imapFlags struct {
	user, as, tls   string
	stdin, insecure bool
}

func (a *app) importCommand() *cobra.Command {
	return group(&cobra.Command{
		Use: "import", Short: "Bring mail from elsewhere into accounts",
		Long: `Bring mail from elsewhere into accounts, with folders, flags, keywords, dates,
subscriptions and special uses. UIDs and UIDVALIDITY are kept where the mailbox
here is new, so that no client downloads again.

Nothing is changed at the source. What was cut short goes on where it was; run
again later it brings what is new. In the end every message was read back and
compared. What cannot be read is named, an account that fails likewise, and the
rest goes on: then the exit code is 1.`,
		Example: `  plic import maildir /home/ann/Maildir ann@example.org
  plic import mbox /var/mail/ann ann@example.org
  plic import imap mail.example.net ann@example.org --user ann
  plic import imap mail.example.net --accounts accounts.txt`,
	}, a.importMaildir(), a.importMbox(), a.importIMAP(), a.importCyrus())
}

// bring makes a command that imports; open gives the source of a line in the
// file of accounts, or of the arguments before the account.
func (a *app) bring(c *cobra.Command, args int, open func(ctx context.Context, b *bringing, words []string) (moving.Source, error)) *cobra.Command {
	b := &bringing{app: a, spools: map[string]*moving.CyrusSpool{}}
	c.Flags().StringVar(&b.accounts, "accounts", "", "`file` with a line for each account: its name and where its mail is")
	c.Flags().StringVar(&b.into, "into", "", "put all folders below this `mailbox`")
	c.Flags().StringSliceVar(&b.folders, "folder", nil, "only this `folder` of the source, and those below it; may be repeated")
	c.Flags().StringVar(&b.aside, "aside", "", "`directory` for messages that were read but cannot be kept")
	c.Args = arguments(0, args+1, "the source")
	c.ValidArgsFunction = a.complete(accountNames)
	c.RunE = func(c *cobra.Command, words []string) error {
		jobs, err := b.jobs(words, args)
		if err != nil {
			return err
		}
		// Many short-lived messages: half the garbage, at the same speed.
		defer debug.SetGCPercent(debug.SetGCPercent(importGarbage))
		return a.with(c.Context(), func(o control.Operations) error {
			return b.all(c.Context(), jobs, func(words []string) (int, error) { return b.one(c.Context(), o.Moving, words, open) })
		})
	}
	return a.jsonFlag(c)
}

// all runs the jobs. One that fails does not end the others.
func (b *bringing) all(ctx context.Context, jobs [][]string, run func(words []string) (bad int, err error)) error {
	defer func() {
		for _, s := range b.spools {
			_ = s.Close() // it was only read
		}
	}()
	bad := 0
	var failed []string
	for _, words := range jobs {
		n, err := run(words)
		bad += n
		if err != nil && (len(jobs) == 1 || ctx.Err() != nil) {
			return fmt.Errorf("%s: %w", words[0], err)
		}
		if err != nil {
			fmt.Fprintln(b.err, clean(words[0]+": "+err.Error()))
			failed = append(failed, words[0])
		}
	}
	var errs []error
	if len(failed) > 0 {
		errs = append(errs, fmt.Errorf("%d of %d accounts were not imported, or not all of them: %s", len(failed), len(jobs), strings.Join(failed, ", ")))
	}
	if bad > 0 {
		errs = append(errs, fmt.Errorf("%d messages or folders were not imported, those named above", bad))
	}
	return errors.Join(errs...)
}

// importGarbage is how much garbage there may be beside what is in use, in per
// cent.
const importGarbage = 25

// jobs are lists of words: the account, then where its mail is.
func (b *bringing) jobs(words []string, args int) ([][]string, error) {
	if b.accounts == "" {
		if len(words) != args+1 {
			return nil, usagef("give the source and the account, or --accounts")
		}
		return [][]string{append([]string{words[args]}, words[:args]...)}, nil
	}
	var in io.Reader = b.in
	if b.accounts != "-" {
		f, err := os.Open(b.accounts)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	var all [][]string
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		line := strings.Fields(lines.Text())
		if len(line) == 0 || line[0][0] == '#' {
			continue
		}
		if len(line)+len(words) < 2 {
			return nil, fmt.Errorf("%s, line %d: want an account and where its mail is", b.accounts, n)
		}
		all = append(all, append(line[:1:1], append(words, line[1:]...)...))
	}
	return all, lines.Err()
}

// name says where a folder goes, false if it stays.
func (b *bringing) name(folder string) (string, bool) {
	is := chosen(b.folders, folder)
	if b.into != "" {
		folder = b.into + "/" + folder
	}
	return folder, is
}

// chosen says that a folder is one of those, or below one; without any, all are.
func chosen(those []string, folder string) bool {
	return len(those) == 0 || slices.ContainsFunc(those, func(f string) bool {
		return folder == f || strings.HasPrefix(folder, f+"/")
	})
}

func (b *bringing) one(ctx context.Context, site moving.Site, words []string, open func(context.Context, *bringing, []string) (moving.Source, error)) (bad int, err error) {
	source, err := open(ctx, b, words[1:])
	if err != nil {
		if b.json {
			b.tell(words[0], "imported", moving.Result{}, err)
		}
		return 0, err
	}
	defer source.Close()
	bar := b.newBar(words[0]+":", count)
	job := moving.Job{
		Source: source, Site: site, Account: words[0], Into: b.name,
		Bad: func(x *moving.Bad) {
			bar.line("%s: %s", words[0], x)
			if x.Letter != nil && b.aside != "" {
				if err := b.keep(words[0], x); err != nil {
					bar.line("%v", err)
				}
			}
		},
		Progress: func(p moving.Progress) { bar.show(int64(p.Messages), int64(p.Total)) },
	}
	r, err := job.Import(ctx)
	bar.end()
	b.tell(words[0], "imported", r, err)
	return r.Bad, err
}

// keep puts a message aside that the site refused.
func (b *bringing) keep(account string, x *moving.Bad) error {
	fs := vfs.Disk()
	if err := vfs.MakeDir(fs, b.aside); err != nil {
		return err
	}
	f, err := vfs.CreatePrivate(fs, filepath.Join(b.aside, fmt.Sprintf("%s-%016x.eml", filepath.Base(account), x.Letter.Key)))
	if err != nil {
		return err
	}
	_, err = f.Write(x.Letter.Text)
	return errors.Join(err, f.Sync(), f.Close())
}

func count(n int64) string { return strconv.FormatInt(n, 10) }

// tell prints what came of an import or export.
func (a *app) tell(account, what string, r moving.Result, failed error) {
	if a.json {
		said := struct {
			Account string `json:"account"`
			moving.Result
			Error string `json:"error,omitempty"`
		}{Account: account, Result: r}
		if failed != nil {
			said.Error = failed.Error()
		}
		text, err := json.Marshal(said)
		if err == nil {
			fmt.Fprintln(a.out, string(text))
		}
		return
	}
	line := fmt.Sprintf("%s: %s %d messages, %s, in %d folders, digest %s", account, what, r.Messages, octets(r.Bytes), r.Folders, r.Digest)
	if r.Known > 0 {
		line += fmt.Sprintf("; %d were there already", r.Known)
	}
	if r.Renumber > 0 {
		line += fmt.Sprintf("; %d have new UIDs", r.Renumber)
	}
	if r.Bad > 0 {
		line += fmt.Sprintf("; %d could not be read", r.Bad)
	}
	fmt.Fprintln(a.out, clean(line))
}

func (a *app) importMaildir() *cobra.Command {
	return a.bring(&cobra.Command{
		Use: "maildir DIRECTORY ACCOUNT", Short: "Bring a Maildir with its folders",
		Long: `Bring a Maildir with its folders, as Maildir++ (".Sent") or nested directories.
UIDs are those of dovecot-uidlist, keywords those of dovecot-keywords, dates those
of the files. It may be in use meanwhile.`,
		Example: "  plic import maildir /home/ann/Maildir ann@example.org\n  plic import maildir --accounts list.txt   # lines: ann@example.org /var/vmail/ann/Maildir",
	}, 1, func(_ context.Context, _ *bringing, words []string) (moving.Source, error) {
		return moving.Maildir(words[0])
	})
}

func (a *app) importMbox() *cobra.Command {
	var quoting string
	c := a.bring(&cobra.Command{
		Use: "mbox FILE|DIRECTORY ACCOUNT", Short: "Bring an mbox file, or a directory of some",
		Long: `Bring an mbox file, whose messages go into INBOX, or a directory of mbox files,
each of which is a folder. mboxrd, mboxo and mboxcl are told apart by themselves,
as far as that can be. UIDs and flags are those that other programs keep in
X-UID, Status, X-Status and X-Keywords.`,
		Example: "  plic import mbox /var/mail/ann ann@example.org\n  plic import mbox /home/ann/mail ann@example.org --into Old",
	}, 1, func(_ context.Context, _ *bringing, words []string) (moving.Source, error) {
		o := mbox.Options{Zone: time.Local}
		switch quoting {
		case "rd":
		case "o":
			o.Quoting = mbox.O
		case "none":
			o.Quoting = mbox.None
		default:
			return nil, usagef("--quoting is rd, o or none")
		}
		return moving.Mbox(words[0], o)
	})
	c.Flags().StringVar(&quoting, "quoting", "rd", "how lines that begin with \"From \" are quoted: rd, o or none")
	return c
}

func (a *app) importCyrus() *cobra.Command {
	var user string
	c := a.bring(&cobra.Command{
		Use: "cyrus IMAPD.CONF|DIRECTORY ACCOUNT", Short: "Bring an account from the spool of Cyrus IMAP",
		Long: `Bring an account from the spool of Cyrus, of any version from 2.4 to 3.6, with UIDs,
dates, flags and keywords: those that imapd.conf names, with subscriptions and special
uses, or without these those of a partition, or of the directory of one account.

With --accounts, the lines of the file are: the account here, the directory or
imapd.conf if the command does not have it, and the user there.`,
		Example: `  plic import cyrus /etc/imapd.conf ann@example.org --user ann
  plic import cyrus /etc/imapd.conf --accounts list.txt   # lines: ann@example.org ann
  plic import cyrus /var/spool/cyrus/mail/a/user/ann ann@example.org`,
	}, 1, func(_ context.Context, b *bringing, words []string) (moving.Source, error) {
		who := user
		if len(words) > 1 {
			who = words[1]
		}
		spool := b.spools[words[0]]
		if spool == nil {
			var err error
			if spool, err = moving.Cyrus(words[0]); err != nil {
				return nil, err
			}
			b.spools[words[0]] = spool
		}
		return spool.Account(who)
	})
	c.Flags().StringVar(&user, "user", "", "whose mail it is there")
	return c
}

func (a *app) importIMAP() *cobra.Command {
	var f imapFlags
	var password string
	c := a.bring(&cobra.Command{
		Use: "imap HOST[:PORT] ACCOUNT", Short: "Bring an account from another IMAP server",
		Long: `Bring an account from another IMAP server, Dovecot, Cyrus or any other. Nothing is
changed there, not even \Seen. The password is asked for, or read with
--password-stdin.

With --accounts, the lines of the file are: the account here, the user there, the
password, and, if the user is an administrator who may act for others, the
account there. Who may read the file can read the mail: keep it private.`,
		Example: `  plic import imap mail.example.net ann@example.org --user ann
  plic import imap localhost:143 ann@example.org --user admin --as ann --tls none
  plic import imap mail.example.net --accounts accounts.txt`,
	}, 1, func(ctx context.Context, b *bringing, words []string) (moving.Source, error) {
		o := moving.IMAPOptions{Address: words[0], User: f.user, As: f.as, TLS: f.tls, Password: password}
		if len(words) > 1 {
			if len(words) < 3 || len(words) > 4 {
				return nil, errors.New("want the account, the user and the password in each line")
			}
			o.User, o.Password = words[1], words[2]
			if len(words) == 4 {
				o.As = words[3]
			}
		} else if password == "" {
			if o.User == "" {
				return nil, usagef("--user is missing: who logs in there?")
			}
			secret, err := a.askSecret(o.User, f.stdin)
			if err != nil {
				return nil, err
			}
			password, o.Password = secret, secret
		}
		return f.connect(ctx, o)
	})
	c.Flags().StringVar(&f.user, "user", "", "who logs in there")
	c.Flags().StringVar(&f.as, "as", "", "whose mail it is, if the user is an administrator there")
	c.Flags().StringVar(&f.tls, "tls", "", "tls, starttls or none; by default tls, on port 143 starttls")
	c.Flags().BoolVar(&f.insecure, "insecure", false, "take any certificate")
	c.Flags().BoolVar(&f.stdin, "password-stdin", false, "read the password from standard input")
	return c
}

func (f *imapFlags) connect(ctx context.Context, o moving.IMAPOptions) (moving.Source, error) {
	_, port, err := net.SplitHostPort(o.Address)
	if err != nil {
		port = "993"
		if o.TLS == "starttls" || o.TLS == "none" {
			port = "143"
		}
		o.Address = net.JoinHostPort(strings.Trim(o.Address, "[]"), port)
	}
	switch o.TLS {
	case "":
		if o.TLS = "tls"; port == "143" {
			o.TLS = "starttls"
		}
	case "tls", "starttls", "none":
	default:
		return nil, usagef("--tls is tls, starttls or none")
	}
	o.Config = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: f.insecure} //nolint:gosec // asked for
	return moving.IMAP(ctx, o)
}

// askSecret asks for a password of another server.
func (a *app) askSecret(user string, stdin bool) (string, error) {
	if stdin {
		line, err := bufio.NewReader(io.LimitReader(a.in, maxPassword)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		return strings.TrimRight(line, "\r\n"), nil
	}
	ask, ok := a.terminal(a.in)
	if !ok {
		return "", usagef("there is no terminal to ask for a password at: use --password-stdin or --accounts")
	}
	return ask("Password of " + user + ": ")
}

func (a *app) exportCommand() *cobra.Command {
	one := func(use, short, long string, open func(dir string) (moving.Writer, error)) *cobra.Command {
		var folders []string
		c := &cobra.Command{
			Use: use + " ACCOUNT DIRECTORY", Short: short, Long: long,
			Example:           "  plic export " + use + " ann@example.org /tmp/ann",
			Args:              arguments(2, 2, "the account or the directory"),
			ValidArgsFunction: a.complete(accountNames),
			RunE: func(c *cobra.Command, args []string) error {
				return a.with(c.Context(), func(o control.Operations) error { return a.export(c.Context(), o.Moving, args, folders, open) })
			},
		}
		c.Flags().StringSliceVar(&folders, "folder", nil, "only this `folder`, and those below it; may be repeated")
		return a.jsonFlag(c)
	}
	return group(&cobra.Command{
		Use: "export", Short: "Write an account's mail into files",
		Long: `Write an account's mail into files, in a directory that is new or empty. The digest
that is told in the end is over all messages: the import of what was exported
tells the same.`,
		Example: "  plic export maildir ann@example.org /tmp/ann\n  plic export mbox ann@example.org /tmp/ann --folder INBOX",
	},
		one("maildir", "As a Maildir, as Dovecot keeps one", `Write a Maildir++ with flags, keywords, UIDs and subscriptions, so that Dovecot, or
another plic, can go on with it.`, func(dir string) (moving.Writer, error) {
			host, err := os.Hostname()
			if err != nil {
				return nil, err
			}
			return moving.MaildirFiles(dir, host)
		}),
		one("mbox", "As mbox files", `Write an mbox file for each folder, in the dialect mboxrd (RFC 4155), with UIDs and
flags in the fields in which other programs look for them.`, func(dir string) (moving.Writer, error) {
			return moving.MboxFiles(vfs.Disk(), dir)
		}),
		one("eml", "As a file for each message", `Write a file for each message, named by its UID, in a directory for each folder.`,
			func(dir string) (moving.Writer, error) { return moving.EML(vfs.Disk(), dir) }),
	)
}

func (a *app) export(ctx context.Context, site moving.Site, args, folders []string, open func(string) (moving.Writer, error)) error {
	w, err := open(args[1])
	if err != nil {
		return err
	}
	only := func(name string) bool { return chosen(folders, name) }
	bar := a.newBar("exported", count)
	r, err := moving.Export(ctx, site, args[0], w, only, func(b *moving.Bad) { bar.line("%s", b) },
		func(p moving.Progress) { bar.show(int64(p.Messages), int64(p.Total)) })
	bar.end()
	if err != nil {
		return err
	}
	a.tell(args[0], "exported", r, nil)
	if r.Bad > 0 {
		return fmt.Errorf("%d messages could not be read", r.Bad)
	}
	return nil
}
