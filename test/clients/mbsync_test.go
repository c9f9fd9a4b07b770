package clients

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/test/trial"
)

// replica is a Maildir that mbsync keeps the same as an account.
type replica struct {
	t   *testing.T
	dir string
	rc  string
}

func newReplica(t *testing.T, s *trial.Server, who trial.Account) *replica {
	dir := t.TempDir()
	r := &replica{t, filepath.Join(dir, "mail"), filepath.Join(dir, "rc")}
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, r.rc, fmt.Sprintf(`FSync no

IMAPAccount plic
Host %s
Port %d
User %s
PassCmd "printf %%s '%s'"
SSLType IMAPS
SystemCertificates no
CertificateFile %s

IMAPStore far
Account plic

MaildirStore near
Path %[6]s/
Inbox %[6]s/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
Remove Both
SyncState *
`, trial.Host, s.Port(trial.IMAPS), who.Name, strings.ReplaceAll(who.Password, "'", `'\\''`), s.CA(), r.dir))
	return r
}

// sync runs mbsync, which must have no complaints but those that are known. It
// counts what it does on a terminal only.
func (r *replica) sync(known ...string) string {
	r.t.Helper()
	cmd := exec.Command("script", "-qec", "mbsync -c "+r.rc+" all", os.DevNull)
	cmd.Stdin = strings.NewReader("")
	out := patient(r.t, 10*time.Minute, cmd).ok(r.t)
	for line := range strings.Lines(out) {
		holds := func(text string) bool { return strings.Contains(line, text) }
		if regexp.MustCompile(`(?i)warning|error|unable`).MatchString(line) && !slices.ContainsFunc(known, holds) {
			r.t.Errorf("mbsync says: %s", line)
		}
	}
	return out
}

// quiet reads the sums of what was added, flagged and trashed on both sides.
func (r *replica) quiet(said string) bool {
	r.t.Helper()
	sums := regexp.MustCompile(`F: \+\d+/(\d+) \*\d+/(\d+) #\d+/(\d+)  N: \+\d+/(\d+) \*\d+/(\d+) #\d+/(\d+)`).FindAllStringSubmatch(said, -1)
	if sums == nil {
		r.t.Fatalf("mbsync gives no sums: %q", said)
	}
	return strings.Join(sums[len(sums)-1][1:], "") == "000000"
}

func (r *replica) inbox() string { return filepath.Join(r.dir, "INBOX") }

// mail is every file of a mailbox, old and new.
func (r *replica) mail(box string) []string {
	r.t.Helper()
	return maildir(r.t, filepath.Join(r.dir, box))
}

// find is the file whose text holds something.
func (r *replica) find(box, text string) string {
	r.t.Helper()
	for _, name := range r.mail(box) {
		if strings.Contains(read(r.t, name), text) {
			return name
		}
	}
	r.t.Fatalf("no message of %s holds %q", box, text)
	return ""
}

// flag moves a file to what its flags make of its name.
func (r *replica) flag(name, flags string) {
	r.t.Helper()
	base, _, _ := strings.Cut(filepath.Base(name), ":2,")
	if err := os.Rename(name, filepath.Join(filepath.Dir(filepath.Dir(name)), "cur", base+":2,"+flags)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *replica) uidValidity(box string) string {
	r.t.Helper()
	first, _, _ := strings.Cut(read(r.t, filepath.Join(r.dir, box, ".mbsyncstate")), "\n\n")
	return regexp.MustCompile(`FarUidValidity \d+`).FindString(first)
}

func TestMbsync(t *testing.T) {
	t.Parallel()
	trial.Need(t, "mbsync", "script", "curl")
	s := trial.Start(t, program, ann)
	const many = 520
	upload(t, s, ann, "/INBOX", many)
	imap := func(box, command string) string {
		t.Helper()
		return curl(t, s, ann, "imaps", box, "-X", command).ok(t)
	}

	// First all comes to us.
	here := newReplica(t, s, ann)
	here.sync()
	if n := len(here.mail("INBOX")); n != many+1 {
		t.Fatalf("mbsync pulled %d messages, not %d", n, many+1)
	}
	validity := here.uidValidity("INBOX")
	if validity == "" {
		t.Error("no UIDVALIDITY in the state")
	}
	for _, box := range []string{"Archive", "Drafts", "Junk", "Sent", "Trash"} {
		if len(here.mail(box)) != 0 {
			t.Errorf("mail in %s", box)
		}
	}
	quiet := func() {
		t.Helper()
		list := func() map[string]string {
			all := map[string]string{}
			for _, name := range here.mail("INBOX") {
				all[name] = read(t, name)
			}
			return all
		}
		before := list()
		modseq := imap("/", "STATUS INBOX (HIGHESTMODSEQ MESSAGES UIDNEXT)")
		here.sync()
		if after := list(); fmt.Sprint(after) != fmt.Sprint(before) {
			t.Error("a second sync changed the Maildir")
		}
		if now := imap("/", "STATUS INBOX (HIGHESTMODSEQ MESSAGES UIDNEXT)"); now != modseq {
			t.Errorf("a second sync changed the mailbox from %s to %s", modseq, now)
		}
	}
	quiet()

	// Then something of everything happens on both sides.
	imap("/INBOX", `STORE 10 +FLAGS (\Seen \Flagged)`)
	imap("/INBOX", `STORE 11 +FLAGS (\Deleted)`)
	imap("/INBOX", "EXPUNGE")
	imap("/", "CREATE lists")
	curl(t, s, ann, "imaps", "/lists", "-T", write(t, filepath.Join(t.TempDir(), "mail"), fmt.Sprintf(letter, "to the list"))).ok(t)
	here.flag(here.find("INBOX", "Subject: number 100\n"), "RS")
	gone := here.find("INBOX", "Subject: number 101\n")
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(here.dir, "INBOX/cur/1.1_1.here:2,FS"), "From: ann@plic.test\nSubject: written here\n\nzwölf\n.\n")
	write(t, filepath.Join(here.dir, "offline/cur/1.1_2.here:2,S"), "From: ann@plic.test\nSubject: a new folder\n\nhello\n")
	for _, sub := range []string{"new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(here.dir, "offline", sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	here.sync()
	if name := here.find("INBOX", "Subject: number 8\n"); !strings.HasSuffix(name, ":2,FS") {
		t.Errorf("flags did not come: %s", name)
	}
	for _, name := range here.mail("INBOX") {
		if strings.Contains(read(t, name), "Subject: number 9\n") {
			t.Error("an expunged message is still here")
		}
	}
	here.find("lists", "the end of to the list\n")
	flags := func(box, search string) string {
		t.Helper()
		n := strings.TrimSpace(strings.TrimPrefix(imap(box, "SEARCH "+search), "* SEARCH"))
		if n == "" {
			return "none"
		}
		return imap(box, "FETCH "+n+" (FLAGS)")
	}
	for _, c := range []struct{ box, search, want string }{
		{"/INBOX", `SUBJECT "number 100"`, `\Answered \Seen`},
		{"/INBOX", `SUBJECT "number 101"`, "none"},
		{"/INBOX", `SUBJECT "written here"`, `\Flagged \Seen`},
		{"/offline", "ALL", `\Seen`},
	} {
		got := flags(c.box, c.search)
		for flag := range strings.FieldsSeq(c.want) {
			if !strings.Contains(got, flag) {
				t.Errorf("%s %s gives %s, not %s", c.box, c.search, got, c.want)
			}
		}
	}
	if got := imap("/", "STATUS INBOX (MESSAGES)"); !strings.Contains(got, fmt.Sprintf("MESSAGES %d", many)) { // and the welcome, less two, and one more
		t.Errorf("%s, not %d", got, many)
	}
	quiet()
	if now := here.uidValidity("INBOX"); now != validity {
		t.Errorf("%s became %s", validity, now)
	}

	// A second replica comes to the same, over what the first one wrote.
	there := newReplica(t, s, ann)
	there.sync()
	if a, b := len(here.mail("INBOX")), len(there.mail("INBOX")); a != b {
		t.Errorf("%d messages here, %d there", a, b)
	}
	if text := read(t, there.find("INBOX", "written here")); !strings.HasSuffix(text, "\n\nzwölf\n.\n") {
		t.Errorf("came as %q", text)
	}
}

// upload puts numbered messages into a mailbox, over one connection.
func upload(t *testing.T, s *trial.Server, who trial.Account, box string, n int) {
	t.Helper()
	dir := t.TempDir()
	for i := range n {
		write(t, filepath.Join(dir, fmt.Sprintf("%04d", i)), fmt.Sprintf(letter, fmt.Sprintf("number %d", i)))
	}
	curl(t, s, who, "imaps", box, "-T", filepath.Join(dir, fmt.Sprintf("{%s}", names(n)))).ok(t)
}

func names(n int) string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("%04d", i)
	}
	return strings.Join(all, ",")
}
