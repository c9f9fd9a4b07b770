package mbox_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"plic/internal/mail"
	"plic/internal/store/engine"
	"plic/internal/store/files"
	"plic/internal/store/mbox"
	"plic/internal/vfs"
)

// TestMain is another program too: one that holds a lock of fcntl until its
// input ends.
func TestMain(m *testing.M) {
	if path := os.Getenv("PLIC_HOLD_FCNTL"); path != "" {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err == nil {
			err = unix.FcntlFlock(f.Fd(), unix.F_SETLKW, &unix.Flock_t{Type: unix.F_WRLCK})
		}
		fmt.Println("locked", err)
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// site is mbox files of which one test knows.
type site struct {
	t    *testing.T
	at   files.Place
	o    mbox.Options
	next engine.UID
	tree files.Tree
	box  files.Box
}

func newSite(t *testing.T, fs vfs.FS, o mbox.Options, options map[string]string) *site {
	t.Helper()
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	s := &site{t: t, next: 1, o: o, at: files.Place{Format: "mbox", Path: t.TempDir(), FS: fs, Options: options}}
	s.open()
	return s
}

// open begins anew, as after a restart.
func (s *site) open() {
	s.t.Helper()
	var err error
	s.tree, err = mbox.New(s.o).Open(s.t.Context(), s.at)
	if err == nil {
		s.box, err = s.tree.Box("INBOX")
	}
	s.ok(err)
}

func (s *site) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) file() string { return filepath.Join(s.at.Path, "inbox") }

func (s *site) read() string {
	s.t.Helper()
	text, err := os.ReadFile(s.file())
	s.ok(err)
	return string(text)
}

func (s *site) write(text string) {
	s.t.Helper()
	s.ok(os.WriteFile(s.file(), []byte(text), 0o600))
}

type body struct{ *bytes.Reader }

func (body) Close() error { return nil }

// deliver is a delivery, all of its messages at once.
func (s *site) deliver(texts ...string) error {
	c := &files.Change{}
	for i, text := range texts {
		c.Add = append(c.Add, files.Added{
			UID: s.next + engine.UID(i), Internal: time.Unix(1_800_000_000, 0), Size: int64(len(text)),
			Open: func() (mail.Body, error) { return body{bytes.NewReader([]byte(text))}, nil },
		})
	}
	c.Record = &engine.Mailbox{Name: "INBOX", UIDValidity: 7, UIDNext: s.next + engine.UID(len(texts))}
	_, err := s.box.Carry(s.t.Context(), c)
	if err == nil {
		s.next += engine.UID(len(texts))
	}
	return err
}

// index is one that knows nothing.
type index struct{}

func (index) UID(uint64) (engine.UID, bool) { return 0, false }

// scan gives UIDs and texts of what there is.
func (s *site) scan() (texts []string) {
	s.t.Helper()
	scan, err := s.box.Scan(s.t.Context(), index{}, true)
	s.ok(err)
	for _, m := range scan.Messages {
		b, err := s.box.Open(s.t.Context(), m.Key)
		s.ok(err)
		text, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
		s.ok(err)
		s.ok(b.Close())
		texts = append(texts, fmt.Sprintf("%d %s", m.UID, text))
	}
	return texts
}

// hold has another program lock the mailbox, until release.
func (s *site) hold(how string) (release func()) {
	s.t.Helper()
	path := s.file()
	run := func(name string, args ...string) {
		s.t.Helper()
		if out, err := exec.CommandContext(s.t.Context(), name, args...).CombinedOutput(); err != nil {
			s.t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
	}
	switch how {
	case "procmail":
		run("lockfile", "-r0", path+".lock")
		return func() { s.ok(os.Remove(path + ".lock")) }
	case "mutt":
		run("mutt_dotlock", "-r0", path)
		return func() { run("mutt_dotlock", "-u", path) }
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "flock", path, "sh", "-c", "echo locked; cat")
	if how == "fcntl" {
		cmd = exec.CommandContext(ctx, os.Args[0])
		cmd.Env = append(os.Environ(), "PLIC_HOLD_FCNTL="+path)
	}
	in, err := cmd.StdinPipe()
	s.ok(err)
	out, err := cmd.StdoutPipe()
	s.ok(err)
	s.ok(cmd.Start())
	s.t.Cleanup(cancel)
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "locked") || strings.Contains(line, "err") {
		s.t.Fatalf("%s: %q, %v", how, line, err)
	}
	return func() {
		s.ok(in.Close())
		_ = cmd.Wait()
	}
}

func message(subject string) string {
	return "Subject: " + subject + "\r\n\r\nAbout " + subject + ".\r\n"
}
