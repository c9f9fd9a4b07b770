package clients

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"plic/test/trial"
)

func TestImapfilter(t *testing.T) {
	t.Parallel()
	trial.Need(t, "imapfilter")
	s := trial.Start(t, program, ann)
	filter := func(password string) ran {
		t.Helper()
		cmd := exec.Command("imapfilter", "-t", s.CA(), "-c", "testdata/imapfilter.lua")
		cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), fmt.Sprint("BASE=", s.Base), "WHO="+ann.Name, "PASSWORD="+password)
		cmd.Stdin = strings.NewReader("")
		return execute(t, cmd)
	}
	filter(ann.Password).ok(t)
	if r := filter(wrong); r.code == 0 || !strings.Contains(r.out, "[AUTHENTICATIONFAILED]") {
		t.Errorf("a wrong password ends with %d: %s", r.code, r.out)
	}
}
