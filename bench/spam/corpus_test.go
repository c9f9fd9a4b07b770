package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// corpus writes one: names have "group/file", and the text.
func corpus(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// everyGroup is a corpus with n messages in each group.
func everyGroup(n int) map[string]string {
	files := map[string]string{}
	for _, group := range []string{"easy-ham-1", "easy-ham-2", "hard-ham-1", "spam-1", "spam-2"} {
		for i := range n {
			files[fmt.Sprintf("%s/%03d.txt", group, i)] = fmt.Sprintf("Subject: %s %d\n\ntext\n", group, i)
		}
		files[group+"/000.json"] = "{}" // as the package has
	}
	return files
}

// TestRead: halves are the same in every run, no message is in both, classes are
// those of the directories, and as many of each are taken as was said.
func TestRead(t *testing.T) {
	t.Parallel()
	dir := corpus(t, everyGroup(21)) // 63 of ham, 42 of spam
	for count, want := range map[int][2]int{0: {31, 21}, 5: {5, 5}, 25: {25, 21}, 500: {31, 21}} {
		teach, test, err := read(dir, count)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := read(dir, count)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for which, half := range [][]*letter{teach, test} {
			var ham, spam int
			for i, l := range half {
				if l.spam != strings.HasPrefix(l.file, "spam-") || !strings.Contains(string(l.text), "Subject: "+strings.Split(l.file, "/")[0]) {
					t.Errorf("%s is spam: %t, and says %q", l.file, l.spam, l.text)
				}
				if seen[l.file] {
					t.Errorf("%s is there twice", l.file)
				}
				if which == 0 && again[i].file != l.file {
					t.Errorf("%s is %s the next time", l.file, again[i].file)
				}
				seen[l.file] = true
				if l.spam {
					spam++
				} else {
					ham++
				}
			}
			if ham != want[0] || spam != want[1] {
				t.Errorf("%d of each: %d of ham, %d of spam, not %v", count, ham, spam, want)
			}
		}
	}
}

// TestReadCopies: a copy counts once, though its line ends or the line of an mbox
// before it are others.
func TestReadCopies(t *testing.T) {
	t.Parallel()
	files := everyGroup(2)
	files["spam-2/900.txt"] = "From someone Thu Aug 22 12:36:23 2002\nSubject: spam-1 0\r\n\r\ntext\r\n"
	files["spam-2/901.txt"] = files["spam-1/000.txt"]
	teach, test, err := read(corpus(t, files), 0)
	if err != nil || len(teach)+len(test) != 6+4 {
		t.Errorf("%d and %d messages, %v", len(teach), len(test), err)
	}
}

func TestReadNothing(t *testing.T) {
	t.Parallel()
	files := everyGroup(1)
	delete(files, "hard-ham-1/000.txt")
	_, _, err := read(corpus(t, files), 0)
	if err == nil || !strings.Contains(err.Error(), "hard-ham-1") || strings.Contains(err.Error(), "%!") {
		t.Errorf("without a group: %v", err)
	}
	files = everyGroup(1)
	files["spam-2/000.txt"] = files["spam-1/000.txt"] // so there is one of spam, and none to judge
	if _, _, err := read(corpus(t, files), 0); err == nil {
		t.Error("nothing to judge is no error")
	}
}

// TestParse: how a message came is read from its fields.
func TestParse(t *testing.T) {
	t.Parallel()
	const unknown = "192.0.2.1:25 mx.example.org mx.example.org"
	for name, x := range map[string]struct{ text, origin, from, at string }{
		"nothing known": {"Subject: x\n\ny\n", unknown, "", "2002-09-01T00:00:00Z"},
		"all known": {"Return-Path: <ann@there.test>\nReceived: from helo.test (mx.there.test. [198.51.100.7])\n\tby here.test; Thu, 22 Aug 2002 12:36:23 +0200\n\ny\n",
			"198.51.100.7:25 helo.test mx.there.test", "ann@there.test", "2002-08-22T10:36:23Z"},
		"first a hop of its own": {"Received: from localhost (localhost [127.0.0.1])\n\tby here.test; Fri, 23 Aug 2002 00:00:00 +0000\n" +
			"Received: from inner (inner [10.1.2.3])\n\tby here.test; Thu, 22 Aug 2002 00:00:00 +0000\n" +
			"Received: by here.test id 5\nReceived: from outer.test (outer.test [203.0.113.9])\n\tby here.test; Wed, 21 Aug 2002 00:00:00 +0000\n" +
			"Received: from earlier.test (earlier.test [203.0.113.10])\n\tby outer.test; Tue, 20 Aug 2002 00:00:00 +0000\n\ny\n",
			"203.0.113.9:25 outer.test outer.test", "", "2002-08-23T00:00:00Z"},
		"no name":           {"Received: from helo.test ([198.51.100.7]) by here.test\n\ny\n", "198.51.100.7:25 helo.test ", "", "2002-09-01T00:00:00Z"},
		"no address":        {"Received: from helo.test (mx [298.51.100.7]) by here.test; yesterday\n\ny\n", unknown, "", "2002-09-01T00:00:00Z"},
		"the null sender":   {"Return-Path: <>\n\ny\n", unknown, "", "2002-09-01T00:00:00Z"},
		"no message at all": {"", unknown, "", "2002-09-01T00:00:00Z"},
	} {
		l := parse([]byte(x.text))
		o := l.env.Origin
		if got := fmt.Sprintf("%s %s %s", o.Remote, o.Helo, o.Name); got != x.origin {
			t.Errorf("%s: it comes from %q", name, got)
		}
		if got := strings.Trim(l.env.From.String(), "<>"); got != x.from {
			t.Errorf("%s: its sender is %q", name, got)
		}
		if got := l.at.UTC().Format(time.RFC3339); got != x.at {
			t.Errorf("%s: its time is %s", name, got)
		}
	}
	if got := string(parse([]byte("From x Thu\nA: b\r\n\nFrom y\n.\n")).text); got != "A: b\r\n\r\nFrom y\r\n.\r\n" {
		t.Errorf("the text is %q", got)
	}
}
