package senders

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"plic/internal/arc"
	"plic/internal/dkim"
	"plic/test/trial"
)

// told is a message as it came, and what DMARC should say of it.
type told struct{ ip, from, text, dmarc string }

// cases are messages that were sent in one name or another.
func (w *world) cases(t *testing.T) map[string]told {
	t.Helper()
	w.text(t, "example.org", "v=spf1 ip4:192.0.2.3 -all")
	w.text(t, "example.net", "v=spf1 ip4:192.0.2.9 ~all")
	w.text(t, "_dmarc.example.org", "v=DMARC1; p=reject; sp=quarantine")
	w.text(t, "_dmarc.example.net", "v=DMARC1; p=reject; adkim=s; aspf=s")
	letter := letters()[0]
	by := func(domain, text string) string {
		return w.signed(t, domain, w.rsa, dkim.Relaxed, dkim.Relaxed, text)
	}
	as := func(domain string) string { return strings.Replace(letter, "ann@example.org", "ann@"+domain, 1) }
	return map[string]told{
		"by its host":               {"192.0.2.3", "ann@example.org", letter, "pass"},
		"by nobody":                 {"192.0.2.4", "ann@example.org", letter, "fail"},
		"forwarded":                 {"192.0.2.9", "fwd@example.net", by("example.org", letter), "pass"},
		"changed by a forwarder":    {"192.0.2.9", "fwd@example.net", strings.Replace(by("example.org", letter), "Words", "Swords", 1), "fail"},
		"signed by another":         {"192.0.2.9", "fwd@example.net", by("example.net", letter), "fail"},
		"signed by both":            {"192.0.2.9", "fwd@example.net", by("example.net", by("example.org", letter)), "pass"},
		"below the domain":          {"192.0.2.9", "fwd@example.net", by("example.org", as("sub.example.org")), "pass"},
		"below a strict domain":     {"192.0.2.9", "x@example.net", by("example.net", as("sub.example.net")), "fail"},
		"a strict domain":           {"192.0.2.1", "x@example.net", by("example.net", as("example.net")), "pass"},
		"a domain without a policy": {"192.0.2.1", "x@three.test", as("three.test"), "none"},
	}
}

// mailauth has mailauth do some jobs.
func (w *world) mailauth(t *testing.T, home string, jobs []map[string]string) (out []map[string]string) {
	t.Helper()
	in, err := json.Marshal(map[string]any{"records": w.records, "jobs": jobs})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "testdata/mailauth.js")
	cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(home, "node_modules"))
	cmd.Stdin, cmd.Stderr = strings.NewReader(string(in)), os.Stderr
	said, err := cmd.Output()
	if err != nil {
		t.Fatalf("mailauth: %v", err)
	}
	if err := json.Unmarshal(said, &out); err != nil || len(out) != len(jobs) {
		t.Fatalf("%v in %s", err, said)
	}
	return out
}

// install fetches what testdata/package-lock.json names.
func install(t *testing.T) string {
	t.Helper()
	trial.Need(t, "node", "npm")
	home := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(filepath.Join("testdata", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(home, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.CommandContext(t.Context(), "npm", "ci", "--prefix", home, "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund").CombinedOutput(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
		t.Skipf("npm ci, which needs a network: %v\n%s", err, out)
	}
	return home
}

// TestMailauth compares what mailauth and plic say of the same messages, and has each
// check what the other has signed and sealed.
func TestMailauth(t *testing.T) {
	t.Parallel()
	home := install(t)
	w := newWorld(t)
	var names []string
	var jobs []map[string]string
	cases := w.cases(t)
	for name, x := range cases {
		names = append(names, name)
		jobs = append(jobs, map[string]string{"does": "check", "message": x.text, "ip": x.ip, "from": x.from, "helo": "mx.example.org"})
	}
	for i, said := range w.mailauth(t, home, jobs) {
		x := cases[names[i]]
		f := w.examined(t, x.ip, x.from, x.text)
		var signatures []string
		for _, r := range f.DKIM {
			signatures = append(signatures, string(r.Status))
		}
		if len(signatures) == 0 {
			signatures = []string{"none"}
		}
		ours := map[string]string{"dkim": strings.Join(signatures, ","), "spf": f.From.Result.String(), "dmarc": string(f.DMARC.Result), "arc": string(f.ARC.Status)}
		if ours["dmarc"] != x.dmarc {
			t.Errorf("%s: plic says %s, want %s", names[i], ours["dmarc"], x.dmarc)
		}
		for what, result := range ours {
			if what == "dmarc" && names[i] == "below a strict domain" {
				continue // mailauth takes strict alignment for relaxed; OpenDMARC does not
			}
			if there := strings.ReplaceAll(said[what], "neutral", "fail"); there != result { // of a changed body RFC 8601 knows both
				t.Errorf("%s: of %s mailauth says %q, plic %q", names[i], what, said[what], result)
			}
		}
	}
	w.bothWays(t, home)
	w.byTurns(t, home)
}

// bothWays has mailauth check our signatures, and plic those of mailauth.
func (w *world) bothWays(t *testing.T, home string) {
	t.Helper()
	var jobs []map[string]string
	for _, letter := range letters() {
		for _, canon := range canons() {
			for _, key := range []string{"s", "e"} {
				signer := w.rsa
				if key == "e" {
					signer = w.ed
				}
				jobs = append(jobs,
					map[string]string{"does": "check", "message": w.signed(t, "example.org", signer, canon[0], canon[1], letter), "ip": "192.0.2.3", "from": "ann@example.org", "helo": "x.test"},
					map[string]string{"does": "sign", "message": letter, "domain": "example.org", "selector": key, "key": string(pemOf(t, signer)), "canonicalization": canon[0].String() + "/" + canon[1].String()})
			}
		}
	}
	for i, said := range w.mailauth(t, home, jobs) {
		if jobs[i]["does"] == "sign" {
			w.verified(t, "of mailauth, "+jobs[i]["canonicalization"], said["fields"]+jobs[i]["message"])
		} else if said["dkim"] != "pass" {
			t.Errorf("mailauth says %q of\n%.900s", said["dkim"], jobs[i]["message"])
		}
	}
}

// byTurns has both seal one message.
func (w *world) byTurns(t *testing.T, home string) {
	t.Helper()
	text := w.signed(t, "example.org", w.rsa, dkim.Relaxed, dkim.Relaxed, letters()[0])
	for i, domain := range []string{"one.test", "two.test", "three.test"} {
		job := map[string]string{"message": text, "ip": "192.0.2.3", "from": "ann@example.org", "helo": "x.test", "domain": domain, "selector": "s", "key": string(pemOf(t, w.rsa))}
		if i == 1 {
			text = w.sealed(t, domain, text)
		} else {
			job["does"] = "seal"
			text = w.mailauth(t, home, []map[string]string{job})[0]["fields"] + text
		}
		if c := w.chain(t, text); c.Status != arc.Pass || len(c.Sets) != i+1 {
			t.Fatalf("plic says %s of %d seals: %s\n%s", c.Status, len(c.Sets), c.Reason, text)
		}
	}
	broken := strings.Replace(text, "Words", "Swords", 1)
	said := w.mailauth(t, home, []map[string]string{
		{"does": "check", "message": text, "ip": "192.0.2.3", "from": "ann@example.org", "helo": "x.test"},
		{"does": "check", "message": broken, "ip": "192.0.2.3", "from": "ann@example.org", "helo": "x.test"},
	})
	if said[0]["arc"] != "pass" || said[1]["arc"] == "pass" || w.chain(t, broken).Status != arc.Fail {
		t.Errorf("mailauth says %v", said)
	}
}
