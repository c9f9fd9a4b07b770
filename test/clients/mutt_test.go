package clients

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"plic/test/trial"
)

// mutt is a user of mutt with files of its own.
type mutt struct {
	t        *testing.T
	home, rc string
	name     string // of the program
}

// newMutt sets a user up, who leaves it to the program which mechanism it takes.
func newMutt(t *testing.T, s *trial.Server, who trial.Account) *mutt {
	m := &mutt{t: t, home: t.TempDir(), name: "mutt"}
	quote := func(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }
	user := strings.ReplaceAll(who.Name, "@", "%40")
	m.rc = write(t, filepath.Join(m.home, "rc"), fmt.Sprintf(`set from=%[1]s realname='Somebody' use_domain=no
set smtp_url=smtp://%[2]s@%[3]s smtp_pass=%[4]s
set folder=imaps://%[2]s@%[5]s spoolfile=+INBOX record=+Sent imap_pass=%[4]s
set send_charset=us-ascii:utf-8 ssl_force_tls=yes ssl_starttls=yes ssl_ca_certificates_file=%[6]s
set ssl_verify_dates=yes ssl_verify_host=yes
set pop_pass=%[4]s pop_delete=no
set copy=yes delete=yes quit=yes confirmappend=no confirmcreate=no mbox_type=mbox wait_key=no
set imap_check_subscribed=no mail_check=1 header_cache='' beep=no
unset mark_old resolve
`, who.Name, user, s.At(trial.Submission), `"`+strings.NewReplacer(`\`, `\\`, `"`, `\"`, "`", "\\`", "$", `\$`).Replace(who.Password)+`"`,
		s.At(trial.IMAPS), quote(s.CA())))
	return m
}

// run runs mutt in a terminal of its own, as it wants one even if nobody looks.
func (m *mutt) run(stdin string, args ...string) string {
	m.t.Helper()
	command := m.name + " -n -F '" + m.rc + "'"
	for _, a := range args {
		command += " '" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	if stdin != "" {
		command += " < '" + write(m.t, filepath.Join(m.home, "stdin"), stdin) + "'"
	}
	cmd := exec.Command("script", "-qec", command, filepath.Join(m.home, "typescript"))
	cmd.Env = append(os.Environ(), "HOME="+m.home, "TERM=vt100", "LC_ALL=C.UTF-8", "TMPDIR="+m.home)
	return execute(m.t, cmd).ok(m.t)
}

// keys opens a mailbox and types.
func (m *mutt) keys(box, keys string) string {
	m.t.Helper()
	return m.run("", "-f", box, "-e", `push "`+keys+`"`)
}

func TestMutt(t *testing.T) {
	t.Parallel()
	trial.Need(t, "mutt", "script", "curl")
	s := trial.Start(t, program, ann, bob)
	from, to := newMutt(t, s, ann), newMutt(t, s, bob)
	attached := write(t, filepath.Join(t.TempDir(), "größe.bin"), strings.Repeat("\x00\xff", 5000))
	for i := range 3 {
		args := []string{"-s", fmt.Sprint("Grüße ", i)}
		if i == 1 {
			args = append(args, "-a", attached)
		}
		from.run(fmt.Sprintf("Hallo,\n.\nschön %d\n", i), append(args, "--", bob.Name)...)
	}
	imap := func(who trial.Account, box, command string) string {
		t.Helper()
		return curl(t, s, who, "imaps", box, "-X", command).ok(t)
	}
	if got := imap(ann, "/", "STATUS Sent (MESSAGES UNSEEN)"); !strings.Contains(got, "(MESSAGES 3 UNSEEN 0)") {
		t.Errorf("the copies in Sent: %s", got)
	}
	if got := imap(bob, "/", "STATUS INBOX (MESSAGES UNSEEN)"); !strings.Contains(got, "(MESSAGES 4 UNSEEN 4)") {
		t.Errorf("what came: %s", got)
	}

	// Copy all to a file, flag one, delete one, move one to another mailbox.
	file := filepath.Join(to.home, "all.mbox")
	to.keys("=INBOX", "<tag-pattern>~A<enter><tag-prefix><copy-message>"+file+"<enter><untag-pattern>~A<enter>"+
		"<search>~B \\\"schön 0\\\"<enter><flag-message><sync-mailbox><quit>")
	mbox := read(t, file)
	for _, want := range []string{"Subject: Welcome to plic\n", "=?utf-8?B?", "Content-Transfer-Encoding: 8bit\n", "\nschön 0\n", "\nHallo,\n.\nschön 1\n", "filename*=utf-8''gr%C3%B6%C3%9Fe%2Ebin", "Content-Transfer-Encoding: base64\n"} {
		if !strings.Contains(mbox, want) {
			t.Errorf("mutt saved no %q: %s", want, mbox)
		}
	}
	if got := imap(bob, "/INBOX", `SEARCH FLAGGED`); got != "* SEARCH 2\r\n" {
		t.Errorf("flagged: %q", got)
	}
	to.keys("=INBOX", "<search>~s Welcome<enter><delete-message><search>~B \\\"schön 2\\\"<enter><save-message>=Archive<enter><sync-mailbox><quit>")
	if got := imap(bob, "/", "STATUS INBOX (MESSAGES)"); !strings.Contains(got, "(MESSAGES 2)") {
		t.Errorf("left in INBOX: %s", got)
	}
	if got := imap(bob, "/Archive", `UID SEARCH BODY "sch"`); got != "* SEARCH 1\r\n" {
		t.Errorf("moved to Archive: %q", got)
	}
	// And by POP3.
	pop := filepath.Join(to.home, "pop.mbox")
	to.keys("pops://"+strings.ReplaceAll(bob.Name, "@", "%40")+"@"+s.At(trial.POP3S), "<tag-pattern>~A<enter><tag-prefix><copy-message>"+pop+"<enter><quit>")
	if n := strings.Count(read(t, pop), "\nHallo,\n.\nschön "); n != 2 {
		t.Errorf("%d messages came by POP3: %s", n, read(t, pop))
	}
}
