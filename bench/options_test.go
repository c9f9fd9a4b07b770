package main

import (
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestOptions(t *testing.T) {
	t.Parallel()
	o := usual(t)
	if o.rounds != 3 || o.mailbox != 100_000 || o.idle != 2000 || o.logins != 5000 || o.pop != 5000 || o.only != nil || len(o.steps) != 5 {
		t.Errorf("without flags it is %+v", o)
	}
	for _, line := range []string{
		"-only select,fetch -rounds 1",
		"-only SELECT,FETCH",
		"-mailbox 1000000 -rounds 5",
		"-mailbox 1000 -idle 4 -logins 1 -pop 1",
		"-directory",
		"-directory -only lookups",
		"-growth plot.svg -steps 100,101",
		"-files native,maildir,mbox -steps 1000,10000,100000",
		"-files mbox -steps 200000 -octets 25000",
		"-import 200000 -octets 0",
		"-queued 1000000",
		"-limits 3",
		"-limits 3 -only append",
	} {
		if _, err := parse(strings.Fields(line), t.Output()); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	if _, err := parse([]string{"-h"}, t.Output()); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h gives %v", err)
	}
}

// TestRefused: flags that make no sense are refused before anything is started,
// and the reason names them.
func TestRefused(t *testing.T) {
	t.Parallel()
	for line, reason := range map[string]string{
		"-rounds 0":                        "-rounds",
		"-rounds -1":                       "-rounds",
		"-rounds many":                     "-rounds",
		"-mailbox 999":                     "-mailbox",
		"-mailbox 1000001":                 "-mailbox",
		"-idle 3":                          "-idle",
		"-logins 0":                        "-logins",
		"-pop 0":                           "-pop",
		"-queued -5":                       "-queued",
		"-import -5":                       "-import",
		"-octets -1":                       "-octets",
		"-steps 1000,,2000 -growth x":      "-steps",
		"-steps 1k -growth x":              "-steps",
		"-steps 0 -growth x":               "-steps",
		"-steps 99 -growth x":              "-steps",
		"-steps 1000,100 -growth x":        "-steps",
		"-steps 1000,1000 -growth x":       "-steps",
		"-files mdbox":                     "mdbox",
		"-files maildir,":                  "-files",
		"-only selekt":                     "selekt",
		"-only select,":                    "-only",
		"-only lookups":                    "lookups",
		"-directory -only SELECT":          "SELECT",
		"-import 5 -only SELECT":           "SELECT",
		"-growth x -only SELECT":           "SELECT",
		"-growth x -directory":             "-growth",
		"-files maildir -import 5":         "-files",
		"-queued 5 -directory -files mbox": "-queued",
		"-limits 5 -import 5":              "-limits",
		"-limits -1":                       "-limits",
		"-limits 5 -only lookups":          "lookups",
		"SELECT":                           "SELECT",
		"-only SELECT FETCH":               "FETCH",
		"-unknown":                         "unknown",
	} {
		_, err := parse(strings.Fields(line), t.Output())
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v", line, err)
		}
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		words words
		name  string
		want  bool
	}{
		{nil, "anything", true},
		{words{"select"}, "SELECT, warm", true},
		{words{"FETCH", "pop3"}, "POP3 RETR", true},
		{words{"fetch"}, "SELECT, warm", false},
	} {
		if got := x.words.in(x.name); got != x.want {
			t.Errorf("%q in %q: %t", x.words, x.name, got)
		}
	}
	o := usual(t)
	for _, word := range []string{"memory", "ENVELOPE", "syncs"} {
		if !slices.ContainsFunc(o.names(), words{word}.in) {
			t.Errorf("nothing is called %s", word)
		}
	}
}

// documented is the table of docs/performance.md, by the names of its rows.
func documented(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "\n| measure | unit |")
	rows := map[string][]string{}
	for line := range strings.SplitSeq(table, "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 8 || cells[0] != "" {
			if line == "" {
				break
			}
			continue
		}
		for i, cell := range cells {
			cells[i] = strings.TrimSpace(cell)
		}
		if cells[1] != "---" {
			rows[cells[1]] = cells[1:7]
		}
	}
	if len(rows) < 20 {
		t.Fatalf("the table has %d rows", len(rows))
	}
	return rows
}
