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

func TestFetchmail(t *testing.T) {
	t.Parallel()
	trial.Need(t, "fetchmail", "curl")
	for _, c := range []struct {
		name, protocol string
		port           int
		tls            string
	}{
		{"pop3s", "pop3", trial.POP3S, "ssl"},
		{"imaps", "imap", trial.IMAPS, "ssl"},
		{"pop3 with STLS", "pop3", trial.POP3, "sslproto tls1.2+"},
		{"imap with STARTTLS", "imap", trial.IMAP, "sslproto tls1.2+"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := trial.Start(t, program, ann, bob)
			upload(t, s, ann, "/INBOX", 5)
			curl(t, s, ann, "imaps", "/INBOX", "-X", `STORE 1:* -FLAGS (\Seen)`).ok(t)
			home, server := t.TempDir(), ""
			if c.protocol == "pop3" {
				server = "uidl"
			}
			fetch := func(options string, code int, says ...string) string {
				t.Helper()
				rc := write(t, filepath.Join(home, "rc"), fmt.Sprintf("poll %s service %d protocol %s %s user %q password %q %s sslcertck sslcertfile %q %s\n",
					trial.Host, s.Port(c.port), c.protocol, server, ann.Name, ann.Password, c.tls, s.CA(), options))
				cmd := exec.Command("fetchmail", "-v", "--nosyslog", "--pidfile", filepath.Join(home, "pid"), "--fetchmailrc", rc)
				cmd.Env = append(os.Environ(), "HOME="+home, "FETCHMAILHOME="+home, "LC_ALL=C")
				return execute(t, cmd).ends(t, code, says...)
			}
			count := func(who trial.Account) string {
				t.Helper()
				return curl(t, s, who, "imaps", "/", "-X", "STATUS INBOX (MESSAGES)").ok(t)
			}
			const got, nothing = 0, 1
			// What is kept is read once.
			keep := fmt.Sprintf("keep mda %q", "tee -a "+filepath.Join(home, "mail"))
			fetch(keep, got, "6 messages", "not flushed")
			mail := read(t, filepath.Join(home, "mail"))
			for i := range 5 {
				if want := fmt.Sprintf("\n.\n..two dots\nthe end of number %d\n", i); strings.Count(mail, want) != 1 {
					t.Errorf("message %d came %d times as it should be: %q", i, strings.Count(mail, want), mail)
				}
			}
			fetch(keep, nothing, "6 seen")
			if got := count(ann); !strings.Contains(got, "MESSAGES 6") {
				t.Errorf("%s, not all 6 were kept", got)
			}
			// What is not kept moves to another account by SMTP.
			fetch(fmt.Sprintf("fetchall nokeep smtphost \"%s/%d\" smtpname %q", "127.0.0.1", s.Port(trial.SMTP), bob.Name), got, "6 messages", "flushed")
			if got := count(ann); !strings.Contains(got, "MESSAGES 0") {
				t.Errorf("%s after all were fetched", got)
			}
			if got := count(bob); !strings.Contains(got, "MESSAGES 7") {
				t.Errorf("%s, not 6 that came and the welcome", got)
			}
			fetch("", nothing)
			const badLogin = 3
			rc := strings.Replace(read(t, filepath.Join(home, "rc")), fmt.Sprintf("%q", ann.Password), wrong, 1)
			write(t, filepath.Join(home, "rc"), rc)
			cmd := exec.Command("fetchmail", "-v", "--nosyslog", "--pidfile", filepath.Join(home, "pid"), "--fetchmailrc", filepath.Join(home, "rc"))
			cmd.Env = append(os.Environ(), "HOME="+home, "FETCHMAILHOME="+home, "LC_ALL=C")
			execute(t, cmd).ends(t, badLogin)
		})
	}
}
