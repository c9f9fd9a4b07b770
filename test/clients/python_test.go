package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"plic/test/trial"
)

// python runs a script of testdata, which ends with an exception if something
// is not as it should be.
func python(t *testing.T, s *trial.Server, script string, args ...string) string {
	t.Helper()
	return run(t, "python3", append([]string{"testdata/" + script, strconv.Itoa(s.Base), s.CA()}, args...)...).ok(t)
}

func TestPython(t *testing.T) {
	t.Parallel()
	trial.Need(t, "python3", "curl")
	t.Run("smtplib", func(t *testing.T) {
		t.Parallel()
		s := trial.Start(t, program, ann, bob)
		python(t, s, "smtp.py", ann.Name, ann.Password, bob.Name)
		got := curl(t, s, bob, "imaps", "/INBOX", "-X", "FETCH 1:* (ENVELOPE BODYSTRUCTURE)").ok(t)
		for _, want := range []string{"by PLAIN", "by LOGIN", "to two", "to one of two", "=?utf-8?q?Gr=C3=BC=C3=9Fe?= aus Python", "in UTF-8", "from abroad", "with DSN", "from a stranger", "by LMTP"} {
			if n := strings.Count(got, `"`+want+`"`); n != 1 && !strings.Contains(want, " two") || n == 0 {
				t.Errorf("%q came %d times: %s", want, n, got)
			}
		}
		// Date and Message-ID are added to what our own users send.
		if n := strings.Count(got, "FETCH (ENVELOPE (NIL "); n != 2 {
			t.Errorf("%d messages have no date, not the 2 of strangers: %s", n, got)
		}
		if strings.Contains(got, "forged") {
			t.Errorf("a forged message came: %s", got)
		}
		// The report of success that was asked for.
		got = curl(t, s, ann, "imaps", "/INBOX", "-X", "FETCH 1:* (ENVELOPE BODYSTRUCTURE)").ok(t)
		if !strings.Contains(got, `"delivery-status"`) {
			t.Errorf("no report came to the sender: %s", got)
		}
	})
	t.Run("imaplib", func(t *testing.T) {
		t.Parallel()
		python(t, trial.Start(t, program, bob), "imap.py", bob.Name, bob.Password)
	})
	t.Run("poplib", func(t *testing.T) {
		t.Parallel()
		s := trial.Start(t, program, bob)
		upload(t, s, bob, "/INBOX", 4)
		python(t, s, "pop.py", bob.Name, bob.Password)
	})
	t.Run("IMAPClient", func(t *testing.T) {
		t.Parallel()
		env := pypi(t, "requirements.txt")
		s := trial.Start(t, program, ann, bob)
		run(t, program, "account", "quota", ann.Name, "--storage", "10MiB", "--dir", s.Dir).ok(t)
		cmd := exec.Command("python3", "testdata/imap_client.py", strconv.Itoa(s.Base), s.CA(), ann.Name, ann.Password, bob.Name, bob.Password)
		cmd.Env = append(os.Environ(), env...)
		execute(t, cmd).ok(t)
	})
	t.Run("aioimaplib", func(t *testing.T) {
		t.Parallel()
		env := pypi(t, "requirements.txt")
		s := trial.Start(t, program, ann)
		cmd := exec.Command("python3", "testdata/aio_imap.py", strconv.Itoa(s.Base), s.CA(), ann.Name, ann.Password)
		cmd.Env = append(os.Environ(), env...)
		execute(t, cmd).ok(t)
	})
}

// pypi installs what a list in testdata names, and gives the environment in which
// it is found.
func pypi(t *testing.T, list string) []string {
	t.Helper()
	where := t.TempDir()
	install(t, exec.Command("python3", "-m", "pip", "install", "-q", "--no-input", "--disable-pip-version-check", "--no-deps",
		"--require-hashes", "--target", where, "-r", filepath.Join("testdata", list)))
	return []string{"PYTHONPATH=" + where, "PATH=" + filepath.Join(where, "bin") + ":" + os.Getenv("PATH")}
}
