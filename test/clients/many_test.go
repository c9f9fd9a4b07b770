package clients

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"plic/test/trial"
)

// mirror is a Maildir that a client keeps the same as an account.
type mirror interface {
	// mail is every file of a mailbox.
	mail(box string) []string
	// sync makes both sides the same, without complaints but the known.
	sync(known ...string) string
	// quiet tells whether sync said that there was nothing to do.
	quiet(said string) bool
	// inbox is the directory of INBOX.
	inbox() string
}

// many is how many messages the usual run has, or PLIC_CLIENT_MESSAGES says.
func many(t *testing.T, usual int) int {
	t.Helper()
	text := os.Getenv("PLIC_CLIENT_MESSAGES")
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// One client pushes a large mailbox up, another pulls it, and both go on.
func TestMbsyncMany(t *testing.T) {
	t.Parallel()
	trial.Need(t, "mbsync", "script", "curl", "python3")
	s := trial.Start(t, program, ann)
	bothWays(t, s, many(t, 10000), func() mirror { return newReplica(t, s, ann) })
}

func TestOfflineIMAPMany(t *testing.T) {
	t.Parallel()
	trial.Need(t, "offlineimap", "curl", "python3")
	s := trial.Start(t, program, ann)
	bothWays(t, s, many(t, 1000), func() mirror { return newOffline(t, s, ann) })
}

var letterOf = map[string]string{`\Draft`: "D", `\Flagged`: "F", `\Answered`: "R", `\Seen`: "S"}

// onServer is the flags of every message of INBOX, by Message-ID.
func onServer(t *testing.T, s *trial.Server) map[string]string {
	t.Helper()
	all := map[string]string{}
	for line := range strings.Lines(python(t, s, "flags.py", ann.Name, ann.Password)) {
		id, flags, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		var letters []string
		for flag := range strings.FieldsSeq(flags) {
			if letterOf[flag] != "" {
				letters = append(letters, letterOf[flag])
			}
		}
		slices.Sort(letters)
		if _, twice := all[id]; twice {
			t.Errorf("the server has %s twice", id)
		}
		all[id] = strings.Join(letters, "")
	}
	return all
}

// inMirror is the same of a Maildir, and the text of every message, without
// the fields that the clients add.
func inMirror(t *testing.T, m mirror) (flags, texts map[string]string) {
	t.Helper()
	flags, texts = map[string]string{}, map[string]string{}
	added := regexp.MustCompile(`(?m)^X-(TUID|OfflineIMAP): .*\n`)
	id := regexp.MustCompile(`(?mi)^Message-ID: <([^>]*)>\r?$`)
	for _, name := range m.mail("INBOX") {
		text := read(t, name)
		found := id.FindStringSubmatch(text)
		if found == nil {
			t.Fatalf("%s has no Message-ID: %q", name, text)
		}
		if _, twice := flags[found[1]]; twice {
			t.Errorf("the Maildir has %s twice", found[1])
		}
		_, flags[found[1]], _ = strings.Cut(filepath.Base(name), ":2,")
		texts[found[1]] = added.ReplaceAllString(text, "")
	}
	return flags, texts
}

func equal(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if maps.Equal(got, want) {
		return
	}
	t.Errorf("%s: %d messages, not %d", what, len(got), len(want))
	shown := 0
	for _, id := range slices.Sorted(maps.Keys(want)) {
		if has, there := got[id]; (!there || has != want[id]) && shown < 5 {
			t.Errorf("%s: %s has %q (%t), not %q", what, id, has, there, want[id])
			shown++
		}
	}
}

func bothWays(t *testing.T, s *trial.Server, n int, open func() mirror) {
	patterns := []string{"", "S", "S", "FS", "RS", "S", "F", "DS"}
	put := func(m mirror, id, flags string) {
		t.Helper()
		write(t, filepath.Join(m.inbox(), "cur", id+".here:2,"+flags), "From: ann@plic.test\nSubject: "+id+
			"\nDate: Mon, 2 Mar 2026 10:15:30 +0100\nMessage-ID: <"+id+"@plic.test>\n\n.\nthe end of "+id+"\n")
	}
	lap := func(what string, from time.Time) { t.Logf("%s: %v", what, time.Since(from).Round(time.Millisecond)) }

	// All goes up from here.
	here := open()
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(here.inbox(), sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		put(here, fmt.Sprintf("many.%d", i), patterns[i%len(patterns)])
	}
	began := time.Now()
	said := here.sync()
	lap("push", began)
	if here.quiet(said) {
		t.Errorf("it says nothing of what it pushed: %q", said)
	}
	flags, texts := inMirror(t, here)
	if len(flags) != n+1 {
		t.Errorf("%d messages here, not %d and the welcome", len(flags), n)
	}
	equal(t, "pushed up", onServer(t, s), flags)

	// All comes down there.
	there := open()
	began = time.Now()
	there.sync()
	lap("pull", began)
	f, x := inMirror(t, there)
	equal(t, "flags pulled down", f, flags)
	equal(t, "texts pulled down", x, texts)
	still := func() {
		t.Helper()
		status := func() string {
			return curl(t, s, ann, "imaps", "/", "-X", "STATUS INBOX (MESSAGES UIDNEXT HIGHESTMODSEQ)").ok(t)
		}
		before := status()
		for _, m := range []mirror{here, there} {
			began := time.Now()
			if said := m.sync(); !m.quiet(said) {
				t.Errorf("with nothing to do: %s", said)
			}
			lap("nothing", began)
		}
		if after := status(); after != before {
			t.Errorf("syncs with nothing to do made %s of %s", after, before)
		}
	}
	still()

	// Both sides change, some messages both.
	want := maps.Clone(flags)
	change := func(m mirror, k int, what string) {
		t.Helper()
		for _, name := range m.mail("INBOX") {
			base, had, _ := strings.Cut(filepath.Base(name), ":2,")
			id := regexp.MustCompile(`(?m)^Message-ID: <(many\.(\d+)@plic\.test)>$`).FindStringSubmatch(read(t, name))
			if id == nil {
				continue
			}
			i, _ := strconv.Atoi(id[2])
			switch {
			case i%20 == k: // gone
				if err := os.Remove(name); err != nil {
					t.Fatal(err)
				}
				delete(want, id[1])
			case i%20 == k+1 || i%20 == 10 && what == "F" || i%20 == 10 && what == "R": // another flag
				letters := strings.Split(had+what, "")
				slices.Sort(letters)
				letters = slices.Compact(letters)
				if err := os.Rename(name, filepath.Join(m.inbox(), "cur", base+":2,"+strings.Join(letters, ""))); err != nil {
					t.Fatal(err)
				}
				all := strings.Split(want[id[1]]+what, "")
				slices.Sort(all)
				want[id[1]] = strings.Join(slices.Compact(all), "")
			}
		}
		for i := range n / 100 {
			id := fmt.Sprintf("new.%s.%d", what, i)
			put(m, id, what)
			want[id+"@plic.test"] = what
		}
	}
	change(here, 0, "F")
	change(there, 5, "R")
	began = time.Now()
	here.sync()
	there.sync()
	here.sync()
	lap("meet", began)
	equal(t, "the server in the end", onServer(t, s), want)
	f, x = inMirror(t, here)
	equal(t, "here in the end", f, want)
	f, y := inMirror(t, there)
	equal(t, "there in the end", f, want)
	equal(t, "texts in the end", y, x)
	still()
}
