package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plic/internal/control"
	"plic/internal/control/controltest"
)

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestSpamTrain reads messages out of all that holds some.
func TestSpamTrain(t *testing.T) {
	t.Parallel()
	site := &controltest.Site{}
	dir := serve(t, site)
	write(t, dir+"/one.eml", "Subject: one\n\nHello\n")
	write(t, dir+"/box.mbox", "From x Thu Jan  1 00:00:00 1970\nSubject: two\n\n>From me\nFrom here on\n\nFrom y Thu Jan  1 00:00:00 1970\nSubject: three\n\nHello\n\n")
	write(t, dir+"/Maildir/cur/1:2,S", "Subject: four\r\n\r\nHello\r\n")
	write(t, dir+"/Maildir/new/2", "Subject: five\n\nHello\n")
	write(t, dir+"/Maildir/tmp/3", "Subject: half\n\nHel")
	write(t, dir+"/Maildir/dovecot-uidlist", "3 V1 N1\n")
	r := plic(t, dir, "Subject: six\n\nHello\n", "spam", "train", "spam", "--account", "ann@example.org", "one.eml", "box.mbox", "Maildir", "-", "one.eml")
	if r.code != 0 || r.err != "6 messages were learnt as spam, 1 were known as that\n" {
		t.Fatalf("%+v", r)
	}
	var got []string
	for _, l := range site.Spam.Lessons {
		if !l.Spam || l.Account != "ann@example.org" {
			t.Errorf("%+v", l)
		}
		got = append(got, string(l.Message))
	}
	want := []string{"Subject: one\r\n\r\nHello\r\n", "Subject: two\r\n\r\nFrom me\r\nFrom here on\r\n\r\n", "Subject: three\r\n\r\nHello\r\n\r\n",
		"Subject: four\r\n\r\nHello\r\n", "Subject: five\r\n\r\nHello\r\n", "Subject: six\r\n\r\nHello\r\n"}
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%q", got)
	}
	for _, bad := range [][]string{{"spam", "train", "eggs", "one.eml"}, {"spam", "train", "spam"}} {
		if r := plic(t, dir, "", bad...); r.code != 2 {
			t.Errorf("%v: %+v", bad, r)
		}
	}
	if r := plic(t, dir, "", "spam", "train", "ham", "none.eml"); r.code != 1 {
		t.Errorf("a file that is not there: %+v", r)
	}
}

func TestSpamExplain(t *testing.T) {
	t.Parallel()
	site := &controltest.Site{}
	site.Spam.Verdict = control.SpamVerdict{Action: "junk", Score: 7.25, Junk: 6, Chance: 0.993,
		Hits:   []control.SpamHit{{Symbol: "BAYES_SPAM", Score: 6.5, Says: "Its words are those of spam.", Detail: "a chance"}, {Symbol: "NO_TO", Score: 0.7, Says: "There is neither To nor Cc."}},
		Ends:   []control.SpamEnd{{To: "ann@example.org", Action: "junk", Score: 7.25, Says: "it goes into Junk"}},
		Sender: []control.SenderCheck{{Method: "spf", Subject: "bob@example.net", Result: "fail", Reason: "not named", Millis: 3.25}},
		Costs:  []control.SpamCost{{Part: "lists", Millis: 1.5, Trouble: "bl.test does not answer"}},
		Words:  []control.SpamWord{{Word: "pills\x1b", Chance: 0.99, Spam: 7}}}
	dir := serve(t, site)
	r := plic(t, dir, "Subject: x\n\nHello\n", "spam", "explain", "--ip", "192.0.2.1", "--account", "ann@example.org", "-")
	for _, want := range []string{"junk, score 7.2; junk from 6.0\n", "+6.5   BAYES_SPAM  Its words are those of spam.  a chance\n", "+0.7   NO_TO       There is neither To nor Cc.   -\n",
		"lists  1.50 ms  bl.test does not answer\n", "99.0 %  7     0      pills", "the chance that it is spam is 99.3 %"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in\n%s%s", want, r.out, r.err)
		}
	}
	if r := plic(t, dir, "Subject: x\n\nHello\n", "check", "message", "--ip", "192.0.2.1", "--to", "ann@example.org", "-"); !strings.Contains(r.out, "ann@example.org  junk    7.2    it goes into Junk\n") ||
		!strings.Contains(r.out, "spf    bob@example.net  fail    3.25 ms  not named\n") || site.Spam.Asked.To[0] != "ann@example.org" {
		t.Errorf("%+v", r)
	}
	if r := plic(t, dir, "Subject: x\n\nHello\n", "check", "message", "-"); r.code != exitUsage {
		t.Errorf("%+v", r)
	}
	site.Spam.Asked = control.SpamQuestion{}
	r = plic(t, dir, "Subject: x\n\nHello\n", "spam", "explain", "--ip", "192.0.2.1", "--account", "ann@example.org", "-")
	if strings.Contains(r.out, "\x1b") {
		t.Error("what is in a message reaches the terminal")
	}
	if q := site.Spam.Asked; q.IP != "192.0.2.1" || q.Account != "ann@example.org" || string(q.Message) != "Subject: x\r\n\r\nHello\r\n" {
		t.Errorf("%+v", q)
	}
	if r := plic(t, dir, "Subject: x\n\nHello\n", "spam", "explain", "--json", "-"); !strings.HasPrefix(r.out, `{"action":"junk","score":7.25,`) {
		t.Errorf("%+v", r)
	}
}

func TestSpamLimits(t *testing.T) {
	t.Parallel()
	site := &controltest.Site{}
	dir := serve(t, site)
	for _, args := range [][]string{{"domain", "add", "example.org"}, {"spam", "limits", "example.org", "--junk", "4.5", "--refuse", "never", "--subject", "[spam?]"}} {
		if r := plic(t, dir, "", args...); r.code != 0 {
			t.Fatalf("%v: %+v", args, r)
		}
	}
	l := site.Spam.Own["example.org"]
	if l.Junk == nil || *l.Junk != 4.5 || l.Refuse == nil || *l.Refuse != 0 || l.Tag != nil || l.Subject == nil || *l.Subject != "[spam?]" {
		t.Errorf("%+v", l)
	}
	r := plic(t, dir, "", "spam", "limits", "example.org", "--junk", "default")
	if r.code != 0 || !strings.Contains(r.out, "junk        default\n") || !strings.Contains(r.out, "refuse      never\n") {
		t.Errorf("%+v", r)
	}
	for _, bad := range [][]string{{"example.org", "--junk", "much"}, {"--junk", "5"}, {"example.org", "--junk", "-1"}} {
		if r := plic(t, dir, "", append([]string{"spam", "limits"}, bad...)...); r.code != 2 {
			t.Errorf("%v: %+v", bad, r)
		}
	}
	if r := plic(t, dir, "", "spam", "limits", "example.net"); r.code != 1 {
		t.Errorf("an unknown domain: %+v", r)
	}
}

func TestSpamTables(t *testing.T) {
	t.Parallel()
	site := &controltest.Site{}
	dir := serve(t, site)
	if r := plic(t, dir, "", "spam", "status", "ann@example.org"); !strings.Contains(r.out, "the site         0     0      from 100 of each") || !strings.Contains(r.out, "ann@example.org  200   200    yes") {
		t.Errorf("%+v", r)
	}
	if r := plic(t, dir, "", "spam", "symbols"); !strings.Contains(r.out, "BAYES_SPAM  +6.6    Its words are those of spam.") {
		t.Errorf("%+v", r)
	}
	if r := plic(t, dir, "", "spam", "forget"); r.code != 2 {
		t.Errorf("%+v", r)
	}
	if r := plic(t, dir, "", "spam", "forget", "--site"); r.code != 0 || strings.Join(site.Spam.Forgot, ",") != "" || len(site.Spam.Forgot) != 1 {
		t.Errorf("%+v", r)
	}
}

func TestCheckReplay(t *testing.T) {
	t.Parallel()
	site := &controltest.Site{}
	site.Spam.Replays = []control.SpamReplayed{
		{SpamChange: &control.SpamChange{Message: "m1", From: "bob@example.net", Remote: "192.0.2.1", Before: "accept", After: "junk", ScoreBefore: 4, ScoreAfter: 7, Why: "X +1.0 → +4.0"}},
		{Sums: []control.SpamSum{{Before: "accept", After: "junk", Count: 1}, {Before: "junk", After: "junk", Count: 3}}, Silent: 2},
	}
	dir := serve(t, site)
	write(t, dir+"/new.toml", "hostname = \"mx.example.org\"\n")
	r := plic(t, dir, "", "check", "replay", "--dir", dir+"/plic-data", "--since", "2d", "--config", dir+"/new.toml")
	for _, want := range []string{"m1       <bob@example.net>  192.0.2.1  accept  junk      4.0 → 7.0  X +1.0 → +4.0\n", "junk    junk      3\n"} {
		if r.code != 0 || !strings.Contains(r.out, want) || r.err != "of 2 decisions the journal does not tell enough\n" {
			t.Errorf("no %q in %+v", want, r)
		}
	}
	if q := site.Spam.Replay; string(q.Config) != "hostname = \"mx.example.org\"\n" || q.Since.IsZero() {
		t.Errorf("%+v", q)
	}
	if r := plic(t, dir, "", "check", "replay", "--dir", dir); r.code != exitUsage {
		t.Errorf("without settings: %+v", r)
	}
}
