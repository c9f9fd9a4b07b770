package abuse

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"plic/test/world"
)

// TestRelay: threat R1. No way to write a recipient makes us take mail from a
// stranger to another host: it is refused at RCPT, whoever the sender claims to
// be, before and after a failed AUTH, and neither DATA nor BDAT goes on.
func TestRelay(t *testing.T) {
	t.Parallel()
	x := newTarget(t, "127.80.110", map[string]string{"smtp.error_delay": `"0s"`})
	w := x.World
	// An alias behind which is another alias, and a catch-all, tempt to expand.
	x.Alias(t, "alias@one.test", x.ann)
	x.Domain(t, "all.test")
	x.Alias(t, "@all.test", x.ann)
	tricks := []string{
		"victim@far.test", "VICTIM@FAR.TEST", "@one.test:victim@far.test", "@a.test,@one.test:victim@far.test", "@[" + x.Address + "]:victim@far.test",
		"victim%far.test@one.test", `"victim@far.test"@one.test`, `"victim%far.test"@one.test`, "far.test!victim@one.test", "one.test!far.test!victim",
		"victim@far.test@one.test", "victim@one.test@far.test", "victim@[" + x.far.Address + "]", "victim@" + x.far.Address, "victim@[" + x.Address + "]",
		"victim%far.test@[" + x.Address + "]", "victim@far.test.", "victim@far.test%one.test", "victim+x@far.test@alias", "alias+victim@far.test",
		`"victim@far.test\"@one.test`, `victim\@far.test@one.test`, "<victim@far.test>", "victim@far.test,ann@one.test", "ann@one.test victim@far.test",
		"victim@sub.one.test", "victim@mx.far.test", "victim@localhost", "victim", "victim@", "victim@[IPv6:::1]", "|cat", "/etc/passwd", ":include:/etc/passwd",
	}
	senders := []string{"", x.ann, "nobody@one.test", "stranger@elsewhere.test", "victim@far.test", "alias@one.test", "root@mx.one.test"}
	for _, from := range senders {
		for i, to := range tricks {
			for _, verb := range []string{"DATA", "BDAT"} {
				c := w.Dial(t, "", x.Address+":25", x.Host).Greet()
				if i%2 == 1 {
					c.Must("50", "AUTH PLAIN %s", world.Plain(x.ann, "wrong"))
				}
				c.Must("250 ", "MAIL FROM:<%s>", from)
				if reply := c.Ask("RCPT TO:<%s>", to); reply[0] != '4' && reply[0] != '5' {
					t.Errorf("from <%s> to <%s>: %q", from, to, reply)
				}
				if verb == "DATA" {
					c.Must("503 ", "DATA")
				} else {
					c.Must("503 ", "BDAT 4 LAST\r\nxy") // and the line end
				}
				c.Must("221 ", "QUIT")
				c.Close()
			}
		}
	}
	// A catch-all takes the strange ones that have our domain, for its owner.
	c := x.SMTP(t)
	for _, to := range []string{"victim%far.test@all.test", `"victim@far.test"@all.test`, "far.test!victim@all.test"} {
		want(t, to, c.Post(world.Letter{From: "stranger@elsewhere.test", To: []string{to}, Text: text("a@b", "c@d", "caught")}), "250 ")
	}
	if got := x.Inbox(t, x.ann); len(got) != 3 {
		t.Errorf("the owner of the catch-all has %d messages, not 3", len(got))
	}
	// Submission without AUTH, or after a wrong one, and LMTP.
	client := w.Address()
	c = w.Dial(t, client, x.Address+":587", x.Host).Greet()
	c.Must("530 ", "MAIL FROM:<%s>", x.ann)
	c.Must("535 ", "AUTH PLAIN %s", world.Plain(x.ann, "wrong"))
	c.Must("530 ", "MAIL FROM:<%s>", x.ann)
	c.Must("503 ", "RCPT TO:<victim@far.test>")
	c = x.Dial(t, 24)
	c.Want("220 ")
	c.Must("250", "LHLO x")
	c.Must("250 ", "MAIL FROM:<%s>", x.ann)
	c.Must("550 5.7.1", "RCPT TO:<victim@far.test>")

	if items := x.Queue(t); len(items) != 0 || x.far.Connections() != 0 {
		t.Errorf("the queue has %+v, the other host had %d connections", items, x.far.Connections())
	}
	// The same is no offence of an account.
	id := x.Submission(t, x.ann).Deliver(world.Letter{From: x.ann, To: []string{"victim@far.test"}, Text: text(x.ann, "victim@far.test", "honest")})
	x.far.Wait(t, 1)
	x.WaitJournal(t, id, "relayed")
}

// TestBackscatter: threat R3. Who does not exist is refused in session, so that
// no report goes to a sender who never sent anything.
func TestBackscatter(t *testing.T) {
	t.Parallel()
	x := newTarget(t, "127.80.111", nil)
	c := x.SMTP(t)
	c.Must("250 ", "MAIL FROM:<innocent@far.test>")
	c.Must("550 5.1.1 ", "RCPT TO:<nobody@one.test>")
	c.Must("250 ", "RCPT TO:<%s>", x.ann)
	c.Must("550 5.1.1 ", "RCPT TO:<nobody+else@one.test>")
	c.Must("354", "DATA")
	c.Send(text("innocent@far.test", x.ann, "mixed") + ".\r\n")
	c.Want("250 ")
	x.WaitMail(t, x.ann, "Subject: mixed")
	if items := x.Queue(t); len(items) != 0 || x.far.Connections() != 0 {
		t.Errorf("the queue has %+v, the sender's host had %d connections", items, x.far.Connections())
	}
}

// TestForgedSender: threat R4. An account sends as itself and its aliases only,
// in the envelope and in From.
func TestForgedSender(t *testing.T) {
	t.Parallel()
	x := newTarget(t, "127.80.112", nil)
	x.Alias(t, "sales@one.test", x.ann)
	x.Alias(t, "press@one.test", x.eve)
	c := x.Submission(t, x.ann)
	for _, from := range []string{x.eve, "press@one.test", "nobody@one.test", "ceo@far.test", "ann@far.test", "ann@sub.one.test"} {
		c.Must("553 5.7.1 ", "MAIL FROM:<%s>", from)
	}
	c = x.Submission(t, x.ann)
	for _, from := range []string{x.eve, "press@one.test", "ceo@far.test", x.ann + ">, <" + x.eve} {
		l := world.Letter{From: x.ann, To: []string{x.eve}, Text: text(from, x.eve, "forged")}
		want(t, "From: "+from, c.Post(l), "553 5.7.1 ")
	}
	c = x.Submission(t, x.ann)
	for _, from := range []string{x.ann, "sales@one.test", "ann+tag@one.test", "ANN@ONE.test"} {
		l := world.Letter{From: from, To: []string{x.eve}, Text: text(from, x.eve, "honest")}
		want(t, "as "+from, c.Post(l), "250 ")
	}
	l := world.Letter{From: "", To: []string{x.eve}, Text: text(x.ann, x.eve, "receipt")} // as a receipt has it
	want(t, "the null sender", c.Post(l), "250 ")
	if got := x.Inbox(t, x.eve); len(got) != 5 {
		t.Errorf("%d messages came, not 5", len(got))
	}
}

// TestHarvest: threat R5. Nobody learns who exists: VRFY says nothing, EXPN is
// not there, guessing is slowed down and ended; too many recipients are put off.
func TestHarvest(t *testing.T) {
	t.Parallel()
	const pause = 50 * time.Millisecond
	x := newTarget(t, "127.80.113", map[string]string{"smtp.error_delay": `"50ms"`})
	c := x.SMTP(t)
	c.Must("252 ", "VRFY %s", x.ann)
	c.Must("252 ", "VRFY nobody@one.test")
	c.Must("502 ", "EXPN %s", x.ann)
	c = x.SMTP(t)
	c.Must("250 ", "MAIL FROM:<a@far.test>")
	for i := range 20 {
		began := time.Now()
		c.Must("550 5.1.1 ", "RCPT TO:<guess%d@one.test>", i)
		if took := time.Since(began); i >= 10 && took < pause {
			t.Errorf("guess %d was answered after %v", i+1, took)
		}
	}
	c.Must("421 4.7.0 ", "RCPT TO:<guess21@one.test>")
	if rest := c.Rest(); rest != "" {
		t.Errorf("after 421: %q", rest)
	}

	c = x.SMTP(t)
	c.Must("250 ", "MAIL FROM:<a@far.test>")
	var group strings.Builder
	for i := range 1001 {
		fmt.Fprintf(&group, "RCPT TO:<ann+%d@one.test>\r\n", i)
	}
	go c.Send(group.String())
	for i := range 1000 {
		if reply := c.Reply(); !strings.HasPrefix(reply, "250 ") {
			t.Fatalf("recipient %d: %q", i+1, reply)
		}
	}
	c.Want("452 4.5.3 ")
	c.Must("354", "DATA")
	c.Send(text("a@far.test", x.ann, "thousand") + ".\r\n")
	c.Want("250 ")
	if got := len(x.Inbox(t, x.ann)); got != 1 { // a thousand names of one account
		t.Errorf("the account has it %d times", got)
	}
	// Who goes on is closed.
	c = x.SMTP(t)
	c.Must("250 ", "MAIL FROM:<a@far.test>")
	over := strings.Repeat("RCPT TO:<ann@one.test>\r\n", 2001)
	go func() { c.Conn.Write([]byte(over)) }()
	if said := c.Rest(); strings.Count(said, "250 ") != 1000 || strings.Count(said, "452 ") != 1000 || strings.Count(said, "421 ") != 1 {
		t.Errorf("2001 recipients: %d accepted, %d put off, %d times closed", strings.Count(said, "250 "), strings.Count(said, "452 "), strings.Count(said, "421 "))
	}
}
