package server

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"plic/internal/config"
	"plic/internal/control"
	"plic/internal/journal"
	"plic/internal/store"
)

// startSpam is a site that judges what strangers bring, with lists of its own.
func startSpam(t *testing.T, change func(*config.Config)) *senders {
	return startSenders(t, func(c *config.Config) {
		c.Spam.Check, c.Spam.Greylist = true, 0
		c.Access.XClient = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
		c.Spam.Lists = []string{"bl.test client refuse 127.0.0.2=4", "dl.test domains 4", "dead.test client refuse 9"}
		if change != nil {
			change(c)
		}
	}, "there.test 60 IN MX 10 mx.there.test.", `there.test 60 IN TXT "v=spf1 ip4:192.0.2.0/24 -all"`, `_dmarc.strict.test 60 IN TXT "v=DMARC1; p=reject"`,
		"66.2.0.192.bl.test 60 IN A 127.0.0.2", `66.2.0.192.bl.test 60 IN TXT "see bl.test"`, "bad.org.dl.test 60 IN A 127.0.0.2",
		"1.2.0.192.dead.test 60 IN A 127.0.0.2", "66.2.0.192.dead.test 60 IN A 127.0.0.2", "1.0.0.127.dead.test 60 IN A 127.0.0.2")
}

// from brings a message from an address.
func (s *senders) from(addr, to, text string) string {
	s.t.Helper()
	conn, r := dialLine(s.t, s.at["smtp"])
	defer conn.Close()
	answer := ""
	for _, line := range []string{"HELO proxy", "XCLIENT ADDR=" + addr, "HELO mx.there.test", "MAIL FROM:<eve@there.test>", "RCPT TO:<" + to + ">", "DATA", text + "."} {
		if answer = say(s.t, conn, r, line); answer[0] > '3' {
			return answer
		}
	}
	return answer
}

// goodHeader is of today: a letter that is weeks old is suspicious.
var goodHeader = "From: Eve <eve@there.test>\r\nTo: ann@here.test\r\nDate: " + time.Now().Format(time.RFC1123Z) + "\r\nMessage-ID: <1@there.test>\r\nSubject: The plan\r\n"

// TestSpam has strangers bring good and bad mail: each goes where its score leads.
func TestSpam(t *testing.T) {
	s := startSpam(t, func(c *config.Config) { c.Spam.Refuse = 9 })
	text := "\r\nHello Ann, here is what we said about the plan for Thursday. See you there, and bring the drawings along.\r\n"
	program := goodHeader + "Content-Type: application/octet-stream; name=invoice.pdf.exe\r\n\r\nMZ\r\n"
	for name, x := range map[string]struct{ addr, to, text, want string }{
		"good":        {"192.0.2.1", "ann@here.test", goodHeader + text, "250 2.0.0"},
		"listed":      {"192.0.2.66", "ann@here.test", goodHeader + text, "550 5.7.1 192.0.2.66 is listed by bl.test: see bl.test"},
		"in distress": {"192.0.2.66", "postmaster@here.test", goodHeader + text, "250 2.0.0"},
		"a program":   {"192.0.2.1", "ann@here.test", program, "550 5.7.1"},
		"bad link":    {"192.0.2.1", "ann@here.test", "X-Spam-Flag: NO\r\nReply-To: x@gmail.com\r\n" + strings.Replace(goodHeader, "The plan", "MAKE MONEY FAST!!! $$$", 1) + text + "http://www.bad.org/x\r\n", "250 2.0.0"},
	} {
		if got := s.from(x.addr, x.to, x.text); !strings.HasPrefix(got, x.want) {
			t.Errorf("%s: %s, want %s", name, got, x.want)
		}
	}
	inbox, junk := s.box("INBOX"), s.box("Junk")
	if len(inbox) != 2 || len(junk) != 1 {
		t.Fatalf("%d in INBOX, %d in Junk: %q %q", len(inbox), len(junk), inbox, junk)
	}
	if !strings.Contains(inbox[0], "X-Spam-Status: No, ") || !strings.Contains(junk[0], "X-Spam-Flag: YES\r\n") || strings.Contains(junk[0], "X-Spam-Flag: NO") ||
		!strings.Contains(junk[0], "LIST_DL_TEST=4.0") {
		t.Errorf("%s\n%s", inbox[0], junk[0])
	}
	told := 0
	for e, err := range s.site.journal.Find(t.Context(), journal.Query{}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind != journal.Spam {
			continue
		}
		if told++; strings.Contains(e.Reason, "LIST_DL_TEST") && !strings.Contains(e.Reason, "bad.org is 127.0.0.2") {
			t.Errorf("the journal says %s", e.Reason)
		}
	}
	if told != 4 {
		t.Errorf("the journal tells of %d verdicts", told)
	}
}

// TestLearning has a user move mail out of Junk, and the site remember.
func TestLearning(t *testing.T) {
	s := startSpam(t, func(c *config.Config) { c.Spam.Junk = 0.1 })
	if got := s.from("192.0.2.1", "ann@here.test", goodHeader+"\r\nHello\r\n"); got[0] != '2' {
		t.Fatal(got)
	}
	account, err := s.site.store.Account(t.Context(), "ann@here.test")
	if err != nil {
		t.Fatal(err)
	}
	junk, err := account.Mailbox("Junk")
	if err != nil {
		t.Fatal(err)
	}
	archive, err := account.Mailbox("Archive")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := junk.Move(t.Context(), []store.UID{1}, archive); err != nil {
		t.Fatal(err)
	}
	if err := s.site.learner.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	st, err := s.site.learner.Status(t.Context(), "ann@here.test")
	if err != nil || st.Ham != 1 || st.Spam != 0 {
		t.Errorf("%+v %v", st, err)
	}
}

// TestSpamOperations has the command line teach, ask, and set limits.
func TestSpamOperations(t *testing.T) {
	s := startSpam(t, nil)
	ctx, spam := t.Context(), s.Operations().Spam
	text := []byte(goodHeader + "\r\nbuy cheap pills now\r\n")
	for i, want := range []bool{true, false} {
		if ok, err := spam.Train(ctx, control.SpamLesson{Spam: true, Message: text}); err != nil || ok != want {
			t.Errorf("lesson %d: %v %v", i, ok, err)
		}
	}
	if ok, err := spam.Train(ctx, control.SpamLesson{Message: text}); err != nil || !ok {
		t.Errorf("learnt anew: %v %v", ok, err)
	}
	for l, err := range spam.Learnt(ctx, "") {
		if err != nil || l.Ham != 1 || l.Spam != 0 {
			t.Errorf("%+v %v", l, err)
		}
	}
	if _, err := spam.Train(ctx, control.SpamLesson{Account: "nobody@here.test", Message: text}); err == nil {
		t.Error("somebody who is not there has learnt")
	}
	v, err := spam.Judge(ctx, control.SpamQuestion{IP: "192.0.2.66", Helo: "mx.there.test", From: "eve@there.test", Message: text})
	if err != nil || len(v.Hits) == 0 || len(v.Costs) < 4 {
		t.Fatalf("%+v %v", v, err)
	}
	found := ""
	for _, h := range v.Hits {
		found += h.Symbol + " "
		if h.Says == "" {
			t.Errorf("%s means nothing", h.Symbol)
		}
	}
	if !strings.Contains(found, "LIST_BL_TEST") {
		t.Errorf("found %s", found)
	}
	low, never := 1.0, 0.0
	for _, l := range []control.SpamLimits{{Name: "here.test", Junk: &low}, {Name: "ann@here.test", Refuse: &never}} {
		if err := spam.SetLimits(ctx, l); err != nil {
			t.Fatal(err)
		}
	}
	if at := s.site.limits.hold("ann@here.test"); at.Junk != 1 || at.Refuse != 0 || s.site.limits.hold("bob@here.test").Refuse != 15 || s.site.limits.hold("").Junk != 6 {
		t.Errorf("%+v", at)
	}
	again, err := openLimits(ctx, s.site.store.Notes(), s.site.limits.site)
	if err != nil || again.hold("ann@here.test") != s.site.limits.hold("ann@here.test") {
		t.Errorf("after a restart: %v", err)
	}
	if err := spam.SetLimits(ctx, control.SpamLimits{Name: "here.test"}); err != nil {
		t.Fatal(err)
	}
	if at := s.site.limits.hold("ann@here.test"); at.Junk != 6 || at.Refuse != 0 {
		t.Errorf("the domain's taken back: %+v", at)
	}
	if err := spam.SetLimits(ctx, control.SpamLimits{Name: "other.test", Junk: &low}); err == nil {
		t.Error("a domain of others has limits")
	}
}

// TestSymbolsAreDocumented compares docs/spam.md with what is looked for.
func TestSymbolsAreDocumented(t *testing.T) {
	s := startSpam(t, func(c *config.Config) { c.Spam.Lists = nil })
	var table strings.Builder
	table.WriteString("| symbol | weight | means |\n|---|---:|---|\n")
	for _, x := range s.site.spam.Symbols() {
		fmt.Fprintf(&table, "| %s | %+.1f | %s |\n", x.Name, x.Weight, x.Says)
	}
	const file = "../../docs/spam.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "<!-- symbols -->\n")
	have, _, ok := strings.Cut(rest, "<!-- end -->")
	if !ok || have != table.String() {
		t.Errorf("the table of symbols in %s should be:\n%s", file, table.String())
	}
}

// TestLearningOverIMAP has a mail program say what is spam in each of the ways that
// such programs have.
func TestLearningOverIMAP(t *testing.T) {
	s, c := overIMAP(t)
	learnt := func(after string, ham, spam int) {
		t.Helper()
		if err := s.site.learner.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
		st, err := s.site.learner.Status(t.Context(), "ann@here.test")
		if err != nil || st.Ham != ham || st.Spam != spam {
			t.Errorf("after %s: %d ham and %d spam, want %d and %d; %v", after, st.Ham, st.Spam, ham, spam, err)
		}
	}
	c.append("INBOX", "one")
	learnt("APPEND", 1, 0)
	c.append("Junk", "two")
	learnt("APPEND to Junk", 1, 1)
	c.want("SELECT INBOX", "* 1 EXISTS")
	c.want("MOVE 1 Junk", "x OK")
	learnt("MOVE into Junk", 0, 2)
	c.want("SELECT Junk", "* 2 EXISTS")
	c.want("COPY 2 INBOX", "x OK")
	learnt("COPY out of Junk", 1, 1)
	c.want("STORE 1 +FLAGS ($NotJunk)", "x OK")
	learnt("$NotJunk", 2, 0)
	c.want("STORE 1 FLAGS ($Junk)", "x OK")
	learnt("$Junk", 1, 1)
	c.want("MOVE 1:2 Trash", "x OK")
	learnt("MOVE into Trash", 1, 1)
}
