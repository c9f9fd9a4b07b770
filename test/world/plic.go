package world

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"plic/internal/journal"
	"plic/internal/mail"
)

// Password is that of every account in the world.
const Password = "correct horse battery staple"

// Site says what a plic host is like. Only Host must be set.
type Site struct {
	Host     string
	Domain   string            // whose mail it takes; "" for none yet
	Settings map[string]string // TOML values by setting: "queue.backoff_min": `"1s"`
}

// Plic is a host on which plic serves every protocol on its well-known port,
// with the certificate of the CA, and tries mail again after a second.
type Plic struct {
	Site
	World   *World
	Address string
	Dir     string
	Config  string // file

	cmd   *exec.Cmd
	ended chan struct{}
	said  int // octets of the log before this start
}

// Plic makes a host and starts plic on it. The host is the MX of the domain.
func (w *World) Plic(tb testing.TB, s Site) *Plic {
	tb.Helper()
	p := w.NewPlic(tb, s)
	p.Start(tb)
	if s.Domain != "" {
		p.Domain(tb, s.Domain)
	}
	return p
}

// NewPlic makes a host with plic ready to be started.
func (w *World) NewPlic(tb testing.TB, s Site) *Plic {
	tb.Helper()
	p := &Plic{Site: s, World: w, Address: w.Host(tb, s.Host), Dir: filepath.Join(w.Dir, s.Host)}
	fatal(tb, os.MkdirAll(p.Dir, 0o755))
	p.Config = filepath.Join(p.Dir, "plic.toml")
	p.Configure(tb, nil)
	tb.Cleanup(func() {
		p.Kill()
		if tb.Failed() {
			tb.Logf("log of %s:\n%s", s.Host, tail(p.Log(), 12<<10))
		}
	})
	return p
}

// Domain adds a domain to the site, with its MX.
func (p *Plic) Domain(tb testing.TB, name string) {
	tb.Helper()
	p.Run(tb, "domain", "add", name)
	p.World.MX(tb, name, 10, p.Host)
}

// Configure writes the configuration, with settings changed or added for good.
func (p *Plic) Configure(tb testing.TB, change map[string]string) {
	tb.Helper()
	cert, key := p.World.Certificate(tb, p.Host)
	all := map[string]string{
		"hostname": quoted(p.Host), "data_dir": quoted(p.Dir + "/data"), "stop_grace": `"5s"`,
		"tls.cert": quoted(cert), "tls.key": quoted(key),
		"dns.servers": "[" + quoted(p.World.Resolver+":53") + "]", "dns.timeout": `"1s"`,
		"auth.hash_memory": `"8MiB"`, "auth.hash_rounds": "1",
		"queue.backoff_min": `"1s"`, "queue.backoff_max": `"1s"`, "remote.connect_timeout": `"5s"`,
		"store.reserve": `"0B"`, "log.level": `"debug"`,
	}
	for service, port := range map[string]int{
		"smtp": 25, "submission": 587, "submissions": 465, "lmtp": 24,
		"imap": 143, "imaps": 993, "pop3": 110, "pop3s": 995, "http": 80, "https": 443, "sieve": 4190,
	} {
		all["listen."+service] = fmt.Sprintf("[\"%s:%d\"]", p.Address, port)
	}
	settings := maps.Clone(p.Settings)
	if settings == nil {
		settings = map[string]string{}
	}
	maps.Copy(settings, change)
	p.Settings = settings
	maps.Copy(all, settings)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&text, "%s = %s\n", name, all[name])
	}
	fatal(tb, os.WriteFile(p.Config, []byte(text.String()), 0o644))
}

func quoted(s string) string { return `"` + s + `"` }

// Start starts the server and returns when it listens everywhere.
func (p *Plic) Start(tb testing.TB) {
	tb.Helper()
	log, err := os.OpenFile(p.Dir+"/log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	fatal(tb, err)
	defer log.Close()
	p.said = len(p.Log())
	p.cmd = exec.Command(p.World.binary, "serve", "--config", p.Config)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+p.World.CAFile)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	fatal(tb, p.cmd.Start())
	p.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		cmd.Wait()
		close(ended)
	}(p.cmd, p.ended)
	p.WaitLog(tb, "plic is up")
}

// WaitLog waits until the server has said something since its start.
func (p *Plic) WaitLog(tb testing.TB, text string) {
	tb.Helper()
	Wait(tb, fmt.Sprintf("%s to log %q", p.Host, text), func() bool {
		log := p.Log()
		if strings.Contains(log[min(p.said, len(log)):], text) {
			return true
		}
		select {
		case <-p.ended:
			tb.Fatalf("%s ended:\n%s", p.Host, tail(log, 4000))
		default:
		}
		return false
	})
}

// Log is what the server wrote so far, through all its starts.
func (p *Plic) Log() string {
	text, _ := os.ReadFile(p.Dir + "/log")
	return string(text)
}

func tail(text string, n int) string { return text[max(0, len(text)-n):] }

// Signal sends the server a signal.
func (p *Plic) Signal(tb testing.TB, s os.Signal) {
	tb.Helper()
	fatal(tb, p.cmd.Process.Signal(s))
}

// Stop ends the server as an init does, and fails if it does not end well.
func (p *Plic) Stop(tb testing.TB) {
	tb.Helper()
	p.Signal(tb, syscall.SIGTERM)
	p.WaitEnd(tb)
}

// WaitEnd waits until the server has ended, which it must without an error.
func (p *Plic) WaitEnd(tb testing.TB) {
	tb.Helper()
	select {
	case <-p.ended:
		if !p.cmd.ProcessState.Success() {
			tb.Errorf("%s ended with %v", p.Host, p.cmd.ProcessState)
		}
	case <-time.After(Patience):
		tb.Fatalf("%s does not end", p.Host)
	}
}

// Ended says that the server does not run.
func (p *Plic) Ended() bool {
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Memory is how many octets of memory the server has now.
func (p *Plic) Memory(tb testing.TB) int64 {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	fatal(tb, err)
	var all, resident int64
	_, err = fmt.Sscan(string(text), &all, &resident)
	fatal(tb, err)
	return resident * int64(os.Getpagesize())
}

// Kill ends the server without a warning, if it runs.
func (p *Plic) Kill() {
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Kill()
	<-p.ended
}

// Command runs a command of plic on the site and gives what it prints and its
// exit code.
func (p *Plic) Command(tb testing.TB, stdin string, args ...string) (out, errs string, code int) {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), p.World.binary, append(args, "--config", p.Config)...)
	var o, e bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &o, &e
	err := cmd.Run()
	if cmd.ProcessState == nil {
		tb.Fatal(err)
	}
	return o.String(), e.String(), cmd.ProcessState.ExitCode()
}

// Run runs a command that must succeed, and gives what it prints.
func (p *Plic) Run(tb testing.TB, args ...string) string {
	tb.Helper()
	out, errs, code := p.Command(tb, "", args...)
	if code != 0 {
		tb.Fatalf("plic %v: exit code %d\n%s%s", args, code, out, errs)
	}
	return out
}

// Account makes an account in the site's domain and gives its address.
func (p *Plic) Account(tb testing.TB, user string) string {
	tb.Helper()
	address := user + "@" + p.Site.Domain
	if out, errs, code := p.Command(tb, Password+"\n", "account", "add", address, "--password-stdin"); code != 0 {
		tb.Fatalf("account add %s: %s%s", address, out, errs)
	}
	return address
}

// Alias lets mail for an address go to others.
func (p *Plic) Alias(tb testing.TB, address string, targets ...string) {
	tb.Helper()
	p.Run(tb, append([]string{"alias", "add", address}, targets...)...)
}

// Queue is what `plic queue list` tells.
func (p *Plic) Queue(tb testing.TB) []mail.Item {
	tb.Helper()
	return lines[mail.Item](tb, p.Run(tb, "queue", "list", "--json"))
}

// Journal is what `plic journal` tells of a message, by either id.
func (p *Plic) Journal(tb testing.TB, message string) []journal.Event {
	tb.Helper()
	out, _, _ := p.Command(tb, "", "journal", message, "--json") // unknown is none
	return lines[journal.Event](tb, out)
}

// WaitJournal waits for an event of a message, and gives it.
func (p *Plic) WaitJournal(tb testing.TB, message, kind string) journal.Event {
	tb.Helper()
	var found journal.Event
	Wait(tb, kind+" of "+message+" in the journal of "+p.Host, func() bool {
		for _, e := range p.Journal(tb, message) {
			if e.Kind == kind {
				found = e
				return true
			}
		}
		return false
	})
	return found
}

func lines[T any](tb testing.TB, text string) []T {
	tb.Helper()
	var list []T
	for d := json.NewDecoder(strings.NewReader(text)); d.More(); {
		var v T
		if err := d.Decode(&v); err != nil {
			tb.Fatalf("%v in %s", err, text)
		}
		list = append(list, v)
	}
	return list
}

// Dial connects to a service by its port.
func (p *Plic) Dial(tb testing.TB, port int) *Conn {
	tb.Helper()
	return p.World.Dial(tb, "", fmt.Sprintf("%s:%d", p.Address, port), p.Host)
}

// SMTP is a session on port 25 that was greeted.
func (p *Plic) SMTP(tb testing.TB) *Conn {
	tb.Helper()
	return p.Dial(tb, 25).Greet()
}

// Submission is a session on port 587, with TLS, of an account.
func (p *Plic) Submission(tb testing.TB, account string) *Conn {
	tb.Helper()
	c := p.Dial(tb, 587).Greet().StartTLS()
	c.Must("235 ", "AUTH PLAIN %s", Plain(account, Password))
	return c
}

// IMAP is a session on port 993 of an account.
func (p *Plic) IMAP(tb testing.TB, account string) *Conn {
	tb.Helper()
	c := p.Dial(tb, 993)
	c.Handshake()
	c.Line()
	c.IMAPOK("LOGIN {%d+}\r\n%s \"%s\"", len(account), account, Password) // a literal may be UTF-8
	return c
}

// Inbox is what is in an account's INBOX.
func (p *Plic) Inbox(tb testing.TB, account string) []string {
	tb.Helper()
	c := p.IMAP(tb, account)
	defer c.Close()
	return c.Messages("INBOX")
}

// WaitMail waits for a message with a text in it to come into an INBOX, and
// gives it.
func (p *Plic) WaitMail(tb testing.TB, account, text string) string {
	tb.Helper()
	c := p.IMAP(tb, account)
	defer c.Close()
	var found string
	Wait(tb, fmt.Sprintf("mail with %q for %s", text, account), func() bool {
		for _, m := range c.Messages("INBOX") {
			if strings.Contains(m, text) {
				found = m
				return true
			}
		}
		return false
	})
	return found
}
