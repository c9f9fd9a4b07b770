package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMovingCommands(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	state := t.TempDir()
	do := func(args string) (int, string, string) {
		out, errs := len(r.out.String()), len(r.err.String())
		code := r.run(t.Context(), append(strings.Fields(args), "--dir", state))
		return code, r.out.String()[out:], r.err.String()[errs:]
	}
	box, list := filepath.Join(t.TempDir(), "box"), filepath.Join(t.TempDir(), "list")
	const one = "From ann@example.org Thu Nov 26 18:25:12 2026\nSubject: 1\nX-UID: 7\nX-Keywords: work\n\none\n\n"
	if err := os.WriteFile(box, []byte(one+strings.ReplaceAll(one, "1\nX-UID: 7", "2")), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(list, []byte("# accounts\n\nbob@example.org "+box+"\ncarl@example.org "+box+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	broken := list + ".broken"
	if err := os.WriteFile(broken, []byte("gil@example.org /nowhere\nhal@example.org "+box+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(filepath.Dir(box), "out")
	for _, c := range []struct {
		args, out, err string
		code           int
	}{
		{"import mbox " + box + " ann@example.org", "ann@example.org: imported 2 messages", "", 0},
		{"import mbox " + box + " ann@example.org", "2 were there already", "", 0},
		{"import mbox --accounts " + list, "carl@example.org: imported 2 messages", "", 0},
		{"import mbox --accounts " + broken, "hal@example.org: imported 2 messages", "1 of 2 accounts were not imported, or not all of them: gil@example.org", 1},
		{"import mbox --accounts " + broken + " --json", `{"account":"gil@example.org","folders":0,"messages":0,"known":0,"bad":0,"bytes":0,"digest":"","renumbered":0,"error":"`, "", 1},
		{"import mbox " + box + " dan@example.org --into Old --json", `"messages":2`, "", 0},
		{"import mbox " + box, "", "give the source and the account", 2},
		{"import mbox /nowhere ann@example.org", "", "no such file", 1},
		{"import maildir " + filepath.Dir(box) + " ann@example.org", "", "no Maildir", 1},
		{"import cyrus " + filepath.Dir(box) + " ann@example.org", "", "no mailbox of Cyrus", 1},
		{"import imap localhost ann@example.org", "", "--user is missing", 2},
		{"import imap localhost ann@example.org --user ann", "", "no terminal", 2},
		{"import mbox " + box + " ann@example.org --quoting x", "", "--quoting is", 2},
		{"export mbox ann@example.org " + out, "exported 2 messages", "", 0},
		{"export eml ann@example.org " + out, "", "not empty", 1},
		{"import mbox " + box + " fay@example.org --folder Sent", "imported 0 messages, 0 B, in 0 folders", "", 0},
		{"export eml dan@example.org " + out + "2 --folder Old", "exported 2 messages", "", 0},
		{"export eml dan@example.org " + out + "3 --folder Ol", "exported 0 messages", "", 0},
		{"export eml ann@example.org", "", "the account or the directory is missing", 2},
	} {
		code, out, errs := do(c.args)
		if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(errs, c.err) {
			t.Errorf("%s: %d\n%s\n%s", c.args, code, out, errs)
		}
	}
	r.host.site.Moved.Refuse = box + ", message at 0"
	aside := filepath.Join(filepath.Dir(list), "aside")
	if code, _, errs := do("import mbox " + box + " eve@example.org --aside " + aside); code != 1 || !strings.Contains(errs, "message at 0: too large") {
		t.Errorf("%d %s", code, errs)
	}
	if names, err := filepath.Glob(aside + "/*.eml"); err != nil || len(names) != 1 {
		t.Error(names, err)
	}
}
