package clients

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"plic/test/trial"
)

// ImapFlow is what many webmails are made with. It is not in Debian: the test
// runs where npm has it, which test/setup.sh sees to if there is npm.
func TestImapFlow(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("needs programs of others")
	}
	path := os.Getenv("NODE_PATH")
	if path == "" {
		out, err := exec.Command("npm", "root", "-g").Output()
		if err != nil {
			t.Skip("there is no npm")
		}
		path = strings.TrimSpace(string(out))
	}
	probe := exec.Command("node", "-e", "require('imapflow')")
	probe.Env = append(os.Environ(), "NODE_PATH="+path)
	if probe.Run() != nil {
		t.Skip("there is no imapflow")
	}
	s := trial.Start(t, program, ann)
	cmd := exec.Command("node", "testdata/imapflow.js", strconv.Itoa(s.Port(143)), ann.Name, ann.Password)
	cmd.Env = probe.Env
	execute(t, cmd).ok(t)
}
