package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// trialRun is a quickstart of the real program.
type trialRun struct {
	*exec.Cmd
	banner string // up to the last line that it prints
}

// quickstart starts the program and returns when it has said all.
func quickstart(t *testing.T, dir string, args ...string) *trialRun {
	t.Helper()
	run := &trialRun{Cmd: exec.CommandContext(t.Context(), binary, append([]string{"quickstart", "--dir", dir}, args...)...)}
	run.Cancel = func() error { return run.Process.Signal(syscall.SIGINT) }
	run.WaitDelay = 10 * time.Second
	var errs strings.Builder
	run.Stderr = &errs
	out, err := run.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	for !strings.Contains(run.banner, "queue list --dir") {
		line, err := lines.ReadString('\n')
		if err != nil {
			run.Wait()
			t.Fatalf("quickstart ended: %v\n%s\n%s", err, run.banner, errs.String())
		}
		run.banner += line
	}
	return run
}

// stop ends it as Ctrl-C does.
func (r *trialRun) stop(t *testing.T) {
	t.Helper()
	if err := r.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := r.Wait(); err != nil {
		t.Errorf("quickstart stopped with %v", err)
	}
}

// The whole program, as a newcomer meets it: commands talk to the server while
// it runs, and to the directory when it does not; all is there at the next start.
func TestWholeProgram(t *testing.T) {
	t.Parallel()
	work := t.TempDir()
	dir := filepath.Join(work, "data")
	place := []string{"--listen", fmt.Sprintf("127.%d.%d.%d", 1+rand.IntN(200), rand.IntN(250), 1+rand.IntN(250)), "--account", "ann@plic.test:secret"}
	first := quickstart(t, dir, place...)
	check := func(steps ...step) {
		t.Helper()
		for _, s := range steps {
			s.check(t, plic(t, work, s.stdin, append(strings.Fields(s.args), "--dir", dir)...))
		}
	}
	check(
		step{"domain list", "", 0, "plic.test\n", ""},
		step{"account list", "", 0, "ann@plic.test", ""},
		step{"account add bob@plic.test --password-stdin", "better\n", 0, "", "added bob@plic.test"},
		step{"alias add @plic.test ann@plic.test", "", 0, "", "@plic.test goes to ann@plic.test"},
		step{"queue list", "", 0, "", "The queue is empty."},
		step{"journal --to ann@plic.test", "", 0, "deliver", ""},
		step{"account passwd nobody@plic.test --generate", "", 1, "", "nobody@plic.test"},
		step{"domain remove other.test", "", 1, "", "other.test"},
	)
	first.stop(t)
	check(
		step{"account list", "", 0, "bob@plic.test", ""},
		step{"alias list", "", 0, "@plic.test  ann@plic.test\n", ""},
		step{"account remove bob@plic.test --purge", "", 0, "", "removed the account bob@plic.test"},
		step{"domain add other.test", "", 0, "", "added the domain other.test"},
		step{"queue list --json", "", 0, "", ""},
		step{"journal --to ann@plic.test --json", "", 0, `"kind":"deliver"`, ""},
	)
	second := quickstart(t, dir, place...)
	if !strings.Contains(second.banner, "ann@plic.test  secret") || strings.Contains(second.banner, "bob@plic.test") {
		t.Errorf("the second start:\n%s", second.banner)
	}
	check(step{"domain list", "", 0, "other.test\nplic.test\n", ""})
	second.stop(t)
}
