// Package routing tests from end to end where mail goes when an administrator
// has a say in it: tables, stores of others, programs, forwarding, and the
// programs of this host that hand mail in as they did to sendmail.
package routing

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plic/internal/deliver/delivertest"
	"plic/internal/journal"
	"plic/test/peers"
	"plic/test/world"
)

var binary string

func TestMain(m *testing.M) { os.Exit(world.Main(m, &binary)) }

// text is a message with a subject that no other has.
func text(from, to, subject string) string {
	return fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: %s\r\nMessage-ID: <%s@test>\r\n\r\nHello.\r\n.\r\nFrom here\r\n", from, to, subject, subject)
}

// post sends a message from a stranger's host.
func post(t *testing.T, p *world.Plic, from, to, subject string) string {
	t.Helper()
	c := p.SMTP(t)
	defer c.Close()
	return c.Deliver(world.Letter{From: from, To: []string{to}, Text: text(from, to, subject)})
}

// submit sends one from an account.
func submit(t *testing.T, p *world.Plic, from, to, subject string) string {
	t.Helper()
	c := p.Submission(t, from)
	defer c.Close()
	return c.Deliver(world.Letter{From: from, To: []string{to}, Text: text(from, to, subject)})
}

func has(t *testing.T, what, got string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(got, part) {
			t.Errorf("%s lacks %q:\n%s", what, part, got)
		}
	}
}

// Real Dovecot is the store: mail reaches it by LMTP, at a socket and at a port,
// with an answer for each recipient.
func TestDovecotIsTheStore(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.80.141")
	d := &peers.Dovecot{Dir: w.Dir + "/d", Address: w.Address(), Password: "secret", Format: "maildir", Settings: `
service lmtp {
  unix_listener ` + w.Dir + `/lmtp {
    mode = 0666
  }
}
recipient_delimiter = +
plugin {
  quota = count:User quota
  quota_vsizes = yes
  quota_rule = *:storage=1M
  quota_rule2 = Trash:ignore
  quota_grace = 0
}
mail_plugins = quota
`}
	if err := d.Start(t.Context()); err != nil {
		world.Missing(t, err.Error())
	}
	t.Cleanup(func() { d.Stop() })
	p := w.Plic(t, world.Site{Host: "mx.here.test", Domain: "here.test", Settings: map[string]string{
		"route.relay_domains":    `{"socket.test" = "dovecot", "port.test" = "dovecot"}`,
		"route.relay_recipients": `{"bob@socket.test" = "", "full@socket.test" = "", "@port.test" = ""}`,
		"route.transports":       `{"socket.test" = "lmtp:unix:` + w.Dir + `/lmtp", "port.test" = "lmtp:` + d.Address + `:24"}`,
	}})
	mails := func(user string) string {
		var all strings.Builder
		for _, dir := range []string{"new", "cur"} {
			files, _ := filepath.Glob(filepath.Join(d.Dir, "mail", user, dir, "*"))
			for _, name := range files {
				text, _ := os.ReadFile(name)
				all.Write(text)
			}
		}
		return all.String()
	}
	post(t, p, "eve@there.test", "bob@socket.test", "by-socket")
	post(t, p, "eve@there.test", "carl+x@port.test", "by-port")
	world.Wait(t, "Dovecot to have both", func() bool {
		return strings.Contains(mails("bob@socket.test"), "by-socket") && strings.Contains(mails("carl@port.test"), "by-port")
	})
	has(t, "the message", mails("bob@socket.test"), "Return-Path: <eve@there.test>", "Delivered-To: bob@socket.test", "by mx.here.test with ESMTP", "\nHello.\n.\nFrom here\n")

	c := p.SMTP(t)
	c.Must("250 ", "MAIL FROM:<eve@there.test>")
	c.Must("550 5.1.1", "RCPT TO:<nobody@socket.test>")
	// One recipient's mailbox is full; the other gets the message, once.
	c.Must("250 ", "RCPT TO:<bob@socket.test>")
	c.Must("250 ", "RCPT TO:<full@socket.test>")
	ann := p.Account(t, "ann")
	s := p.Submission(t, ann)
	s.Deliver(world.Letter{From: ann, To: []string{"full@socket.test"}, Text: text(ann, "full@socket.test", "fill") + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 12000)})
	world.Wait(t, "a mailbox to fill", func() bool { return strings.Contains(mails("full@socket.test"), "fill") })
	big := strings.Repeat(strings.Repeat("y", 70)+"\r\n", 4000)
	id := s.Deliver(world.Letter{From: ann, To: []string{"bob@socket.test", "full@socket.test"}, Text: text(ann, "bob@socket.test", "divided") + big})
	world.Wait(t, "one of two to arrive", func() bool { return strings.Contains(mails("bob@socket.test"), "divided") })
	has(t, "the answer for the other", p.WaitMail(t, ann, "Content-Type: multipart/report"), "full@socket.test", "5.2.2")
	if got := strings.Count(mails("bob@socket.test"), "Subject: divided"); got != 1 {
		t.Errorf("bob has it %d times", got)
	}
	has(t, "plic journal", p.Run(t, "journal", id), "relayed", "bounce")
	has(t, "plic route", p.Run(t, "route", "bob@socket.test"), "lmtp:unix:"+w.Dir+"/lmtp", "goes by lmtp to unix:"+w.Dir+"/lmtp")
}

// Aliases lead to programs and files of this host; no program runs as root, and
// none sees a shell.
func TestProgramsAndFiles(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.80.142")
	dir := filepath.Join(w.Dir, "out")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n{ echo \"$# $*\"; id -un; cat; } > "+dir+"/got.$1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	aliases := filepath.Join(w.Dir, "aliases")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(aliases, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("prog: \"|" + script + " alias 'a b'\"\nbox: " + dir + "/box\nbroken: |/none/such\n")
	p := w.Plic(t, world.Site{Host: "mx.here.test", Domain: "here.test", Settings: map[string]string{
		"route.aliases": `"aliases:` + aliases + `"`, "route.commands": `{"vac" = "user=nobody dir=/ ` + script + ` named ${recipient} ${sender}"}`,
		"route.transports": `{"prog.test" = "pipe:vac"}`, "route.relay_domains": `{"prog.test" = ""}`,
	}})
	got := func(name string) string { text, _ := os.ReadFile(filepath.Join(dir, name)); return string(text) }
	post(t, p, "eve@there.test", "prog@here.test", "to-prog")
	post(t, p, "eve@there.test", "box@here.test", "to-box")
	post(t, p, "$HOME`id`@there.test", "bob+x@prog.test", "to-named")
	world.Wait(t, "a program of an alias", func() bool { return strings.Contains(got("got.alias"), "From here") })
	world.Wait(t, "a program by name", func() bool { return strings.Contains(got("got.named"), "From here") })
	world.Wait(t, "a file", func() bool { return strings.Contains(got("box"), "From here") })
	has(t, "the alias's program", got("got.alias"), "2 alias a b\nnobody\nFrom eve@there.test ", "\nReturn-Path: <eve@there.test>\nDelivered-To: prog@here.test\n", "Subject: to-prog\n")
	has(t, "the named program", got("got.named"), "3 named bob+x@prog.test $HOME`id`@there.test\nnobody\nReturn-Path: <$HOME`id`@there.test>\n")
	has(t, "the file", got("box"), "From eve@there.test ", "Subject: to-box\n", "\n>From here\n")

	// A fault of the set-up waits until it is mended; the file is read anew.
	id := post(t, p, "eve@there.test", "broken@here.test", "to-broken")
	if e := p.WaitJournal(t, id, journal.Defer); !strings.HasPrefix(e.Status, "451 4.3.5") {
		t.Errorf("deferred with %+v", e)
	}
	write("prog: \"|" + script + " second\"\n")
	world.Wait(t, "the changed alias", func() bool { return strings.Contains(p.Run(t, "route", "prog@here.test"), "second") })
	post(t, p, "eve@there.test", "prog@here.test", "second")
	world.Wait(t, "the other program", func() bool { return strings.Contains(got("got.second"), "Subject: second") })
}

// A strange recipient never becomes a program, a file or a way through us,
// whoever asks and before or after a failed login.
func TestNoWayThrough(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.80.143")
	ext := w.Sink(t, "mx.ext.test", nil)
	w.Sink(t, "mx.relay.test", nil)
	p := w.Plic(t, world.Site{Host: "mx.us.test", Domain: "us.test", Settings: map[string]string{
		"route.relay_domains": `{"relay.test" = ""}`,
		"route.aliases":       `{"@moved.us.test" = "@ext.test", "alias@us.test" = "ann@us.test"}`,
		"route.local_domains": `{"moved.us.test" = ""}`,
	}})
	ann := p.Account(t, "ann")
	strange := []string{"<@us.test,@mx.us.test:u@ext.test>", "<u%ext.test@us.test>", `<"u@ext.test"@us.test>`, `<"u%ext.test"@us.test>`, "<ext.test!u@us.test>",
		"<u@ext.test@us.test>", "<u@[" + p.Address + "]>", "<u@ext.test.>", "<u+x@ext.test@alias>", "<u@ext.test>", "<u%ext.test@mx.us.test>", "<u%ext.test@relay.test>",
		`<"u@ext.test"@relay.test>`, "<ext.test!u@relay.test>", "<u%other@moved.us.test>", `<"|/bin/sh"@us.test>`, `<"/etc/passwd"@us.test>`, `<":include:/etc/passwd"@us.test>`}
	for _, failed := range []bool{false, true} {
		for _, from := range []string{"", "eve@ext.test", ann, "x@us.test"} {
			for _, data := range []string{"DATA", "BDAT 5 LAST\r\nx\r\n\r\n"} {
				for _, to := range strange {
					c := p.SMTP(t)
					if failed {
						c.Ask("AUTH PLAIN %s", world.Plain(ann, "wrong"))
					}
					c.Must("250 ", "MAIL FROM:<%s>", from)
					if reply := c.Ask("RCPT TO:%s", to); reply[0] != '5' && reply[0] != '4' {
						t.Errorf("from %q to %s: %q", from, to, reply)
					}
					if reply := c.Ask("%s", data); reply[0] != '5' {
						t.Errorf("from %q to %s, %.4s: %q", from, to, data, reply)
					}
					c.Close()
				}
				if failed {
					break // more would only be slowed down
				}
			}
		}
	}
	// What may pass, does: the queue holds nothing else.
	post(t, p, "eve@there.test", "fine@moved.us.test", "moved")
	if m := ext.Wait(t, 1); len(m) != 1 || m[0].To[0] != "<fine@ext.test>" {
		t.Errorf("it has %+v", m)
	}
	world.Wait(t, "an empty queue", func() bool { return len(p.Queue(t)) == 0 })
	if got := len(ext.Messages()); got != 1 {
		t.Errorf("%d messages got out", got)
	}
}

// As a backup MX we send on to better exchangers only, and find out when mail
// comes back to us.
func TestBackupMX(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.80.144")
	best := w.DownSink(t, "mx1.backed.test", nil)
	worse := w.Sink(t, "mx3.elsewhere.test", nil)
	p := w.Plic(t, world.Site{Host: "mx2.us.test", Domain: "us.test", Settings: map[string]string{
		"route.relay_domains":    `{"backed.test" = "", "loop.test" = ""}`,
		"route.relay_recipients": `{"@backed.test" = "", "@loop.test" = ""}`,
	}})
	w.MX(t, "backed.test", 20, "mx2.us.test")
	w.MX(t, "backed.test", 30, "mx3.elsewhere.test")
	w.MX(t, "loop.test", 10, "mx2.us.test")
	w.MX(t, "loop.test", 20, "mx3.elsewhere.test")
	id := post(t, p, "eve@there.test", "bob@backed.test", "backed")
	p.WaitJournal(t, id, journal.Defer)
	best.Up(t)
	best.Wait(t, 1)
	if worse.Connections() > 0 {
		t.Error("a worse exchanger was reached, which would send it back")
	}
	ann := p.Account(t, "ann")
	submit(t, p, ann, "bob@loop.test", "loop")
	has(t, "the report", p.WaitMail(t, ann, "Content-Type: multipart/report"), "Status: 5.4.6", "loops back")
	if worse.Connections() > 0 {
		t.Error("a worse exchanger was reached")
	}
}

// A forwarded message passes SPF as ours, and what comes of it comes home.
func TestForwardedAndBack(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.80.145")
	one := w.Plic(t, world.Site{Host: "mx.one.test", Domain: "one.test", Settings: map[string]string{"rewrite.srs_domain": `"one.test"`}})
	two := w.Plic(t, world.Site{Host: "mx.two.test", Domain: "two.test", Settings: map[string]string{"rewrite.srs_domain": `"two.test"`}})
	author := w.Plic(t, world.Site{Host: "mx.author.test", Domain: "author.test"})
	refusing := w.Sink(t, "mx.end.test", &delivertest.Remote{On: world.Always("RCPT", "550 5.1.1 nobody of that name")})
	eve := author.Account(t, "eve")
	one.Alias(t, "first@one.test", "second@two.test")
	two.Alias(t, "second@two.test", "nobody@end.test")
	submit(t, author, eve, "first@one.test", "there-and-back")
	report := author.WaitMail(t, eve, "Content-Type: multipart/report")
	has(t, "the report", report, "nobody of that name", "Subject: there-and-back", "first@one.test")
	if !refusing.Said("MAIL FROM:<SRS1=") {
		t.Errorf("the last host was told %q", refusing.Commands())
	}
	for _, p := range []*world.Plic{one, two, author} {
		world.Wait(t, "an empty queue of "+p.Host, func() bool { return len(p.Queue(t)) == 0 })
	}
}

// A sender's mail goes by his smart host with his password, from an address that
// is his; header rules, copies and canonical forms apply.
func TestBySender(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.80.146") // tables are asked for the sender's canonical form
	smart := w.Sink(t, "mx.smart.test", &delivertest.Remote{TLS: w.ServerTLS(t, "mx.smart.test"), Extensions: []string{"AUTH PLAIN LOGIN"}})
	direct := w.Sink(t, "mx.there.test", nil)
	source := w.Address()
	secrets := filepath.Join(w.Dir, "logins")
	if err := os.WriteFile(secrets, []byte("ann@here.test login:"+delivertest.Password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	rules := filepath.Join(w.Dir, "rules")
	if err := os.WriteFile(rules, []byte("/^subject: forbidden/ refuse 5.7.1 not that\n/^subject: secret/ replace Subject: (none)\n/^subject: hold/ hold\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := w.Plic(t, world.Site{Host: "mx.here.test", Domain: "here.test", Settings: map[string]string{
		"route.smart_hosts": `{"ann@here.test" = "[mx.smart.test]:25"}`, "route.logins": `"file:` + secrets + `"`,
		"route.source_addresses": `{"bob.bond@here.test" = "` + source + `"}`, "route.header_rules": `"regexp:` + rules + `"`,
		"route.sender_bcc": `{"bob.bond@here.test" = "archive@here.test"}`, "rewrite.sender_canonical": `{"bob@here.test" = "Bob.Bond@here.test"}`,
	}})
	ann, bob, archive := p.Account(t, "ann"), p.Account(t, "bob"), p.Account(t, "archive")
	p.Alias(t, "bob.bond@here.test", bob)
	submit(t, p, ann, "x@there.test", "by-smart-host")
	if m := smart.Wait(t, 1)[0]; m.User != "login" || !m.TLS || m.To[0] != "<x@there.test>" {
		t.Errorf("the smart host has %+v", m)
	}
	submit(t, p, bob, "x@there.test", "secret")
	m := direct.Wait(t, 1)[0]
	if !strings.HasPrefix(m.From, "<Bob.Bond@here.test>") {
		t.Errorf("from %s", m.From)
	}
	has(t, "the message", string(m.Data), "Subject: (none)\r\n", "From: <Bob.Bond@here.test>\r\n")
	has(t, "the archive", p.WaitMail(t, archive, "Message-ID: <secret@test>"), "Subject: (none)\r\n")
	has(t, "plic route", p.Run(t, "route", "--from", bob, "x@there.test"), "from "+source, "sender canonical", "Bob.Bond@here.test", "mx.there.test at "+direct.Address+":25")
	has(t, "plic route", p.Run(t, "route", "--from", ann, "x@there.test"), "logging in as "+ann, "login with a password")
	if strings.Contains(p.Run(t, "route", "--from", ann, "x@there.test", "--all", "--json"), delivertest.Password) {
		t.Error("plic route tells a password")
	}
	c := p.Submission(t, ann)
	if reply := c.Post(world.Letter{From: ann, To: []string{"x@there.test"}, Text: text(ann, "x@there.test", "forbidden fruit")}); !strings.HasPrefix(reply, "550 5.7.1 not that") {
		t.Errorf("by a header rule: %q", reply)
	}
	submit(t, p, bob, ann, "hold-it")
	world.Wait(t, "it to be held", func() bool { q := p.Queue(t); return len(q) == 1 && q[0].Hold })
	p.Run(t, "queue", "release", "--all")
	p.WaitMail(t, ann, "Subject: hold-it")
}
