package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plic/internal/control"
)

func TestStorageCommands(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	state := t.TempDir()
	dir := filepath.Join(state, "backups")
	do := func(args string) (int, string, string) {
		out, errs := len(r.out.String()), len(r.err.String())
		code := r.run(t.Context(), append(strings.Fields(args), "--dir", state))
		return code, r.out.String()[out:], r.err.String()[errs:]
	}
	for _, c := range []struct {
		args, out, err string
		code           int
	}{
		{"backup " + dir, "2 files, 2.0 MiB, of which 1.0 MiB are new", "", 0},
		{"backup " + dir + " --json", `"backup":"` + dir, "", 0},
		{"backup", "", "the directory is missing", 2},
		{"backup list " + dir, "", "There are no backups.", 0},
		{"backup verify " + dir, "", "no backup", 1},
		{"check", "", "Every record and message is sound.", 0},
		{"check nothing", "", "unknown command", 2},
		{"repair", "", "There was nothing to repair.", 0},
		{"restore " + dir, "restored 2 files", "sound", 0},
	} {
		r.host.site.Faults = nil
		code, out, errs := do(c.args)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.err) {
			t.Errorf("%s: %d\n%s\n%s", c.args, code, out, errs)
		}
	}
	r.host.site.Faults = []control.Fault{{Record: "account ann, uid 7", Fault: "checksum", Kept: "/damaged/7.raw"}}
	if code, out, errs := do("check"); code != 1 || !strings.Contains(out, "account ann, uid 7: checksum") || !strings.Contains(errs, "plic repair") {
		t.Errorf("check: %d\n%s\n%s", code, out, errs)
	}
	if code, out, _ := do("repair"); code != 0 || !strings.Contains(out, "/damaged/7.raw") {
		t.Errorf("repair: %d\n%s", code, out)
	}
}

// TestBar: at a terminal there is a bar with rate and time left, which goes in
// the end; elsewhere nothing.
func TestBar(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	var out bytes.Buffer
	a := &app{err: &out, now: func() time.Time { return now }}
	b := a.newBar("copied", octets)
	b.show(1, 10)
	b.end()
	if out.Len() > 0 {
		t.Errorf("without a terminal: %q", out.String())
	}
	a.live = true
	b = a.newBar("copied", octets)
	b.show(0, 100<<20)
	now = now.Add(10 * time.Second)
	b.show(25<<20, 100<<20)
	if got := out.String(); !strings.Contains(got, "25 %  copied 25.0 MiB of 100.0 MiB  2.5 MiB/s  30s left") {
		t.Errorf("%q", got)
	}
	b.line("a\x1b message")
	b.end()
	if got := out.String(); strings.Contains(got, "\x1b") || !strings.HasSuffix(got, "\\u001b message\n") {
		t.Errorf("%q", got)
	}
}
