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

// TestSieve uploads a script with sieve-connect, sends a message with swaks, and
// reads with curl where the script has put it.
func TestSieve(t *testing.T) {
	t.Parallel()
	trial.Need(t, "sieve-connect", "swaks", "curl")
	s := trial.Start(t, program, ann, bob)
	dir := t.TempDir()
	files := map[string]string{
		"my.sieve": "require [\"fileinto\", \"mailbox\", \"imap4flags\"];\n" +
			"if header :contains \"subject\" \"greeting\" { fileinto :create :flags \"\\\\Flagged\" \"Greetings\"; }\n",
		"password": ann.Password + "\n",
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"--localsieve", "my.sieve", "--remotesieve", "my", "--upload"}, {"--remotesieve", "my", "--activate"},
	} {
		in, err := os.Open(filepath.Join(dir, "password"))
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		c := exec.CommandContext(t.Context(), "sieve-connect", append([]string{"--server", "127.0.0.1", "--port", strconv.Itoa(s.Port(trial.Sieve)),
			"--tlscafile", s.CA(), "--tlshostname", trial.Host, "--user", ann.Name, "--passwordfd", "0", "--authmech", "PLAIN"}, args...)...)
		c.Dir, c.Stdin = dir, in
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	for _, subject := range []string{"a greeting", "a bill"} {
		out, err := exec.CommandContext(t.Context(), "swaks", "--server", "127.0.0.1:"+strconv.Itoa(s.Port(trial.SMTP)),
			"--from", "stranger@example.org", "--to", ann.Name, "--header", "Subject: "+subject).CombinedOutput()
		if err != nil {
			t.Fatalf("swaks: %v\n%s", err, out)
		}
	}
	for mailbox, subject := range map[string]string{"Greetings": "a greeting", "INBOX": "a bill"} {
		out, err := exec.CommandContext(t.Context(), "curl", "-sS", "--cacert", s.CA(), "--resolve", trial.Host+":"+strconv.Itoa(s.Port(trial.IMAPS))+":127.0.0.1",
			"--user", ann.Name+":"+ann.Password, "imaps://"+trial.Host+":"+strconv.Itoa(s.Port(trial.IMAPS))+"/"+mailbox+";MAILINDEX=*").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Subject: "+subject) {
			t.Errorf("%s: %v\n%s", mailbox, err, out)
		}
	}
}
