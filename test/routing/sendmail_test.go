package routing

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"plic/internal/deliver/delivertest"
	"plic/internal/journal"
	"plic/test/world"
)

// old is plic under the names of programs that it takes the place of.
type old struct {
	dir string
	p   *world.Plic
}

// newOld puts the program where every user may run it.
func newOld(t *testing.T, p *world.Plic) *old {
	t.Helper()
	o := &old{dir: filepath.Join(p.World.Dir, "bin"), p: p}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	to, err := os.OpenFile(filepath.Join(o.dir, "plic"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(to, from)
	if err := errors.Join(err, to.Close()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"sendmail", "mailq", "newaliases"} {
		if err := os.Symlink("plic", filepath.Join(o.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

// run runs a program as a user, 0 being root, and gives its output and exit code.
func (o *old) run(uid uint32, stdin, name string, args ...string) (string, int) {
	cmd := exec.Command(filepath.Join(o.dir, name), args...)
	cmd.Env = []string{"PATH=" + o.dir + ":/usr/bin:/bin", "PLIC_CONFIG=" + o.p.Config, "HOME=/tmp", "TZ=UTC"}
	cmd.Dir, cmd.Stdin = "/", strings.NewReader(stdin)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err.Error(), -1
	}
	return string(out), cmd.ProcessState.ExitCode()
}

const nobody = 65534

// oldSite is a site whose maildrop every user of the host can reach.
func oldSite(t *testing.T, network string) (*world.World, *world.Plic, *old) {
	w := world.New(t, binary, network)
	aliases := filepath.Join(w.Dir, "aliases")
	if err := os.WriteFile(aliases, []byte("root: ann@here.test\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := w.Plic(t, world.Site{Host: "mx.here.test", Domain: "here.test", Settings: map[string]string{
		"submission.maildrop": `"` + w.Dir + `/drop"`, "submission.origin": `"here.test"`, "route.aliases": `"aliases:` + aliases + `"`,
	}})
	return w, p, newOld(t, p)
}

// Programs that call sendmail find what they know: cron, PHP, mutt, scripts.
func TestSendmail(t *testing.T) {
	t.Parallel()
	w, p, o := oldSite(t, "127.80.147")
	ann, bob := p.Account(t, "ann"), p.Account(t, "bob")
	sink := w.Sink(t, "mx.there.test", nil)
	must := func(uid uint32, stdin, name string, args ...string) string {
		t.Helper()
		out, code := o.run(uid, stdin, name, args...)
		if code != 0 {
			t.Errorf("%s %q: exit code %d: %s", name, args, code, out)
		}
		return out
	}
	// cron
	must(0, "From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@h> job\nAuto-Submitted: auto-generated\n\noutput\n.\nmore\n", "sendmail", "-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root")
	got := p.WaitMail(t, ann, "Subject: Cron <root@h> job")
	has(t, "cron's mail", got, "Return-Path: <root@here.test>", "Delivered-To: ann@here.test", "Received: by mx.here.test (from userid 0) with local id ", "Date: ", "Message-ID: <", "\r\n\r\noutput\r\n.\r\nmore\r\n")
	// Somebody without rights, with -t and Bcc, to here and elsewhere.
	must(nobody, "To: Bob <bob@here.test>\nBcc: ann@here.test, x@there.test\nSubject: for-t\n\nhi\n.\nnot this\n", "sendmail", "-t", "-f", "robot@here.test", "-V", "envid1", "-N", "never")
	got = p.WaitMail(t, bob, "Subject: for-t")
	has(t, "the message", got, "Return-Path: <robot@here.test>", "(from userid 65534)", "From: <robot@here.test>\r\n", "\r\n\r\nhi\r\n")
	if strings.Contains(strings.ToLower(got), "bcc") || strings.Contains(got, "not this") {
		t.Errorf("a blind copy is told, or too much was read: %s", got)
	}
	p.WaitMail(t, ann, "Subject: for-t")
	if m := sink.Wait(t, 1)[0]; !strings.Contains(string(m.Data), "Subject: for-t") || strings.Contains(string(m.Data), "Bcc") || !strings.HasPrefix(m.From, "<robot@here.test>") {
		t.Errorf("elsewhere it has %+v", m)
	}
	// What the sender wants to be told goes with the message.
	dsn := w.Sink(t, "mx.dsn.test", &delivertest.Remote{Extensions: []string{"DSN"}})
	must(nobody, "Subject: dsn\n\nhi\n", "sendmail", "-f", bob, "-N", "success,delay", "-R", "hdrs", "-V", "env+1", "x@dsn.test")
	if m := dsn.Wait(t, 1)[0]; m.From != "<"+bob+"> RET=HDRS ENVID=env+2B1" || m.To[0] != "<x@dsn.test> NOTIFY=SUCCESS,DELAY" {
		t.Errorf("with -N, -R and -V: MAIL %q, RCPT %q", m.From, m.To)
	}
	// Nobody of that name: the sender is told by mail, not the program.
	must(nobody, "Subject: to-nobody\n\nhi\n", "sendmail", "-f", bob, "gone@here.test")
	has(t, "the report", p.WaitMail(t, bob, "Content-Type: multipart/report"), "gone@here.test", "Status: 5.1.1", "Subject: to-nobody")
	// SMTP over standard input.
	out := must(nobody, "EHLO me\r\nMAIL FROM:<x@there.test>\r\nRCPT TO:<bob@here.test>\r\nDATA\r\nSubject: by-bs\r\n\r\n..hi\r\n.\r\nQUIT\r\n", "sendmail", "-bs")
	has(t, "the session", out, "220 mx.here.test", "354 ", "250 2.0.0 accepted", "221 ")
	has(t, "the message", p.WaitMail(t, bob, "Subject: by-bs"), "\r\n\r\n.hi\r\n", "(from userid 65534)")

	// Exit codes of <sysexits.h>.
	for _, c := range []struct {
		args string
		code int
	}{{"-t", 65}, {"-Z", 64}, {"-bd", 64}, {"-f", 64}, {"-N sometimes bob", 64}, {"bob@[bad", 65}, {"-f a,b bob", 64}, {"-C /none -bv bob@here.test", 0}} {
		if out, code := o.run(0, "Subject: x\n\nx\n", "sendmail", strings.Fields(c.args)...); code != c.code {
			t.Errorf("sendmail %s: exit code %d, want %d: %s", c.args, code, c.code, out)
		}
	}
	has(t, "newaliases", must(0, "", "newaliases"), "good")
	has(t, "mailq", must(0, "", "mailq"), "Mail queue is empty")
	down := w.DownSink(t, "mx.down.test", nil)
	must(nobody, "Subject: waits\n\nhi\n", "sendmail", "-f", bob, "x@down.test")
	world.Wait(t, "mail that waits", func() bool { q := p.Queue(t); return len(q) == 1 && q[0].Attempts > 0 })
	has(t, "mailq", must(0, "", "sendmail", "-bp"), "-Queue ID-", bob, "x@down.test", "(451 4.4.1 cannot connect", "in 1 Request.")
	down.Up(t)
	must(0, "", "sendmail", "-q")
	down.Wait(t, 1)
}

// mutt and PHP as they are installed hand mail in by sendmail.
func TestSendmailOfPrograms(t *testing.T) {
	t.Parallel()
	_, p, o := oldSite(t, "127.80.148")
	bob, eve := p.Account(t, "bob"), p.Account(t, "eve")
	env := append(os.Environ(), "PLIC_CONFIG="+p.Config, "HOME="+t.TempDir(), "TERM=vt100")
	t.Run("mutt", func(t *testing.T) {
		if _, err := exec.LookPath("mutt"); err != nil {
			world.Missing(t, err.Error())
		}
		rc := filepath.Join(t.TempDir(), "rc")
		if err := os.WriteFile(rc, []byte("set sendmail='"+o.dir+"/sendmail -oem -oi' from=joe@here.test realname='Jö' copy=no use_envelope_from=yes send_charset=utf-8\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("mutt", "-n", "-F", rc, "-s", "by mutt", "-b", eve, bob)
		cmd.Env, cmd.Stdin = env, strings.NewReader("Grüße\n.\nFrom here\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("mutt: %v: %s", err, out)
		}
		got := p.WaitMail(t, bob, "Subject: by mutt")
		has(t, "mutt's message", got, "Return-Path: <joe@here.test>", "From: =?utf-8?", "\r\n\r\nGrüße\r\n.\r\nFrom here\r\n")
		if strings.Contains(got, "Bcc") || !strings.Contains(p.WaitMail(t, eve, "Subject: by mutt"), "Grüße") {
			t.Errorf("a blind copy is told: %s", got)
		}
	})
	t.Run("php", func(t *testing.T) {
		if _, err := exec.LookPath("php"); err != nil {
			world.Missing(t, err.Error())
		}
		cmd := exec.Command("php", "-n", "-d", "sendmail_path="+o.dir+"/sendmail -t -i", "-r",
			`exit(mail("Bob <bob@here.test>", "by PHP", "line\n.\nmore\n", "From: web@here.test\r\nBcc: eve@here.test", "-fbounce@here.test") ? 0 : 1);`)
		cmd.Env = env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("php: %v: %s", err, out)
		}
		got := p.WaitMail(t, bob, "Subject: by PHP")
		has(t, "PHP's message", got, "Return-Path: <bounce@here.test>", "From: web@here.test\r\n", "\r\n\r\nline\r\n.\r\nmore\r\n")
		if strings.Contains(got, "Bcc") {
			t.Errorf("a blind copy is told: %s", got)
		}
		p.WaitMail(t, eve, "Subject: by PHP")
	})
}

// While no server runs, and while it is killed again and again, every letter is
// kept, and comes once.
func TestLettersOutliveTheServer(t *testing.T) {
	t.Parallel()
	_, p, o := oldSite(t, "127.80.149")
	bob := p.Account(t, "bob")
	p.Stop(t)
	if out, code := o.run(nobody, "Subject: while-down\n\nhi\n", "sendmail", bob); code != 0 {
		t.Fatalf("without a server: exit code %d: %s", code, out)
	}
	names, err := os.ReadDir(filepath.Join(p.World.Dir, "drop", "new"))
	if err != nil || len(names) != 1 {
		t.Fatalf("the maildrop has %v, %v", names, err)
	}
	p.Start(t)
	p.WaitMail(t, bob, "Subject: while-down")

	const workers, each = 4, 15
	var wg sync.WaitGroup
	var mu sync.Mutex
	var sent []string
	for i := range workers {
		wg.Go(func() {
			for n := range each {
				subject := fmt.Sprintf("letter-%d-%d", i, n)
				if out, code := o.run(nobody, "Subject: "+subject+".\n\nhi\n", "sendmail", bob); code != 0 {
					t.Errorf("%s: exit code %d: %s", subject, code, out)
					continue
				}
				mu.Lock()
				sent = append(sent, subject)
				mu.Unlock()
			}
		})
	}
	count := func() int { mu.Lock(); defer mu.Unlock(); return len(sent) }
	for _, at := range []int{8, 20, 35, 50} {
		world.Wait(t, "letters to be handed in", func() bool { return count() >= at || t.Failed() })
		p.Kill()
		p.Start(t)
	}
	wg.Wait()
	var inbox string
	world.Wait(t, "every letter", func() bool {
		inbox = strings.Join(p.Inbox(t, bob), "")
		for _, subject := range sent {
			if !strings.Contains(inbox, "Subject: "+subject+".\r\n") {
				return false
			}
		}
		return true
	})
	world.Wait(t, "an empty queue", func() bool { return len(p.Queue(t)) == 0 })
	inbox = strings.Join(p.Inbox(t, bob), "")
	for _, subject := range sent {
		if got := strings.Count(inbox, "Subject: "+subject+".\r\n"); got != 1 {
			t.Errorf("%s came %d times", subject, got)
		}
	}
	if events := p.Run(t, "journal", "--to", bob); !strings.Contains(events, journal.Accept) {
		t.Errorf("the journal says %s", events)
	}
}
