package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"plic/test/peers"
)

// The account whose mailbox is in files.
const (
	filesUser = "ann@" + domain
	filesName = "ann"
)

// fileSite is a server over mail in one format, in files that others use too.
type fileSite struct {
	site
	format  string // native, maildir or mbox
	inbox   string // the Maildir or the file; "" if the format is the server's own
	serving func() (int, error)
}

// figure is what one step took.
type figure struct {
	took         time.Duration
	read, memory int64 // octets; of the process that serves, memory at its most
}

func (f figure) String() string {
	ms := float64(f.took) / float64(time.Millisecond)
	digits := 0
	if ms < 10 {
		digits = 1
	}
	return fmt.Sprintf("%.*f ms, %s, %d MiB", digits, ms, size(f.read), f.memory>>20)
}

func size(octets int64) string {
	if octets < 1<<20 {
		return fmt.Sprintf("%d KiB", octets>>10)
	}
	return fmt.Sprintf("%d MiB", octets>>20)
}

// fileRates measures both servers over mailboxes of each format and size, one
// after the other, and prints a table of each.
func fileRates(ctx context.Context, formats []string, steps []int, octets int) error {
	dir, remove, err := scratch()
	if err != nil {
		return err
	}
	defer remove()
	for _, format := range formats {
		for _, n := range steps {
			if err := oneFormat(ctx, dir, format, n, octets); err != nil {
				return fmt.Errorf("%s, %d messages: %w", format, n, err)
			}
		}
	}
	return nil
}

// oneFormat prints the table of a format and size.
func oneFormat(ctx context.Context, dir, format string, n, octets int) error {
	var figures [2]map[string]figure
	var order []string
	for i, start := range []func(context.Context, string, string) (*fileSite, error){filesPlic, filesDovecot} {
		at := fmt.Sprintf("%s/%s-%d-%d", dir, format, n, i)
		if i == 1 {
			at = dir + "/peers" // where guard looks
		}
		s, err := start(ctx, at, format)
		if err == nil {
			figures[i], order, err = s.steps(ctx, n, octets)
			s.end()
		}
		if err := errors.Join(err, os.RemoveAll(at)); err != nil {
			return err
		}
	}
	fmt.Printf("\n%s, %d messages of %d octets (time, read, most memory)\n\n| | plic | Dovecot |\n|---|---|---|\n", format, n, octets)
	for _, name := range order {
		fmt.Printf("| %s | %s | %s |\n", name, figures[0][name], figures[1][name])
	}
	return nil
}

// measure does something and asks the system what it took.
func (s *fileSite) measure(c *imapConn, do func(*imapConn) error) (figure, error) {
	pid, err := s.serving()
	if err != nil {
		return figure{}, err
	}
	proc := fmt.Sprintf("/proc/%d/", pid)
	_ = os.WriteFile(proc+"clear_refs", []byte("5"), 0) // the most is counted from here on
	before := field(proc+"io", "rchar:")
	begin := time.Now()
	if err := do(c); err != nil {
		return figure{}, err
	}
	f := figure{took: time.Since(begin)}
	f.read, f.memory = field(proc+"io", "rchar:")-before, field(proc+"status", "VmHWM:")<<10
	return f, nil
}

// field is a number of a file of the system's.
func field(name, key string) int64 {
	text, _ := os.ReadFile(name)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			n, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return n
		}
	}
	return 0
}

const filesConfig = `hostname = "mx.local.test"
data_dir = "%[1]s/data"
listen = {smtp = [], lmtp = [], imap = ["127.78.3.1:143"], imaps = [], pop3 = [], submission = [], submissions = [], pop3s = [], sieve = [], http = []}
auth = {hash_memory = "8MiB", hash_rounds = 1}
log = {level = "warn"}
mailboxes = {place = "%[2]s"}
`

// filesPlic is plic over mail in a format.
func filesPlic(ctx context.Context, dir, format string) (*fileSite, error) {
	s := &fileSite{format: format, site: site{name: "plic", imap: "127.78.3.1:143", letters: newLetters(), last: func() {}}}
	place := s.at(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	p, err := build(ctx, dir, fmt.Appendf(nil, filesConfig, dir, place), s.imap)
	if err != nil {
		return nil, err
	}
	s.start, s.stop = p.start, p.stop
	s.serving = func() (int, error) { return p.server.Process.Pid, nil }
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	for _, args := range [][]string{{"domain", "add", domain}, {"account", "add", filesUser, "--password-stdin"}} {
		if err := p.run(ctx, args...); err != nil {
			s.end()
			return nil, err
		}
	}
	return s, nil
}

// at says where the mail of a format is, and notes it.
func (s *fileSite) at(dir string) (place string) {
	switch s.format {
	case "maildir":
		s.inbox = dir + "/mail/" + filesName
		return "maildir:" + dir + "/mail/%n"
	case "mbox":
		s.inbox = dir + "/mail/" + filesName + "/inbox"
		return "mbox:" + dir + "/mail/%n:INBOX=" + dir + "/mail/%n/inbox"
	}
	return "native"
}

// filesDovecot is Dovecot over mail in a format; its own is sdbox.
func filesDovecot(ctx context.Context, dir, format string) (*fileSite, error) {
	s := &fileSite{format: format, site: site{name: "Dovecot", imap: "127.78.3.2:143", letters: newLetters(), last: func() {}}}
	d := &peers.Dovecot{Dir: dir + "/d", Address: "127.78.3.2", Password: password, Format: "sdbox"}
	if place := s.at(d.Dir); s.inbox != "" {
		d.Settings = "mail_location = " + place + "\nmail_privileged_group = mail\n"
	}
	if err := os.MkdirAll(d.Dir, 0o755); err != nil {
		return nil, err
	}
	s.start, s.stop = d.Start, func() { stopDovecot(d) }
	s.serving = func() (int, error) {
		master, err := os.ReadFile(d.Dir + "/run/master.pid")
		if err != nil {
			return 0, err
		}
		all, err := filepath.Glob("/proc/[0-9]*/stat")
		if err != nil {
			return 0, err
		}
		for range 100 {
			for _, name := range all {
				text, _ := os.ReadFile(name)
				f := strings.Fields(string(text))
				if len(f) > 3 && f[1] == "(imap)" && f[3] == strings.TrimSpace(string(master)) {
					return strconv.Atoi(f[0])
				}
			}
			time.Sleep(10 * time.Millisecond)
			all, _ = filepath.Glob("/proc/[0-9]*/stat")
		}
		return 0, errors.New("no process serves the session")
	}
	return s, s.start(ctx)
}

// fillFiles makes the mail, as other programs have delivered it.
func (s *fileSite) fillFiles(ctx context.Context, n, octets int) error {
	switch s.format {
	case "maildir":
		return s.fillMaildir(n, octets)
	case "mbox":
		return s.fillMbox(n, octets)
	}
	c, err := s.login(ctx, filesUser)
	if err != nil {
		return err
	}
	defer c.close()
	make := func(i int) []byte { return []byte(strings.ReplaceAll(s.foreign(i, octets), "\n", "\r\n")) }
	if _, err := c.multi("INBOX", 0, n, 1000, make); !errors.Is(err, errNoMulti) {
		return err
	}
	for i := range n {
		if err := c.append1("INBOX", make(i)); err != nil {
			return err
		}
	}
	return nil
}

// foreign is the n-th message with LF line ends.
func (s *fileSite) foreign(n, octets int) string {
	text := strings.ReplaceAll(string(s.letters.short(n)), "\r\n", "\n")
	line := strings.Repeat("About nothing in particular, at length ", 2)[:76] + "\n"
	if more := octets - len(text); more > 0 {
		text += strings.Repeat(line, more/len(line))
	}
	return text
}

func (s *fileSite) fillMaildir(n, octets int) error {
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(s.inbox+"/"+sub, 0o700); err != nil {
			return err
		}
	}
	for i := range n {
		name := fmt.Sprintf("%s/cur/%d.M%dP1.host:2,S", s.inbox, 1_700_000_000+i, i)
		if err := os.WriteFile(name, []byte(s.foreign(i, octets)), 0o600); err != nil {
			return err
		}
	}
	return s.ownMail()
}

func (s *fileSite) fillMbox(n, octets int) error {
	if err := os.MkdirAll(filepath.Dir(s.inbox), 0o700); err != nil {
		return err
	}
	f, err := os.Create(s.inbox)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	at := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range n {
		fmt.Fprintf(w, "From ann@sender.test %s\n%s\n", at.Add(time.Duration(i)*time.Second).Format(time.ANSIC), s.foreign(i, octets))
	}
	then := time.Now().Add(-time.Hour)
	return errors.Join(w.Flush(), f.Close(), os.Chtimes(s.inbox, then, then), s.ownMail())
}

// ownMail gives the mail to the user as whom Dovecot serves it.
func (s *fileSite) ownMail() error {
	dir := s.inbox
	if s.format == "mbox" {
		dir = filepath.Dir(s.inbox)
	}
	out, err := exec.Command("chown", "-R", "mail:mail", filepath.Dir(dir)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("chown: %w: %s", err, out)
	}
	return nil
}

// deliverFile puts a message there as another program does.
func (s *fileSite) deliverFile(n int) error {
	if s.format == "maildir" {
		name := fmt.Sprintf("%d.M%dP1.host", 1_900_000_000+n, n)
		if err := os.WriteFile(s.inbox+"/tmp/"+name, []byte(s.foreign(n, 0)), 0o666); err != nil {
			return err
		}
		return os.Rename(s.inbox+"/tmp/"+name, s.inbox+"/new/"+name)
	}
	f, err := os.OpenFile(s.inbox, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "From ann@sender.test %s\n%s\n", time.Now().Format(time.ANSIC), s.foreign(n, 0))
	return errors.Join(err, f.Close())
}

// mutt has mutt flag a message, as the owner of the mail.
func (s *fileSite) mutt(ctx context.Context, n int) error {
	kind := map[string]string{"maildir": "Maildir", "mbox": "mbox"}[s.format]
	settings := []string{"mbox_type=" + kind, "spoolfile=" + s.inbox, "sort=mailbox-order", "resolve=no", "quit=yes", "delete=yes", "move=no",
		"confirmappend=no", "wait_key=no", "mark_old=no", "beep=no", "header_cache=''", "folder=" + filepath.Dir(s.inbox)}
	rc := filepath.Join(filepath.Dir(filepath.Dir(s.inbox)), "muttrc")
	if err := os.WriteFile(rc, []byte("set "+strings.Join(settings, " ")+"\n"), 0o644); err != nil {
		return err
	}
	typing := fmt.Sprintf("<jump>%d<enter><flag-message><quit>", n)
	args := []string{"--reuid=mail", "--regid=mail", "--clear-groups", "--", "script", "-qec",
		"mutt -n -F " + rc + " -f " + s.inbox + " -e 'push \"" + typing + "\"'", "/dev/null"}
	cmd := exec.CommandContext(ctx, "setpriv", args...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "TERM=vt100", "LC_ALL=C.UTF-8"}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mutt: %w: %s", err, out[max(0, len(out)-1000):])
	}
	return nil
}
