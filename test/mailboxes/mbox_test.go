package mailboxes

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"plic/test/world"
)

// mboxes is a site whose mail is in mbox files, at a place with more options.
func mboxes(t *testing.T, network string, options ...string) (p *world.Plic, mail, spool string) {
	t.Helper()
	w := world.New(t, binary, network)
	mail, spool = filepath.Join(w.Dir, "mail"), filepath.Join(w.Dir, "spool")
	if err := os.MkdirAll(spool, 0o755); err != nil {
		t.Fatal(err)
	}
	p = w.Plic(t, world.Site{Host: "mx.plic.test", Domain: "plic.test", Settings: map[string]string{
		"mailboxes.place": fmt.Sprintf(`"mbox:%s/%%n:INBOX=%s/%%n%s"`, mail, spool, strings.Join(options, "")),
	}})
	p.Account(t, "bob")
	return p, mail, spool
}

// program runs a program of others.
func program(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), world.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "TERM=dumb")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// TestMboxShared: mail comes by SMTP and by procmail, mutt and mail(1) read, mark
// and delete it, and each sees what the others did.
func TestMboxShared(t *testing.T) {
	t.Parallel()
	p, _, spool := mboxes(t, "127.97.21")
	box := filepath.Join(spool, "bob")
	c := p.IMAP(t, "bob@plic.test")
	c.IMAPOK("SELECT INBOX")
	for _, subject := range []string{"one", "two"} {
		c.IMAPOK("APPEND INBOX {%d+}\r\n%s", len(crlf(letter(subject))), crlf(letter(subject)))
	}
	rc := filepath.Join(t.TempDir(), "procmailrc")
	if err := os.WriteFile(rc, []byte("DEFAULT="+box+"\nLOGFILE=/dev/null\n:0:\n"+box+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	program(t, "From ann@peer.test Thu Nov 26 18:25:12 2026\n"+letter("three")+"From the beginning\n", "procmail", "-m", rc)
	before := view(c)
	if !strings.Contains(before, `UID 3 [] `) || !strings.Contains(before, `About three.\r\nFrom the beginning\r\n`) {
		t.Fatalf("after procmail:\n%s", before)
	}
	if said := program(t, "h\nx\n", "mail", "-n", "-N", "-f", box); !strings.Contains(said, "one") || !strings.Contains(said, "three") {
		t.Errorf("mail(1) lists:\n%s", said)
	}
	// mutt flags the second, and deletes the first.
	muttrc := filepath.Join(t.TempDir(), "muttrc")
	settings := "set folder=" + spool + " spoolfile=" + box + " mbox_type=mbox sort=mailbox-order resolve=no quit=yes delete=yes move=no confirmappend=no wait_key=no mark_old=no beep=no\n"
	if err := os.WriteFile(muttrc, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	program(t, "", "script", "-qec", "mutt -n -F "+muttrc+" -f "+box+" -e 'push \"<first-entry><delete-message><next-entry><flag-message><quit>\"'", "/dev/null")
	t.Cleanup(func() {
		if text, err := os.ReadFile(box); err == nil && t.Failed() {
			t.Logf("%s", text)
		}
	})
	after := view(c)
	if strings.Contains(after, "About one") || !strings.Contains(after, `UID 2 [\Flagged]`) || !strings.Contains(after, "UID 3 ") {
		t.Errorf("after mutt:\n%s", after)
	}
	c.IMAPOK("SELECT INBOX")
	c.IMAPOK(`UID STORE 3 +FLAGS (\Seen \Answered work)`)
	text, err := os.ReadFile(box)
	if err != nil || !strings.Contains(string(text), "X-Keywords: work") || !strings.Contains(string(text), "Status: RO") {
		t.Errorf("%v\n%s", err, text)
	}
	// mail(1) deletes the one that mutt has flagged.
	program(t, "d 1\nq\n", "mail", "-n", "-N", "-f", box)
	last := view(c)
	if strings.Contains(last, "About two") || !strings.Contains(last, `UID 3 [\Answered \Seen work]`) {
		t.Errorf("after mail(1):\n%s", last)
	}
	c.IMAPOK("SELECT INBOX")
	c.IMAPOK(`UID STORE 3 +FLAGS (\Deleted)`)
	c.IMAPOK("EXPUNGE")
	if info, err := os.Stat(box); err != nil || info.Size() != 0 {
		t.Errorf("after EXPUNGE: %v, %v", info, err)
	}
	program(t, "From ann@peer.test Thu Nov 26 18:25:12 2026\n"+letter("four"), "procmail", "-m", rc)
	if text := view(c); !strings.Contains(text, "UID 4 ") {
		t.Errorf("a UID is given again:\n%s", text)
	}
}

// TestMboxFolders: folders are files, kept over a restart with their UIDs.
func TestMboxFolders(t *testing.T) {
	t.Parallel()
	p, mail, _ := mboxes(t, "127.97.22")
	c := p.IMAP(t, "bob@plic.test")
	c.IMAPOK("CREATE Lists/go")
	c.IMAPOK("SUBSCRIBE Lists/go")
	for n := range 20 {
		text := crlf(letter(fmt.Sprint("letter-", n%7)))
		c.IMAPOK("APPEND Lists/go (%s) {%d+}\r\n%s", []string{"", `\Seen`, "$Forwarded"}[n%3], len(text), text)
	}
	c.IMAPOK("SELECT Lists/go")
	c.IMAPOK(`STORE 2,5,9 +FLAGS.SILENT (\Deleted)`)
	c.IMAPOK("EXPUNGE")
	before := view(c)
	if _, err := os.Stat(filepath.Join(mail, "bob", "Lists.sbd", "go")); err != nil {
		t.Error(err)
	}
	p.Stop(t)
	p.Start(t)
	same(t, "after a restart", view(p.IMAP(t, "bob@plic.test")), before)
}

// TestMboxLocked: while procmail's lockfile has the mailbox, mail that comes is
// refused for now and stays with the sender, and a session is told so; when the
// lock has gone, all of it comes in, once.
func TestMboxLocked(t *testing.T) {
	t.Parallel()
	p, _, spool := mboxes(t, "127.97.23", ":WAIT=1")
	box := filepath.Join(spool, "bob")
	c := p.IMAP(t, "bob@plic.test")
	c.IMAPOK("APPEND INBOX {%d+}\r\n%s", len(crlf(letter("one"))), crlf(letter("one")))
	c.IMAPOK("SELECT INBOX")
	before, err := os.ReadFile(box)
	if err != nil {
		t.Fatal(err)
	}
	program(t, "", "lockfile", "-r0", box+".lock")
	refused := func(what string, reply []string) {
		t.Helper()
		if last := reply[len(reply)-1]; !strings.HasPrefix(last, "NO [INUSE] ") {
			t.Errorf("%s: %q", what, reply)
		}
	}
	refused("APPEND", c.IMAP("APPEND INBOX {%d+}\r\n%s", len(crlf(letter("two"))), crlf(letter("two"))))
	refused("STORE", c.IMAP(`STORE 1 +FLAGS (\Deleted)`))
	refused("COPY", c.IMAP("COPY 1 INBOX"))
	if text := view(c); !strings.Contains(text, "About one") || strings.Contains(text, `\Deleted`) {
		t.Errorf("a session reads:\n%s", text)
	}
	mail := world.Letter{From: "ann@peer.test", To: []string{"bob@plic.test"}, Text: crlf(letter("three"))}
	if reply := p.SMTP(t).Post(mail); !strings.HasPrefix(reply, "451 ") {
		t.Errorf("a delivery: %q", reply)
	}
	if now, err := os.ReadFile(box); err != nil || string(now) != string(before) {
		t.Errorf("%v, the file has changed:\n%s", err, now)
	}
	if err := os.Remove(box + ".lock"); err != nil {
		t.Fatal(err)
	}
	p.SMTP(t).Deliver(mail)
	c = p.IMAP(t, "bob@plic.test")
	c.IMAPOK("APPEND INBOX {%d+}\r\n%s", len(crlf(letter("two"))), crlf(letter("two")))
	text := view(c)
	for _, subject := range []string{"one", "two", "three"} {
		if strings.Count(text, "About "+subject) != 1 {
			t.Errorf("%s is not there once:\n%s", subject, text)
		}
	}
}
