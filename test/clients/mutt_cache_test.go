package clients

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"plic/test/trial"
)

// heard is what mutt fetched, by its log of the last run: headers and bodies.
func (m *mutt) heard() (log string, headers, bodies int) {
	m.t.Helper()
	log = read(m.t, filepath.Join(m.home, "."+m.name+"debug0"))
	count := func(expr string) int { return len(regexp.MustCompile(expr).FindAllString(log, -1)) }
	return log, count(`\d< \* \d+ FETCH \(.*BODY\[HEADER`), count(`\d< \* \d+ FETCH \(.*BODY\[\]`)
}

// With its caches mutt (and NeoMutt) fetches each header and body once, whatever else has
// happened to the mailbox, and what happened comes by QRESYNC.
func TestMuttCache(t *testing.T) {
	// NeoMutt asks again for as many as had gone.
	for name, headers := range map[string]int{"mutt": 1, "neomutt": 1 + 3} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			trial.Need(t, name, "script", "curl")
			muttCache(t, name, headers)
		})
	}
}

func muttCache(t *testing.T, name string, changed int) {
	s := trial.Start(t, program, ann)
	const n = 40
	upload(t, s, ann, "/INBOX", n)
	m := newMutt(t, s, ann)
	m.name = name
	cache := filepath.Join(m.home, "cache")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, m.rc, read(t, m.rc)+fmt.Sprintf("set header_cache=%s message_cachedir=%[1]s imap_qresync=yes\n", cache))
	imap := func(box, command string) string {
		t.Helper()
		return curl(t, s, ann, "imaps", box, "-X", command).ok(t)
	}
	// look opens INBOX, copies what fits a pattern to a file, and types.
	look := func(pattern, keys string) string {
		t.Helper()
		file := filepath.Join(t.TempDir(), "mbox")
		m.run("", "-d", "5", "-f", "=INBOX", "-e", `push "<tag-pattern>`+pattern+`<enter><tag-prefix><copy-message>`+file+`<enter><untag-pattern>~A<enter>`+keys+`<quit>"`)
		return read(t, file)
	}
	got := look("~s \\\"number 7$\\\"", "")
	if log, headers, bodies := m.heard(); headers != n+1 || bodies != 1 || !strings.Contains(got, "the end of number 7\n") {
		t.Fatalf("at first it fetched %d headers and %d bodies, copied %q: %s", headers, bodies, got, log)
	}
	got = look("~s \\\"number 7$\\\"", "")
	if log, headers, bodies := m.heard(); headers != 0 || bodies != 0 || !strings.Contains(got, "the end of number 7\n") {
		t.Errorf("then it fetched %d headers and %d bodies, copied %q: %s", headers, bodies, got, log)
	}

	// Another client flags, removes and adds.
	imap("/INBOX", `UID STORE 10,11 +FLAGS (\Flagged project)`)
	imap("/INBOX", `UID STORE 20:22 +FLAGS (\Deleted)`)
	imap("/INBOX", "EXPUNGE")
	curl(t, s, ann, "imaps", "/INBOX", "-T", write(t, filepath.Join(t.TempDir(), "mail"), fmt.Sprintf(letter, "brand new"))).ok(t)
	got = look("~F | ~s \\\"brand new\\\"", "<search>~s \\\"number 8$\\\"<enter><flag-message><set-flag>!<sync-mailbox>"+
		"<search>~s \\\"number 9$\\\"<enter><copy-message>=Archive<enter><sync-mailbox>")
	log, headers, bodies := m.heard()
	if headers != changed {
		t.Errorf("after the changes it fetched %d headers, not %d: %s", headers, changed, log)
	}
	if !strings.Contains(log, " VANISHED)") || !strings.Contains(log, "* VANISHED (EARLIER) 20:22") {
		t.Errorf("it was not told what had gone by QRESYNC: %s", log)
	}
	if bodies != 3 || strings.Count(got, "the end of number ") != 2 || !strings.Contains(got, "the end of brand new\n") {
		t.Errorf("after the changes it fetched %d bodies, copied %q", bodies, got)
	}
	if got := imap("/INBOX", "UID SEARCH KEYWORD project FLAGGED"); got != "* SEARCH 10 11\r\n" {
		t.Errorf("with the keyword and flag: %q", got)
	}
	if got := imap("/Archive", "FETCH 1:* (FLAGS)"); !strings.Contains(got, `\Flagged`) || !strings.Contains(got, "project") {
		t.Errorf("copied with the flags %q", got)
	}
	if n := strings.Count(look("~A", ""), "\nthe end of "); n != 38 { // and the welcome
		t.Errorf("%d messages are left, not 38", n)
	}
	if _, headers, bodies := m.heard(); headers != 0 || bodies != 39-4 {
		t.Errorf("in the end it fetched %d headers and %d bodies", headers, bodies)
	}
}
