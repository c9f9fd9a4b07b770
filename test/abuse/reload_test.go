package abuse

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"plic/test/world"
)

// TestReload: on SIGHUP live settings hold for new connections, those there are
// go on as they began; a file with a fault changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	x := newTarget(t, "127.80.130", map[string]string{"smtp.recipients": "100"})
	reload := func(said string) {
		t.Helper()
		before := strings.Count(x.Log(), said)
		x.Signal(t, syscall.SIGHUP)
		world.Wait(t, "the server to log "+said, func() bool { return strings.Count(x.Log(), said) > before })
	}
	old := x.SMTP(t)
	oldIMAP := x.IMAP(t, x.ann)
	oldIMAP.IMAPOK("SELECT INBOX")
	old.Must("250 ", "MAIL FROM:<a@far.test>")
	cert := func() string {
		c := x.SMTP(t)
		c.Must("220 ", "STARTTLS")
		return string(c.Certificate())
	}
	first := cert()

	x.Configure(t, map[string]string{"smtp.recipients": "200", "smtp.message_size": `"2MiB"`, "queue.active": "7"}) // with a new certificate
	reload("the configuration was reloaded")
	for _, part := range []string{`setting=smtp.recipients old=100 new=200`, "needs a restart\" setting=queue.active"} {
		if !strings.Contains(x.Log(), part) {
			t.Errorf("the log lacks %q", part)
		}
	}
	if hello := x.SMTP(t).Hello; !strings.Contains(hello, "RCPTMAX=200") || !strings.Contains(hello, "SIZE 2097152\n") {
		t.Errorf("a new session has %q", hello)
	}
	if cert() == first {
		t.Error("the certificate is the old one")
	}
	// The old sessions are in the state that they were in.
	old.Must("250 ", "RCPT TO:<%s>", x.ann)
	old.Must("354", "DATA")
	old.Send(text("a@far.test", x.ann, "over-reload") + ".\r\n")
	old.Want("250 ")
	if hello := old.Must("250", "EHLO again"); !strings.Contains(hello, "RCPTMAX=100") {
		t.Errorf("the old session has %q", hello)
	}
	if lines := oldIMAP.IMAPOK("NOOP"); !strings.Contains(strings.Join(lines, "\n"), "* 1 EXISTS") {
		t.Errorf("the old session is told %q", lines)
	}

	good, err := os.ReadFile(x.Config)
	if err != nil {
		t.Fatal(err)
	}
	for name, fault := range map[string]string{
		"value": strings.Replace(string(good), "smtp.recipients = 200", "smtp.recipients = 1", 1),
		"key":   string(good) + "smtp.recipient = 300\n",
		"key file": strings.Replace(strings.Replace(string(good), `mx.one.test.key"`, `nowhere.key"`, 1),
			"smtp.recipients = 200", "smtp.recipients = 300", 1),
		"text": "hostname = \n[[[",
		"gone": "",
	} {
		if fault == "" {
			err = os.Remove(x.Config)
		} else {
			err = os.WriteFile(x.Config, []byte(fault), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
		reload("the configuration was not reloaded, what ran before goes on")
		if hello := x.SMTP(t).Hello; !strings.Contains(hello, "RCPTMAX=200") {
			t.Errorf("after a fault in the %s: %q", name, hello)
		}
	}
	if err := os.WriteFile(x.Config, good, 0o644); err != nil {
		t.Fatal(err)
	}
	x.works(t)
	// A server that was reloaded stops as well as any other, with sessions of
	// before and after.
	x.Signal(t, syscall.SIGTERM)
	old.Want("421 4.3.2 ")
	if line := oldIMAP.Line(); !strings.HasPrefix(line, "* BYE") {
		t.Errorf("IMAP at the stop: %q", line)
	}
	x.WaitEnd(t)
}

// TestStop: who is idle is sent away at once, who is within a message may end
// it, and after the time of grace nobody is waited for.
func TestStop(t *testing.T) {
	t.Parallel()
	x := newTarget(t, "127.80.131", nil)
	idle, busy, reader, pop := x.SMTP(t), x.SMTP(t), x.IMAP(t, x.eve), x.Dial(t, 110)
	pop.Line()
	busy.Envelope(world.Letter{From: "a@far.test", To: []string{x.ann}})
	busy.Must("354", "DATA")
	busy.Send("Subject: last\r\n\r\nhalf")
	x.Signal(t, syscall.SIGTERM)
	idle.Want("421 4.3.2 ")
	if line := reader.Line(); !strings.HasPrefix(line, "* BYE") {
		t.Errorf("IMAP: %q", line)
	}
	if line := pop.Line(); !strings.HasPrefix(line, "-ERR [SYS/TEMP]") {
		t.Errorf("POP3: %q", line)
	}
	world.Wait(t, "the door to close", func() bool {
		c, err := net.DialTimeout("tcp", x.Address+":25", time.Second)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	busy.Send(" and half\r\n.\r\n")
	busy.Want("250 2.0.0 ")
	busy.Want("421 4.3.2 ")
	x.WaitEnd(t)
	x.Start(t)
	x.WaitMail(t, x.ann, "half and half")

	// Who does not end is cut off.
	x.Configure(t, map[string]string{"stop_grace": `"1s"`})
	x.Stop(t)
	x.Start(t)
	busy = x.SMTP(t)
	busy.Envelope(world.Letter{From: "a@far.test", To: []string{x.ann}})
	busy.Must("354", "DATA")
	busy.Send("Subject: never\r\n\r\n")
	x.Stop(t)
	no(t, "after the end", busy.Rest(), "250")
	x.Start(t)
	if got := len(x.Inbox(t, x.ann)); got != 1 {
		t.Errorf("%d messages are stored", got)
	}
}

// TestLogInjection: threat I12. What strangers say can begin no line of the log
// or the journal, and changes no terminal.
func TestLogInjection(t *testing.T) {
	t.Parallel()
	x := newTarget(t, "127.80.132", map[string]string{"smtp.error_delay": `"0s"`})
	const evil = "\r\ntime=2026 level=ERROR msg=forged \x1b[31m\x07\u202e\x9b2J"
	oneLine := strings.ReplaceAll(strings.ReplaceAll(evil, "\r", ""), "\n", "")

	c := x.SMTP(t)
	c.Ask("EHLO x%s", oneLine)
	c.Ask("HELO [%s]", oneLine)
	c.Ask("MAIL FROM:<\"%s\"@far.test> SMTPUTF8", oneLine)
	c.Ask("MAIL FROM:<\"\x1b[31m\"@far.test>")
	c.Ask("VRFY %s", oneLine)
	c.Ask("MAIL FROM:<\"\u202emsg=forged\"@far.test> SMTPUTF8 ENVID=x+0Ay")
	c.Ask("RSET")
	c.Must("250 ", "MAIL FROM:<a@far.test>")
	c.Ask("RCPT TO:<\"%s\"@one.test>", oneLine)
	c.Ask("RCPT TO:<nobody\x1b@one.test>")
	c.Must("250 ", "RCPT TO:<%s>", x.ann)
	c.Must("354", "DATA")
	c.Send("Message-ID: <\x1b[31m\x07" + "msg=forged@x>\r\nSubject: \x1b[31m\r\n\r\nx\r\n.\r\n")
	c.Want("250 ")

	c = x.World.Dial(t, x.World.Address(), x.Address+":587", x.Host).Greet()
	c.Must("5", "AUTH PLAIN %s", world.Plain(x.ann+evil, "wrong"+evil))
	c.Must("5", "AUTH %s", oneLine)
	c = x.World.Dial(t, x.World.Address(), x.Address+":143", x.Host)
	c.Line()
	c.Send("\x1b[31m LOGIN a b\r\n")
	c.Line()
	c.IMAP("ID (\"name\" {%d+}\r\n%s)", len(evil), evil)
	c.IMAP("LOGIN {%d+}\r\n%s x", len(evil), evil)
	c = x.World.Dial(t, x.World.Address(), x.Address+":110", x.Host)
	c.Line()
	c.Send("USER " + oneLine + "\r\nPASS x\r\n" + oneLine + "\r\n")
	c.Line()
	c.Line()
	x.works(t)

	journal := x.Run(t, "journal", "--since", "1h") + x.Run(t, "journal", "--since", "1h", "--json")
	for what, got := range map[string]string{"the log": x.Log(), "the journal": journal} {
		for _, line := range strings.Split(got, "\n") {
			if strings.HasPrefix(line, "time=2026 ") || strings.ContainsAny(line, "\x1b\x07\r\u202e") || strings.Contains(line, "\x9b") {
				t.Errorf("%s has the line %q", what, line)
			}
		}
		no(t, what, got, "wrong\\r", world.Password, world.Plain(x.ann, world.Password))
	}
}
