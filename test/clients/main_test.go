// Package clients meets the real program with real clients: swaks, curl,
// mbsync, offlineimap, fetchmail, mpop, imapfilter, mutt, NeoMutt, Thunderbird,
// Delta Chat, ImapFlow and the libraries of Python, PHP, Perl and Ruby.
package clients

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plic/test/trial"
)

const root = "../.."

// program is the plic that was built for these tests.
var program string

func TestMain(m *testing.M) {
	os.Exit(trial.Main(m, root, func(built string) { program = built }))
}

var (
	ann = trial.Account{Name: "ann@plic.test", Password: "ann's secret"}
	bob = trial.Account{Name: "bob@plic.test", Password: `b"o\b&b%`}
)

// ran is how a command ended.
type ran struct {
	out  string // and err
	code int
}

// run runs a command to its end, which must come soon.
func run(t *testing.T, name string, args ...string) ran {
	t.Helper()
	return execute(t, exec.Command(name, args...))
}

func execute(t *testing.T, cmd *exec.Cmd) ran {
	t.Helper()
	return patient(t, time.Minute, cmd)
}

// patient runs a command that may take longer.
func patient(t *testing.T, patience time.Duration, cmd *exec.Cmd) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	bound := exec.CommandContext(ctx, cmd.Path, cmd.Args[1:]...)
	bound.Dir, bound.Env, bound.Stdin = cmd.Dir, cmd.Env, cmd.Stdin
	bound.WaitDelay = time.Second
	out, err := bound.CombinedOutput()
	var exit *exec.ExitError
	if ctx.Err() != nil || err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v: %s", cmd.Args, err, out)
	}
	return ran{string(out), bound.ProcessState.ExitCode()}
}

// ok is the output of a command that must succeed.
func (r ran) ok(t *testing.T) string {
	t.Helper()
	return r.ends(t, 0)
}

// ends is the output of a command that must end with a code, and with all of
// some texts in its output.
func (r ran) ends(t *testing.T, code int, texts ...string) string {
	t.Helper()
	if r.code != code {
		t.Fatalf("ended with %d, not with %d: %s", r.code, code, r.out)
	}
	for _, text := range texts {
		if !strings.Contains(r.out, text) {
			t.Errorf("does not say %q: %s", text, r.out)
		}
	}
	return r.out
}

// write makes a file that only its owner reads, as clients want it of those
// that hold passwords.
func write(t *testing.T, name, text string) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// files are those of a directory, by name.
func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, filepath.Join(dir, e.Name()))
	}
	return names
}

// lacks passes over a test for what is not there, but not in CI.
func lacks(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// install runs the installer of a package registry, which needs a network.
func install(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if r := execute(t, cmd); r.code != 0 {
		lacks(t, "%v: %s", cmd.Args, r.out)
	}
}

// maildir is every file of a Maildir, old and new.
func maildir(t *testing.T, dir string) []string {
	t.Helper()
	return append(files(t, filepath.Join(dir, "cur")), files(t, filepath.Join(dir, "new"))...)
}
