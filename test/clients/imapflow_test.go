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

// ImapFlow is what many webmails are made with. It is not in Debian: npm
// fetches what testdata/package-lock.json names.
func TestImapFlow(t *testing.T) {
	t.Parallel()
	trial.Need(t, "node", "npm")
	if major, _, _ := strings.Cut(run(t, "node", "-p", "process.versions.node").ok(t), "."); len(major) < 2 || major < "20" {
		lacks(t, "it wants Node 20, not %s", major)
	}
	home := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json"} {
		write(t, filepath.Join(home, name), read(t, filepath.Join("testdata", name)))
	}
	install(t, exec.Command("npm", "ci", "--prefix", home, "--prefer-offline", "--no-audit", "--no-fund"))
	s := trial.Start(t, program, ann)
	cmd := exec.Command("node", "testdata/imapflow.js", strconv.Itoa(s.Base), s.CA(), ann.Name, ann.Password)
	cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(home, "node_modules"))
	execute(t, cmd).ok(t)
}
