package clients

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"plic/test/trial"
)

// offline is a Maildir that offlineimap keeps the same as an account, over
// COMPRESS.
type offline struct {
	t         *testing.T
	home, dir string
}

func newOffline(t *testing.T, s *trial.Server, who trial.Account) *offline {
	home := t.TempDir()
	o := &offline{t, home, filepath.Join(home, "mail")}
	write(t, filepath.Join(home, "rc"), fmt.Sprintf(`[general]
accounts = plic
metadata = %[1]s/state
ui = basic

[Account plic]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = %[2]s

[Repository far]
type = IMAP
remotehost = %[3]s
remoteport = %[4]d
remoteuser = %[5]s
remotepass = %[6]s
ssl = yes
sslcacertfile = %[7]s
auth_mechanisms = PLAIN
usecompression = yes
expunge = yes
maxconnections = 2
`, home, o.dir, trial.Host, s.Port(trial.IMAPS), who.Name, strings.ReplaceAll(who.Password, "%", "%%"), s.CA()))
	return o
}

func (o *offline) sync(...string) string {
	o.t.Helper()
	cmd := exec.Command("offlineimap", "-o", "-c", filepath.Join(o.home, "rc"))
	cmd.Env = append(os.Environ(), "HOME="+o.home, "LC_ALL=C.UTF-8")
	out := patient(o.t, 10*time.Minute, cmd).ok(o.t)
	if m := regexp.MustCompile(`(?i).*(warning|error|unable|traceback).*`).FindString(out); m != "" {
		o.t.Errorf("offlineimap says: %s", m)
	}
	return out
}

// quiet looks for what offlineimap says when it copies, removes or flags.
func (o *offline) quiet(said string) bool {
	return !regexp.MustCompile(`(?m)^ *(Copy message|Deleting|Adding|Removing|Creating) `).MatchString(said)
}

func (o *offline) mail(box string) []string {
	o.t.Helper()
	return maildir(o.t, filepath.Join(o.dir, box))
}

func (o *offline) inbox() string { return filepath.Join(o.dir, "INBOX") }
