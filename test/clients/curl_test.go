package clients

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"plic/test/trial"
)

// curl runs curl as a user of a service, believing only the certificate of the
// server.
func curl(t *testing.T, s *trial.Server, who trial.Account, scheme, path string, args ...string) ran {
	t.Helper()
	port := map[string]int{
		"smtp": trial.Submission, "smtps": trial.Submissions, "imap": trial.IMAP, "imaps": trial.IMAPS,
		"pop3": trial.POP3, "pop3s": trial.POP3S, "http": trial.HTTP,
	}[scheme]
	args = append([]string{"-sS", "--max-time", "50", "--cacert", s.CA(), "--user", who.Name + ":" + who.Password,
		scheme + "://" + s.At(port) + path}, args...)
	if who.Password == wrong { // from another host, for what follows not to be slowed down
		args = append(args, "--interface", elsewhere)
	}
	if !strings.HasSuffix(scheme, "s") && scheme != "http" {
		args = append(args, "--ssl-reqd")
	}
	return run(t, "curl", args...)
}

const wrong, elsewhere = "wrong", "127.82.0.2"

const letter = "From: Ann <ann@plic.test>\r\nTo: Bob <bob@plic.test>\r\nSubject: %s\r\n" +
	"Date: Mon, 2 Mar 2026 10:15:30 +0100\r\nMessage-ID: <%[1]s@plic.test>\r\n\r\n.\r\n..two dots\r\nthe end of %[1]s\r\n"

func TestCurl(t *testing.T) {
	t.Parallel()
	trial.Need(t, "curl")
	eve := trial.Account{Name: "eve@plic.test", Password: "pÄßwörd €"}
	s := trial.Start(t, program, ann, bob, eve)
	for _, scheme := range []string{"smtp", "smtps"} {
		t.Run("send/"+scheme, func(t *testing.T) {
			mail := write(t, filepath.Join(t.TempDir(), "mail"), fmt.Sprintf(letter, scheme))
			send := func(as trial.Account, args ...string) ran {
				return curl(t, s, as, scheme, "/client.example", append([]string{"--mail-from", as.Name, "-T", mail, "--mail-rcpt"}, args...)...)
			}
			send(ann, bob.Name).ok(t)
			send(ann, bob.Name, "--login-options", "AUTH=LOGIN").ok(t)
			send(ann, eve.Name, "--mail-rcpt", bob.Name, "--sasl-ir", "--login-options", "AUTH=PLAIN").ok(t)
			const refused, denied = 55, 67 // CURLE_SEND_ERROR, CURLE_LOGIN_DENIED
			send(ann, "nobody@plic.test").ends(t, refused)
			send(trial.Account{Name: ann.Name, Password: wrong}, bob.Name).ends(t, denied)
		})
	}
	for _, scheme := range []string{"imap", "imaps"} {
		t.Run("read/"+scheme, func(t *testing.T) { curlIMAP(t, s, scheme) })
	}
	for _, scheme := range []string{"pop3", "pop3s"} {
		t.Run("read/"+scheme, func(t *testing.T) { curlPOP3(t, s, scheme) })
	}
	t.Run("a password in UTF-8", func(t *testing.T) {
		curl(t, s, eve, "imaps", "/INBOX?SUBJECT%20smtps").ends(t, 0, "* SEARCH 3")
		curl(t, s, eve, "pop3s", "/2").ends(t, 0, "the end of smtp\r\n")
	})
}

func curlIMAP(t *testing.T, s *trial.Server, scheme string) {
	do := func(path string, args ...string) string {
		t.Helper()
		return curl(t, s, bob, scheme, path, args...).ok(t)
	}
	is := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	has := func(got string, wants ...string) {
		t.Helper()
		for _, want := range wants {
			if !strings.Contains(got, want) {
				t.Errorf("%q is not in: %s", want, got)
			}
		}
	}
	has(do("/"), `" INBOX`, `\Sent) "/" Sent`, `\Drafts) "/" Drafts`, `\Junk) "/" Junk`, `\Trash) "/" Trash`, `\Archive) "/" Archive`)
	box := "/work-" + scheme
	do("/", "-X", "CREATE "+box[1:])
	for i := range 3 {
		do(box, "-T", write(t, filepath.Join(t.TempDir(), "mail"), fmt.Sprintf(letter, fmt.Sprint("note", i))))
	}
	whole := do(box + ";MAILINDEX=2")
	is(whole, fmt.Sprintf(letter, "note1"))
	is(do(box+";UID=2"), whole)
	is(do(box+";UID=2;SECTION=TEXT"), whole[strings.Index(whole, "\r\n\r\n")+4:])
	is(do(box+";MAILINDEX=2;SECTION=HEADER.FIELDS%20(Subject)"), "Subject: note1\r\n\r\n")
	is(do(box+"?SUBJECT%20note2"), "* SEARCH 3\r\n")
	is(do(box+"?BODY%20%22of%20note%22%20NOT%20SUBJECT%20note2"), "* SEARCH 1 2\r\n")
	has(do(box, "-X", "FETCH 1:* (UID FLAGS ENVELOPE)"), "* 3 FETCH (UID 3 FLAGS (", `"note2" (("Ann" NIL "ann" "plic.test"))`)
	do(box, "-X", `STORE 2 +FLAGS (\Deleted)`)
	is(do(box, "-X", "EXPUNGE"), "* 2 EXPUNGE\r\n")
	is(do(box+"?ALL"), "* SEARCH 1 2\r\n")
	has(do("/", "-X", "STATUS "+box[1:]+" (MESSAGES UIDNEXT)"), "(MESSAGES 2 UIDNEXT 4)")
	do("/", "-X", "DELETE "+box[1:])
	curl(t, s, bob, scheme, box+";UID=1").ends(t, 67, "Select failed")
	curl(t, s, trial.Account{Name: bob.Name, Password: wrong}, scheme, "/").ends(t, 67)
}

func curlPOP3(t *testing.T, s *trial.Server, scheme string) {
	do := func(path string, args ...string) string {
		t.Helper()
		return curl(t, s, bob, scheme, path, args...).ok(t)
	}
	list := strings.Split(strings.TrimSpace(do("/")), "\r\n")
	uidl := strings.Split(strings.TrimSpace(do("/", "-X", "UIDL")), "\r\n")
	if len(list) < 4 || len(uidl) != len(list) {
		t.Fatalf("LIST %q, UIDL %q", list, uidl)
	}
	last := fmt.Sprint(len(list))
	mail := do("/" + last)
	if want := fmt.Sprintf(letter, "smtps"); !strings.HasSuffix(mail, want) && !strings.HasSuffix(mail, strings.ReplaceAll(want, "smtps", "smtp")) {
		t.Errorf("message %s is %q", last, mail)
	}
	if want := last + " " + fmt.Sprint(len(mail)); list[len(list)-1] != want {
		t.Errorf("LIST says %q, not %q", list[len(list)-1], want)
	}
	if top := do("/", "-X", "TOP "+last+" 1"); !strings.HasSuffix(top, "\r\n\r\n.\r\n") {
		t.Errorf("TOP gives %q", top)
	}
	do("/"+last, "-X", "DELE", "-l")
	if now := do("/", "-X", "UIDL"); strings.TrimSpace(now) != strings.Join(uidl[:len(uidl)-1], "\r\n") {
		t.Errorf("after DELE of %s UIDL says %q, before %q", last, now, uidl)
	}
	const denied = 67 // CURLE_LOGIN_DENIED
	curl(t, s, trial.Account{Name: bob.Name, Password: wrong}, scheme, "/").ends(t, denied)
	do("/", "--login-options", "AUTH=PLAIN")
	do("/", "--login-options", "AUTH=LOGIN")
}
