package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"plic/internal/backup"
	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/control/controltest"
	"plic/internal/mail"
	"plic/internal/message"
	"plic/internal/server"
)

// fakeHost is a server that only remembers what it was told.
type fakeHost struct {
	site     *controltest.Site
	config   *config.Config
	reloaded chan *config.Config
	up       chan struct{}
	opened   int // Offline without Close
	fail     error

	mu   sync.Mutex
	sent []string // "from to subject"
}

func (h *fakeHost) New(_ context.Context, c *config.Config, _ *slog.Logger, up func(site)) (service, error) {
	h.config = c
	return &fakeService{h, up}, h.fail
}

func (h *fakeHost) Offline(context.Context, *config.Config) (control.Operations, io.Closer, error) {
	h.opened++
	return h.site.Operations(), closer(func() error { h.opened--; return nil }), h.fail
}

func (h *fakeHost) Check(c *config.Config) error { return server.Check(c) }

func (h *fakeHost) Storage(*config.Config) control.Storage { return h.site.Operations().Storage }

func (h *fakeHost) Restore(_ context.Context, from string, c *config.Config, progress func(backup.Progress)) (backup.Backup, []backup.Problem, error) {
	h.config = c
	progress(backup.Progress{Bytes: 5, TotalBytes: 10})
	return backup.Backup{Path: from, Files: 2, Bytes: 10}, nil, h.fail
}

type closer func() error

func (c closer) Close() error { return c() }

type fakeService struct {
	h  *fakeHost
	up func(site)
}

func (s *fakeService) Run(ctx context.Context) error {
	s.up(site{
		Endpoints:  []endpoint{{Service: "smtp", Address: s.h.config.Listen.SMTP[0]}, {Service: "imaps", Address: s.h.config.Listen.IMAPS[0]}},
		CA:         filepath.Join(s.h.config.DataDir, "ca.pem"),
		Operations: s.h.site.Operations(),
		Submit: func(_ context.Context, from, to mail.Address, text []byte) error {
			m, err := message.Parse(bytes.NewReader(text), message.Limits{})
			if err != nil {
				return err
			}
			if m.Root.Get("Date") == "" || m.Root.Get("Message-ID") == "" {
				return fmt.Errorf("no Date or Message-ID: %s", text)
			}
			s.h.mu.Lock()
			defer s.h.mu.Unlock()
			s.h.sent = append(s.h.sent, from.String()+" "+to.String()+" "+m.Root.Get("Subject"))
			return nil
		},
	})
	close(s.h.up)
	<-ctx.Done()
	return nil
}

func (s *fakeService) Reload(c *config.Config) error {
	s.h.reloaded <- c
	return nil
}

// lockedBuffer may be written and read at the same time.
type lockedBuffer struct {
	mu      sync.Mutex
	b       bytes.Buffer
	changed chan struct{} // closed and renewed by Write
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	close(l.changed)
	l.changed = make(chan struct{})
	return l.b.Write(p)
}

// has says whether the text is there; if not, later tells of more.
func (l *lockedBuffer) has(text string) (ok bool, later <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.b.String(), text), l.changed
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

type rig struct {
	*app
	host     *fakeHost
	out, err *lockedBuffer
	hup      chan os.Signal
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{
		host: &fakeHost{site: &controltest.Site{}, up: make(chan struct{}), reloaded: make(chan *config.Config, 1)},
		out:  &lockedBuffer{changed: make(chan struct{})}, err: &lockedBuffer{changed: make(chan struct{})}, hup: make(chan os.Signal),
	}
	r.app = &app{
		in: strings.NewReader(""), out: r.out, err: r.err, now: time.Now, host: r.host,
		hangups:  func() <-chan os.Signal { return r.hup },
		env:      func(string) string { return "" },
		terminal: func(io.Reader) (prompter, bool) { return nil, false },
	}
	return r
}

// start runs a command that goes on until stop.
func (r *rig) start(args ...string) (stop func() int) {
	ctx, cancel := context.WithCancel(context.Background())
	code := make(chan int, 1)
	go func() { code <- r.run(ctx, args) }()
	select {
	case <-r.host.up:
	case c := <-code:
		code <- c
	}
	return func() int { cancel(); return <-code }
}

func TestQuickstart(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "my data")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	stop := r.start("quickstart", "--dir", dir, "--port-base", "20000")
	if code := stop(); code != 0 {
		t.Fatalf("exit code %d: %s", code, r.err)
	}
	text := r.out.String()
	password := r.host.site.Password("ann@plic.test")
	if len(password) != 19 || password == r.host.site.Password("bob@plic.test") {
		t.Errorf("password %q", password)
	}
	for _, want := range []string{
		"smtp     127.0.0.1:20025  STARTTLS        mail from other servers\n",
		"imaps    127.0.0.1:20993  from the start  reading mail\n",
		"ann@plic.test  " + password,
		"signed by " + dir + "/ca.pem",
		"--cacert '" + dir + "/ca.pem' smtps://127.0.0.1:20465 --user ann@plic.test:" + password + " --mail-from ann@plic.test --mail-rcpt bob@plic.test -T -\n",
		"'imaps://127.0.0.1:20993/INBOX;MAILINDEX=*' --user bob@plic.test:",
		"queue list --dir '" + dir + "'\n",
		"plic has stopped.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the banner lacks %q:\n%s", want, text)
		}
	}
	if got, want := strings.Join(r.host.sent, "\n"), "postmaster@plic.test ann@plic.test Welcome to plic\npostmaster@plic.test bob@plic.test Welcome to plic"; got != want {
		t.Errorf("sent\n%s", got)
	}
	if c := r.host.config; c.Hostname.String() != "mail.plic.test" || c.Listen.LMTP[0] != "127.0.0.1:20024" || c.DataDir != dir {
		t.Errorf("configuration\n%s", c.Show())
	}

	// The same directory again: the same accounts, no new mail.
	again := newRig(t)
	again.host.site = r.host.site
	if code := again.start("quickstart", "--dir", dir)(); code != 0 {
		t.Fatalf("exit code %d: %s", code, again.err)
	}
	if !strings.Contains(again.out.String(), password) || len(again.host.sent) != 0 || r.host.site.Password("ann@plic.test") != password {
		t.Errorf("the second start:\n%s%v", again.out, again.host.sent)
	}

	// And with an account more, in another domain.
	more := newRig(t)
	more.host.site = r.host.site
	if code := more.start("quickstart", "--dir", dir, "--account", "Carl@other.test:se:cret", "--account", "ann@plic.test:new")(); code != 0 {
		t.Fatalf("exit code %d: %s", code, more.err)
	}
	if r.host.site.Password("carl@other.test") != "se:cret" || r.host.site.Password("ann@plic.test") != "new" || len(more.host.sent) != 1 {
		t.Errorf("the third start:\n%s%v", more.out, more.host.sent)
	}
	info, err := os.Stat(filepath.Join(dir, "quickstart.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("quickstart.json: %v, %v", info, err)
	}
}

// The commands to paste work whatever it listens at.
func TestQuickstartTries(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string][]string{
		"0.0.0.0": {" smtps://localhost:10465 ", " 'imaps://localhost:10993/INBOX;"},
		"::1":     {" 'smtps://[::1]:10465' ", " 'imaps://[::1]:10993/INBOX;"},
	} {
		r := newRig(t)
		if code := r.start("quickstart", "--dir", t.TempDir(), "--listen", listen)(); code != 0 {
			t.Fatalf("exit code %d: %s", code, r.err)
		}
		for _, text := range want {
			if !strings.Contains(r.out.String(), text) {
				t.Errorf("listening at %s, the banner lacks %q:\n%s", listen, text, r.out)
			}
		}
	}
}

// A terminal that goes away stops it, as Ctrl-C does.
func TestQuickstartStopsWithItsTerminal(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	code := make(chan int, 1)
	go func() { code <- r.run(t.Context(), []string{"quickstart", "--dir", t.TempDir()}) }()
	<-r.host.up
	r.hup <- syscall.SIGHUP
	if c := <-code; c != 0 || !strings.Contains(r.out.String(), "plic has stopped.") {
		t.Errorf("exit code %d: %s%s", c, r.out, r.err)
	}
}

func TestQuickstartSaysWhatFailed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "quickstart.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	if code := r.start("quickstart", "--dir", dir)(); code != 1 || !strings.Contains(r.err.String(), "delete the file") {
		t.Errorf("exit code %d: %s", code, r.err)
	}
	r = newRig(t)
	r.host.fail = errors.New("port 10025 is taken")
	if code := r.start("quickstart", "--dir", t.TempDir())(); code != 1 || r.err.String() != "plic: port 10025 is taken\n" {
		t.Errorf("exit code %d: %s", code, r.err)
	}
}

// waitFor waits until the log has a text.
func (r *rig) waitFor(t *testing.T, text string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		ok, later := r.err.has(text)
		if ok {
			return
		}
		select {
		case <-later:
		case <-deadline:
			t.Fatalf("the log never said %q:\n%s", text, r.err)
		}
	}
}

func TestServeReloads(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "plic.toml")
	write := func(text string) {
		if err := os.WriteFile(path, []byte("hostname = \"mail.example.org\"\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("[smtp]\nhops = 50\n")
	r := newRig(t)
	stop := r.start("serve", "--config", path)
	if r.host.config.SMTP.Hops != 50 || !strings.Contains(r.err.String(), "plic is up") {
		t.Errorf("log %s", r.err)
	}

	write("[smtp]\nhops = 1\n")
	r.hup <- syscall.SIGHUP
	r.waitFor(t, "smtp.hops: 1 is out of bounds")

	write("[smtp]\nhops = 60\n[queue]\nactive = 100\n[log]\nlevel = \"debug\"\n")
	r.hup <- syscall.SIGHUP
	got := <-r.host.reloaded
	if got.SMTP.Hops != 60 || got.Queue.Active != 500 {
		t.Errorf("reloaded with hops %d, active %d", got.SMTP.Hops, got.Queue.Active)
	}
	r.waitFor(t, "needs a restart")
	r.waitFor(t, "changes=3")

	// What waits for a restart is told again, what was applied is not.
	r.hup <- syscall.SIGHUP
	<-r.host.reloaded
	r.waitFor(t, "changes=1")
	if code := stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestOffline(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r := newRig(t)
	if code := r.run(t.Context(), []string{"domain", "add", "example.org", "--dir", dir}); code != 0 || r.host.opened != 0 {
		t.Errorf("exit code %d, %d left open: %s", code, r.host.opened, r.err)
	}
	r.host.fail = errors.New("locked by process 7")
	if code := r.run(t.Context(), []string{"domain", "list", "--dir", dir}); code != 1 || !strings.Contains(r.err.String(), dir+": locked by process 7") {
		t.Errorf("exit code %d: %s", code, r.err)
	}
}

func TestPasswordAtTheTerminal(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		answers []string
		code    int
		err     string
	}{
		{[]string{"secret", "secret"}, 0, "added ann@example.org"},
		{[]string{"secret", "sekret"}, 1, "the two passwords differ"},
		{[]string{""}, 1, "the password is empty"},
		{[]string{strings.Repeat("x", 2000)}, 1, "longer than 1024"},
	} {
		r := newRig(t)
		r.terminal = func(io.Reader) (prompter, bool) {
			return func(string) (string, error) {
				answer := x.answers[0]
				x.answers = x.answers[1:]
				return answer, nil
			}, true
		}
		dir := t.TempDir()
		if err := r.host.site.AddDomain(t.Context(), "example.org"); err != nil {
			t.Fatal(err)
		}
		if code := r.run(t.Context(), []string{"account", "add", "ann@example.org", "--dir", dir}); code != x.code || !strings.Contains(r.err.String(), x.err) {
			t.Errorf("exit code %d: %s, want %s", code, r.err, x.err)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, x := range []struct{ got, want string }{
		{when(time.Time{}, now), "never"}, {when(now, now), "now"}, {when(now.Add(-5*time.Minute), now), "5m ago"},
		{when(now.Add(130*time.Minute), now), "in 2h10m"}, {when(now.Add(-100*time.Hour), now), "4d ago"}, {when(now.Add(36*time.Hour), now), "in 36h"},
		{octets(0), "0 B"}, {octets(1023), "1023 B"}, {octets(1536), "1.5 KiB"}, {octets(50 << 20), "50.0 MiB"}, {octets(3 << 30), "3.0 GiB"},
		{clean("plain ü"), "plain ü"}, {clean("a\x1b[2J\r\nb\u202e"), `a\u001b[2J\u000d\u000ab\u202e`}, {clean("\xff"), `\ufffd`},
		{shellQuote("a-b@c.d"), "a-b@c.d"}, {shellQuote("it's"), `'it'\''s'`}, {shellQuote(""), "''"},
	} {
		if x.got != x.want {
			t.Errorf("got %q, want %q", x.got, x.want)
		}
	}
}
