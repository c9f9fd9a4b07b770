package clients

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"plic/test/trial"
)

// make run in a fresh checkout, the commands that it prints, and Ctrl-C.
func TestNewcomer(t *testing.T) {
	t.Parallel()
	trial.Need(t, "make", "curl")
	dir := filepath.Join(t.TempDir(), "plic's data") // a name that must be quoted
	base, err := trial.FreeBase()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("make", "run", fmt.Sprintf(`ARGS=--dir "%s" --port-base %d`, dir, base))
	cmd.Dir = root
	s, err := trial.Run(dir, base, cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Interrupt(10 * time.Second) })

	// The table names every service, and there it is.
	for service, port := range map[string]int{
		"smtp": trial.SMTP, "submission": trial.Submission, "submissions": trial.Submissions, "lmtp": trial.LMTP, "imap": trial.IMAP,
		"imaps": trial.IMAPS, "pop3": trial.POP3, "pop3s": trial.POP3S, "http": trial.HTTP,
	} {
		if !regexp.MustCompile(fmt.Sprintf(`(?m)^  %s +127\.0\.0\.1:%d `, service, base+port)).MatchString(s.Banner) {
			t.Errorf("the table does not tell of %s: %s", service, s.Banner)
		}
	}
	accounts := regexp.MustCompile(`(?m)^  (\w+@plic\.test)  (\S+)$`).FindAllStringSubmatch(s.Banner, -1)
	if len(accounts) != 2 || accounts[0][2] == accounts[1][2] {
		t.Fatalf("accounts %q: %s", accounts, s.Banner)
	}
	for _, x := range accounts {
		curl(t, s, trial.Account{Name: x[1], Password: x[2]}, "imaps", "/INBOX;MAILINDEX=1").ends(t, 0, "Subject: Welcome to plic\r\n", "\r\nDate: ", "\r\nMessage-ID: ")
	}

	// The three commands do what they say, in the order of the banner.
	paste := regexp.MustCompile(`(?m)^  (printf .*|curl .*|.* queue list .*)$`).FindAllStringSubmatch(s.Banner, -1)
	if len(paste) != 3 {
		t.Fatalf("commands %q: %s", paste, s.Banner)
	}
	for i, want := range []string{"", "\r\nSubject: Hello\r\n\r\nHow are you?\r\n", "The queue is empty.\n"} {
		sh := exec.Command("sh", "-c", paste[i][1])
		sh.Dir = root
		if got := execute(t, sh).ok(t); !strings.HasSuffix(got, want) || want == "" && got != "" {
			t.Errorf("%s\nprints %q", paste[i][1], got)
		}
	}

	// Ctrl-C stops it; the next start goes on with the same mail.
	began := time.Now()
	s.Interrupt(10 * time.Second) // make tells of the signal by its exit code
	t.Logf("stopped in %v", time.Since(began))
	if !strings.Contains(s.Output(), "plic has stopped.") {
		t.Errorf("it stopped otherwise: %s", s.Output())
	}
	s = trial.StartIn(t, dir, program)
	for i, x := range accounts {
		who := trial.Account{Name: x[1], Password: x[2]}
		if !strings.Contains(s.Banner, x[0]) {
			t.Errorf("%q has gone from the banner: %s", x[0], s.Banner)
		}
		got := curl(t, s, who, "imaps", "/", "-X", "STATUS INBOX (MESSAGES UIDNEXT)").ok(t)
		if want := fmt.Sprintf("(MESSAGES %d UIDNEXT %d)", 1+i, 2+i); !strings.Contains(got, want) {
			t.Errorf("%s has %s, not %s", x[1], got, want)
		}
		curl(t, s, who, "smtps", "", "--mail-from", x[1], "--mail-rcpt", x[1], "-T", write(t, filepath.Join(t.TempDir(), "mail"), "Subject: again\r\n\r\n")).ok(t)
	}
	s.Stop(t) // with exit code 0
	if _, err := os.Stat(filepath.Join(dir, "control.sock")); err == nil {
		t.Error("the control socket is still there")
	}
}

// Lists print JSON, one value in a line, and the exit codes tell success,
// failure and wrong usage apart, with and without a server.
func TestLists(t *testing.T) {
	t.Parallel()
	trial.Need(t, "curl")
	s := trial.Start(t, program, ann, bob)
	plic := func(args ...string) ran {
		t.Helper()
		return run(t, program, append(args, "--dir", s.Dir)...)
	}
	plic("alias", "add", "all@plic.test", ann.Name, bob.Name).ok(t)
	mail := write(t, filepath.Join(t.TempDir(), "mail"), fmt.Sprintf(letter, "on its way"))
	curl(t, s, ann, "smtps", "", "--mail-from", ann.Name, "--mail-rcpt", "all@plic.test", "--mail-rcpt", "far@unreachable.invalid", "-T", mail).ok(t)
	check := func() {
		t.Helper()
		for list, want := range map[string]string{
			"domain list": `"plic.test"`, "account list": `"bob@plic.test"`, "alias list": `"all@plic.test"`,
			"queue list": "", "journal --to bob@plic.test": `"deliver"`, "version": `"go"`,
		} {
			out := plic(append(strings.Fields(list), "--json")...).ok(t)
			for line := range strings.Lines(out) {
				var value map[string]any
				if err := json.Unmarshal([]byte(line), &value); err != nil {
					t.Errorf("%s --json prints %q: %v", list, line, err)
				}
			}
			if !strings.Contains(out, want) {
				t.Errorf("%s --json lacks %s: %s", list, want, out)
			}
		}
		const failure, usage = 1, 2
		plic("account", "passwd", "nobody@plic.test", "--generate").ends(t, failure, "nobody@plic.test")
		plic("account", "add", "no address").ends(t, usage)
		plic("queue", "nonsense").ends(t, usage)
	}
	check()
	// The journal tells where the message went, by its Message-ID.
	out := plic("journal", "on its way@plic.test").out
	if !strings.Contains(out, "ann@plic.test") || !strings.Contains(out, "unreachable.invalid") {
		t.Errorf("the journal says: %s", out)
	}
	s.Stop(t)
	check()
}

// Health and metrics tell of the server that runs.
func TestWeb(t *testing.T) {
	t.Parallel()
	trial.Need(t, "curl")
	s := trial.Start(t, program, ann, bob)
	mail := write(t, filepath.Join(t.TempDir(), "mail"), fmt.Sprintf(letter, "counted"))
	curl(t, s, ann, "smtps", "", "--mail-from", ann.Name, "--mail-rcpt", bob.Name, "-T", mail).ok(t)
	curl(t, s, bob, "imaps", "/INBOX;MAILINDEX=2").ok(t)
	get := func(path, kind string, status int) string {
		t.Helper()
		answer, err := http.Get("http://" + s.At(trial.HTTP) + path)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var text bytes.Buffer
		text.ReadFrom(answer.Body)
		if answer.StatusCode != status || !strings.HasPrefix(answer.Header.Get("Content-Type"), kind) {
			t.Errorf("%s gives %s, %s", path, answer.Status, answer.Header.Get("Content-Type"))
		}
		return text.String()
	}
	var health struct {
		Status, Version string
		Checks          []struct {
			Name string
			OK   bool
		}
	}
	if err := json.Unmarshal([]byte(get("/health", "application/json", 200)), &health); err != nil {
		t.Fatal(err)
	}
	if health.Status != "ok" || health.Version == "" || len(health.Checks) == 0 {
		t.Errorf("health: %+v", health)
	}
	for _, c := range health.Checks {
		if !c.OK || c.Name == "" {
			t.Errorf("health: %+v", c)
		}
	}
	metrics := get("/metrics", "text/plain", 200)
	line := regexp.MustCompile(`^(# (HELP|TYPE) [a-z_0-9]+ .*|[a-z_0-9]+(\{([a-z_]+="[^"]*",?)*\})? [-+0-9.eEInfNa]+)\n$`)
	for l := range strings.Lines(metrics) {
		if !line.MatchString(l) {
			t.Errorf("metrics have the line %q", l)
		}
	}
	value := func(name string) string {
		t.Helper()
		m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(metrics)
		if m == nil {
			return "nothing"
		}
		return m[1]
	}
	for name, want := range map[string]string{
		`plic_events_total{class="2xx",kind="accept",service="submission"}`:  "1",
		`plic_events_total{class="2xx",kind="deliver",service="local"}`:      "2",
		`plic_events_total{class="2xx",kind="deliver",service="submission"}`: "1",
		`plic_panics_total`:                "0",
		`plic_queue_items{state="active"}`: "0",
		`plic_journal_lost_octets_total`:   "0",
	} {
		if got := value(name); got != want {
			t.Errorf("%s is %s, not %s", name, got, want)
		}
	}
	get("/", "text/plain", 200)
	get("/nothing", "text/plain", 404)
}
