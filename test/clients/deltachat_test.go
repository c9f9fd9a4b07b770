package clients

import (
	"os"
	"os/exec"
	"strconv"
	"testing"

	"plic/test/trial"
)

// Delta Chat, for which a mail server is what carries a conversation: over COMPRESS,
// with IDLE on what comes and one submission for each line.
func TestDeltaChat(t *testing.T) {
	t.Parallel()
	trial.Need(t, "python3")
	env := pypi(t, "deltachat.txt")
	s := trial.Start(t, program, ann, bob)
	cmd := exec.Command("python3", "testdata/deltachat.py", strconv.Itoa(s.Base), t.TempDir(), ann.Name, ann.Password, bob.Name, bob.Password)
	cmd.Env = append(os.Environ(), env...)
	execute(t, cmd).ok(t)
}
