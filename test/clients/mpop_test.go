package clients

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"plic/test/trial"
)

// mpop pipelines what it can, and knows SCRAM.
func TestMpop(t *testing.T) {
	t.Parallel()
	trial.Need(t, "mpop", "curl")
	s := trial.Start(t, program, ann)
	upload(t, s, ann, "/INBOX", 5)
	home := t.TempDir()
	get := func(password, auth string, port int, starttls string) ran {
		t.Helper()
		rc := write(t, filepath.Join(home, "rc"), fmt.Sprintf(`account a
host %s
port %d
tls on
tls_starttls %s
tls_trust_file %s
user %s
password "%s"
auth %s
keep on
delivery mbox %s
uidls_file %[9]s.uidls
`, trial.Host, s.Port(port), starttls, s.CA(), ann.Name, password, auth, filepath.Join(home, "mbox"), filepath.Join(home, auth+starttls)))
		return execute(t, exec.Command("mpop", "-C", rc, "a"))
	}
	const nopermission = 77
	get(wrong, "plain", trial.POP3S, "off").ends(t, nopermission, "authentication failed (method PLAIN)")
	n := 0
	for _, auth := range []string{"plain", "user", "login", "scram-sha-256", "on"} {
		for starttls, port := range map[string]int{"off": trial.POP3S, "on": trial.POP3} {
			get(ann.Password, auth, port, starttls).ends(t, 0, "6 messages")
			get(ann.Password, auth, port, starttls).ends(t, 0, "no messages, total: 6")
			n++
			mail := read(t, filepath.Join(home, "mbox"))
			for i := range 5 {
				if got := strings.Count(mail, fmt.Sprintf("\n.\n..two dots\nthe end of number %d\n", i)); got != n {
					t.Errorf("with %s message %d came %d times, not %d", auth, i, got, n)
				}
			}
		}
	}
}
