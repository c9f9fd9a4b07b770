package server

import (
	"strings"
	"testing"

	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/journal"
)

// TestCheckMessage asks what would become of messages, and then brings them: what was
// foretold happens. Asking itself changes nothing.
func TestCheckMessage(t *testing.T) {
	s := startSpam(t, func(c *config.Config) { c.Spam.Refuse, c.Senders.Report = 9, true })
	text := "\r\nHello Ann, here is what we said about the plan for Thursday. See you there, and bring the drawings along.\r\n"
	bad := "Reply-To: x@gmail.com\r\n" + strings.Replace(goodHeader, "The plan", "MAKE MONEY FAST!!! $$$", 1) + text + "http://www.bad.org/x\r\n"
	cases := map[string]struct{ addr, to, text, action, says, answer string }{
		"good":    {"192.0.2.1", "ann@here.test", goodHeader + text, "accept", "it goes to the inbox of ann@here.test", "250 2.0.0"},
		"listed":  {"192.0.2.66", "ann@here.test", goodHeader + text, "refuse", "at the door: 192.0.2.66 is listed by bl.test", "550 5.7.1 192.0.2.66 is listed"},
		"nobody":  {"192.0.2.1", "nobody@here.test", goodHeader + text, "refuse", "550 5.1.1", "550 5.1.1"},
		"junk":    {"192.0.2.1", "ann@here.test", bad, "junk", "it goes into Junk", "250 2.0.0"},
		"program": {"192.0.2.1", "ann@here.test", goodHeader + "Content-Type: application/octet-stream; name=invoice.pdf.exe\r\n\r\nMZ\r\n", "refuse", "550 5.7.1", "550 5.7.1"},
	}
	for name, x := range cases {
		v, err := s.Operations().Spam.Judge(t.Context(), control.SpamQuestion{IP: x.addr, Helo: "mx.there.test", From: "eve@there.test", To: []string{x.to}, Message: []byte(x.text)})
		if err != nil {
			t.Fatal(err)
		}
		if len(v.Ends) != 1 || v.Ends[0].Action != x.action || !strings.HasPrefix(v.Ends[0].Says, x.says) {
			t.Errorf("%s: %+v", name, v.Ends)
		}
		said := map[string]string{}
		for _, c := range v.Sender {
			if said[c.Method] = c.Result; c.Reason == "" {
				t.Errorf("%s: %s has no reason", name, c.Method)
			}
		}
		if said["spf"] != "pass" || said["iprev"] != "fail" || said["dkim"] != "none" || said["dmarc"] == "" {
			t.Errorf("%s: %v", name, said)
		}
	}
	for _, kind := range []string{journal.Sender, journal.Spam, journal.Reject, journal.Accept} {
		for e := range s.site.journal.Find(t.Context(), journal.Query{Kind: kind}) {
			t.Errorf("asking left %+v", e)
		}
	}
	if s.site.waited.Len() != 0 {
		t.Error("asking is remembered")
	}
	office := s.site.feedback
	if office == nil || s.site.checker(s.site.now) == nil || s.site.feedback != office {
		t.Error("asking begins the count of DMARC anew")
	}
	for name, x := range cases {
		if got := s.from(x.addr, x.to, x.text); !strings.HasPrefix(got, x.answer) {
			t.Errorf("%s: %s", name, got)
		}
	}
	if len(s.box("INBOX")) != 1 || len(s.box("Junk")) != 1 {
		t.Errorf("%d in INBOX, %d in Junk", len(s.box("INBOX")), len(s.box("Junk")))
	}
}

// TestReplay tries other settings on the journal of what came: nothing changes by
// those that hold, and what changes by others is told with its reason.
func TestReplay(t *testing.T) {
	s := startSpam(t, nil)
	text := "\r\nHello Ann, here is what we said about the plan for Thursday. See you there, and bring the drawings along.\r\n"
	for _, addr := range []string{"192.0.2.1", "192.0.2.2"} {
		if got := s.from(addr, "ann@here.test", goodHeader+text+"http://www.bad.org/x\r\n"); got[0] != '2' {
			t.Fatal(got)
		}
	}
	forged := strings.ReplaceAll(goodHeader, "eve@there.test", "eve@strict.test") + text
	if got := s.from("192.0.2.1", "ann@here.test", forged); !strings.HasPrefix(got, "550 5.7.1") {
		t.Fatal(got)
	}
	same := "hostname = \"mx.here.test\"\n[senders]\nexcepted_networks = []\n[spam]\ngreylist = 0\nlists = [\"bl.test client refuse 127.0.0.2=4\", \"dl.test domains 4\", \"dead.test client refuse 9\"]\n"
	try := func(config string) (changes []control.SpamChange, sums []control.SpamSum) {
		t.Helper()
		for r, err := range s.Operations().Spam.Replay(t.Context(), control.SpamReplay{Name: "new.toml", Config: []byte(config)}) {
			if err != nil {
				t.Fatal(err)
			}
			if r.SpamChange != nil {
				changes = append(changes, *r.SpamChange)
			}
			sums = append(sums, r.Sums...)
		}
		return changes, sums
	}
	if changes, sums := try(same); len(changes) != 0 || len(sums) != 2 || sums[0].Count != 2 || sums[1] != (control.SpamSum{Before: "refuse", After: "refuse", Count: 1}) {
		t.Errorf("the same settings: %+v %+v", changes, sums)
	}
	for name, x := range map[string]struct {
		config string
		count  int
		after  string
		why    string
	}{
		"weight":   {same + "weights = [\"LIST_DL_TEST=3\"]\n", 2, "junk", "LIST_DL_TEST +4.0 → +12.0"},
		"limit":    {same + "junk = 0.5\n", 2, "junk", "by the limits of the site"},
		"policy":   {strings.Replace(same, "[senders]", "[senders]\ndmarc = \"tell\"", 1), 1, "accept", "senders.dmarc only tells; its score is not known"},
		"excepted": {strings.Replace(same, "[]", "[\"192.0.2.0/24\"]", 1), 1, "accept", "senders.excepted_networks"},
	} {
		changes, _ := try(x.config)
		if len(changes) != x.count || changes[0].After != x.after || !strings.Contains(changes[0].Why, x.why) {
			t.Errorf("%s: %+v", name, changes)
		}
	}
	// Accounts and domains have limits of their own, which the mail was held against.
	low, high := 0.5, 20.0
	for name, x := range map[string]struct {
		limits control.SpamLimits
		config string
		count  int
		after  string
		why    string
	}{
		"a domain's":   {control.SpamLimits{Name: "here.test", Junk: &high}, same + "junk = 0.5\n", 0, "", ""},
		"an account's": {control.SpamLimits{Name: "ann@here.test", Junk: &low}, same, 2, "junk", "by the limits of ann@here.test; junk is from 0.5"},
	} {
		if err := s.Operations().Spam.SetLimits(t.Context(), x.limits); err != nil {
			t.Fatal(err)
		}
		if changes, _ := try(x.config); len(changes) != x.count || x.count > 0 && (changes[0].After != x.after || !strings.Contains(changes[0].Why, x.why)) {
			t.Errorf("%s: %+v", name, changes)
		}
		if err := s.Operations().Spam.SetLimits(t.Context(), control.SpamLimits{Name: x.limits.Name}); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range s.Operations().Spam.Replay(t.Context(), control.SpamReplay{Name: "new.toml", Config: []byte("x = 1")}) {
		if err == nil {
			t.Error("nonsense is replayed")
		}
	}
}
