package clients

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"plic/test/trial"
)

// TestSieve uploads a script with sieve-connect, sends a message with swaks, and
// reads with curl where the script has put it.
func TestSieve(t *testing.T) {
	t.Parallel()
	trial.Need(t, "sieve-connect", "swaks", "curl")
	s := trial.Start(t, program, ann, bob)
	script := write(t, filepath.Join(t.TempDir(), "my.sieve"), "require [\"fileinto\", \"mailbox\", \"imap4flags\"];\n"+
		"if header :contains \"subject\" \"greeting\" { fileinto :create :flags \"\\\\Flagged\" \"Greetings\"; }\n")
	for _, args := range [][]string{
		{"--localsieve", script, "--remotesieve", "my", "--upload"}, {"--remotesieve", "my", "--activate"},
	} {
		c := exec.Command("sieve-connect", append([]string{"--server", trial.Host, "--port", strconv.Itoa(s.Port(trial.Sieve)),
			"--tlscafile", s.CA(), "--user", ann.Name, "--passwordfd", "0", "--authmech", "PLAIN"}, args...)...)
		c.Stdin = strings.NewReader(ann.Password + "\n")
		execute(t, c).ok(t)
	}
	for _, subject := range []string{"a greeting", "a bill"} {
		run(t, "swaks", "--server", s.At(trial.SMTP), "--from", "stranger@example.org", "--to", ann.Name, "--header", "Subject: "+subject).ok(t)
	}
	for mailbox, subject := range map[string]string{"Greetings": "a greeting", "INBOX": "a bill"} {
		curl(t, s, ann, "imaps", "/"+mailbox+";MAILINDEX=*").ends(t, 0, "Subject: "+subject)
	}
}
