// Package moving moves mail between the real program and a real Dovecot, both
// ways, and kills it in between.
package moving

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/mbox"
	"plic/internal/message/messagetest"
	"plic/internal/moving"
	"plic/test/peers"
	"plic/test/trial"
)

// program is the plic that was built for these tests.
var program string

func TestMain(m *testing.M) {
	os.Exit(trial.Main(m, "../..", func(built string) { program = built }))
}

const secret = "secret"

// newcomer is an account that never had any mail, not even a welcome.
const newcomer = "carl@plic.test"

// site starts the program with a newcomer.
func site(t *testing.T) *trial.Server {
	t.Helper()
	s := trial.Start(t, program)
	plic(t, s.Dir, secret+"\n", "account", "add", newcomer, "--password-stdin")
	return s
}

// letters is what an account has, by folder.
type letters map[string][]moving.Letter

// look reads an account by IMAP.
func look(t *testing.T, address, user string) (letters, []moving.Folder) {
	t.Helper()
	s, err := moving.IMAP(t.Context(), moving.IMAPOptions{Address: address, User: user, Password: secret, TLS: "none"})
	if err != nil {
		t.Fatal(err)
	}
	return read(t, s)
}

// read reads all that a source has, and closes it.
func read(t *testing.T, s moving.Source) (letters, []moving.Folder) {
	t.Helper()
	defer s.Close()
	folders, err := s.Folders(t.Context(), func(b *moving.Bad) { t.Error(b) })
	if err != nil {
		t.Fatal(err)
	}
	all := letters{}
	for i := range folders {
		if folders[i].NoSelect {
			continue
		}
		for l, err := range s.Letters(t.Context(), &folders[i], func(uint64) bool { return false }) {
			if err != nil {
				t.Fatal(err)
			}
			slices.Sort(l.Flags)
			all[folders[i].Name] = append(all[folders[i].Name], l)
		}
	}
	return all, folders
}

// same compares accounts: folders with their UIDVALIDITY and UIDNEXT, UIDs,
// flags, dates and octets.
func same(t *testing.T, what string, got, want letters, folders, wanted []moving.Folder) {
	t.Helper()
	for name, list := range want {
		if len(got[name]) != len(list) {
			t.Errorf("%s: %s has %d messages of %d", what, name, len(got[name]), len(list))
			continue
		}
		for i, w := range list {
			g := got[name][i]
			if g.UID != w.UID || !slices.Equal(g.Flags, w.Flags) || g.Internal.Unix() != w.Internal.Unix() || !bytes.Equal(g.Text, w.Text) {
				t.Errorf("%s: %s, UID %d (%d), flags %v (%v), %s (%s), %d octets (%d)", what, name, g.UID, w.UID, g.Flags, w.Flags, g.Internal, w.Internal, g.Size, w.Size)
			}
		}
	}
	for _, w := range wanted {
		if w.NoSelect { // a mailbox has real ones above it here
			continue
		}
		i := slices.IndexFunc(folders, func(f moving.Folder) bool { return f.Name == w.Name })
		if i < 0 {
			t.Errorf("%s: there is no %s", what, w.Name)
		} else if g := folders[i]; g.UIDValidity != w.UIDValidity || g.UIDNext != w.UIDNext || g.Subscribed != w.Subscribed && w.Name != "INBOX" {
			t.Errorf("%s: %+v, want %+v", what, g, w)
		}
	}
}

// plic runs a command on a site.
func plic(t *testing.T, dir, stdin string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append(args, "--dir", dir)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("plic %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// doveadm runs a command on the peer.
func doveadm(t *testing.T, d *peers.Dovecot, stdin string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "doveadm", append([]string{"-c", filepath.Join(d.Dir, "dovecot.conf")}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("doveadm %v: %v\n%s", args, err, out)
	}
}

// corpus is messages of all kinds that a server takes as they are.
func corpus() (all []string) {
	for _, m := range messagetest.All() {
		text := strings.ReplaceAll(strings.ReplaceAll(string(m.Raw), "\r\n", "\n"), "\n", "\r\n")
		if strings.Contains(text, "\r\n\r\n") && !strings.ContainsAny(text, "\x00") && !strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\r") && len(text) < 2<<20 {
			all = append(all, text)
		}
	}
	return all
}

// neighbour starts a Dovecot with an account that has mail of all kinds.
func neighbour(t *testing.T, address, format string) *peers.Dovecot {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "plic-moving-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	d := &peers.Dovecot{Dir: dir, Address: address, Password: secret, Format: format}
	peers.Started(t, d.Start(t.Context()))
	t.Cleanup(func() { d.Stop() })
	return d
}

func fill(t *testing.T, d *peers.Dovecot) {
	t.Helper()
	for _, box := range []string{"Sent", "Lists.Gr\u00fc\u00dfe"} {
		doveadm(t, d, "", "mailbox", "create", "-s", "-u", "ann", box)
	}
	for i, text := range corpus() {
		doveadm(t, d, text, "save", "-u", "ann", "-m", []string{"INBOX", "Sent", "Lists.Gr\u00fc\u00dfe"}[i%3])
	}
	for i, flag := range []string{`\Seen`, `\Answered`, `\Flagged`, `\Draft`, `\Deleted`, "$Forwarded", "work"} {
		doveadm(t, d, "", "flags", "add", "-u", "ann", flag, "mailbox", "*", "uid", fmt.Sprintf("%d,%d:%d", i+1, 2*i+1, 2*i+4))
	}
	doveadm(t, d, "", "expunge", "-u", "ann", "mailbox", "INBOX", "uid", "2,5,9999999,*")
}

// TestDovecot: an account of a real Dovecot comes by IMAP and by its Maildir,
// with UIDs, flags, dates, subscriptions and every octet; it goes back as a
// Maildir, and Dovecot serves that with the same UIDs.
func TestDovecot(t *testing.T) {
	t.Parallel()
	d := neighbour(t, "127.77.5.1", "maildir")
	fill(t, d)
	want, folders := look(t, d.Address+":143", "ann")
	if len(want["INBOX"]) < 5 || len(want) != 3 {
		t.Fatalf("%d folders", len(want))
	}
	for how, args := range map[string][]string{
		"by IMAP":    {"import", "imap", d.Address + ":143", newcomer, "--user", "ann", "--tls", "none", "--password-stdin"},
		"in place":   {"import", "maildir", filepath.Join(d.Dir, "mail", "ann"), newcomer},
		"from lists": {"import", "imap", d.Address + ":143", "--tls", "none", "--accounts", "-"},
	} {
		t.Run(how, func(t *testing.T) {
			s := site(t)
			in := secret + "\n"
			if how == "from lists" {
				in = "# account user password\n" + newcomer + " ann " + secret + "\n"
			}
			said := plic(t, s.Dir, in, args...)
			got, there := look(t, s.At(143), newcomer)
			if len(got["INBOX"]) != len(want["INBOX"]) {
				t.Error(said)
			}
			same(t, how, got, want, there, folders)
			if again := plic(t, s.Dir, in, args...); !strings.Contains(again, "imported 0 messages") {
				t.Errorf("a second time: %s", again)
			}
			back(t, s, d, want, folders)
		})
	}
}

// back exports the account and has Dovecot serve the export.
func back(t *testing.T, s *trial.Server, d *peers.Dovecot, want letters, folders []moving.Folder) {
	t.Helper()
	user := filepath.Base(filepath.Dir(s.Dir)) // one that Dovecot has not met
	out := filepath.Join(d.Dir, "mail", user)
	plic(t, s.Dir, "", "export", "maildir", newcomer, out)
	if err := exec.CommandContext(t.Context(), "chown", "-R", "mail:mail", out).Run(); err != nil {
		t.Fatal(err)
	}
	got, there := look(t, d.Address+":143", user)
	same(t, "served by Dovecot", got, want, there, folders)
	boxes := filepath.Join(s.Dir, "boxes")
	plic(t, s.Dir, "", "export", "mbox", newcomer, boxes)
	source, err := moving.Mbox(boxes, mbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got, _ = read(t, source)
	same(t, "as mbox", got, want, nil, nil)
}

// TestKilled kills an import again and again: in the end each message is there
// once, with its UID.
func TestKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	maildir := filepath.Join(dir, "Maildir")
	w, err := moving.MaildirFiles(maildir, "host")
	if err != nil {
		t.Fatal(err)
	}
	const messages = 3000
	f := moving.Folder{Name: "INBOX", UIDValidity: 99, UIDNext: 2*messages + 1}
	if err := w.Begin(&f); err != nil {
		t.Fatal(err)
	}
	for n := range messages {
		text := fmt.Sprintf("Subject: %d\r\n\r\n%s\r\n", n, strings.Repeat("text ", n%500))
		if err := w.Write(&moving.Letter{UID: uint32(2*n + 1), Internal: time.Unix(int64(n), 0), Size: int64(len(text)), Text: []byte(text)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.End(), w.Close([]moving.Folder{f})); err != nil {
		t.Fatal(err)
	}
	s := site(t)
	killed := 0
	for {
		cmd := exec.CommandContext(t.Context(), program, "import", "maildir", maildir, newcomer, "--dir", s.Dir)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		var err error
		if killed < 3 {
			select {
			case err = <-ended:
			case <-time.After(time.Duration(killed+1) * 150 * time.Millisecond):
				cmd.Process.Kill()
				<-ended
				killed++
				continue
			}
		} else {
			err = <-ended
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		t.Logf("killed %d times, then: %s", killed, out.String())
		break
	}
	got, folders := look(t, s.At(143), newcomer)
	inbox := got["INBOX"]
	if len(inbox) != messages {
		t.Fatalf("%d messages of %d", len(inbox), messages)
	}
	for n, l := range inbox {
		if l.UID != uint32(2*n+1) || !bytes.HasPrefix(l.Text, fmt.Appendf(nil, "Subject: %d\r\n", n)) {
			t.Fatalf("message %d: UID %d, %.20q", n, l.UID, l.Text)
		}
	}
	for _, f := range folders {
		if f.Name == "INBOX" && (f.UIDValidity != 99 || f.UIDNext != 2*messages+1) {
			t.Errorf("%+v", f)
		}
	}
}
