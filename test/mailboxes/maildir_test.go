// Package mailboxes tests from end to end mail in files that other programs use
// too: Dovecot before, after and beside plic, delivery agents, mutt.
package mailboxes

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"plic/test/peers"
	"plic/test/world"
)

var binary string

func TestMain(m *testing.M) { os.Exit(world.Main(m, &binary)) }

// letter is a message in the form in which programs of Unix hand it over.
func letter(subject string) string {
	return fmt.Sprintf("From: Ann <ann@peer.test>\nTo: bob@plic.test\nSubject: %s\nMessage-ID: <%s@peer.test>\n\nAbout %s.\n", subject, subject, subject)
}

func crlf(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") }

// dovecot is a real Dovecot over Maildirs, in which users have whole addresses.
type dovecot struct {
	*peers.Dovecot
	t       *testing.T
	w       *world.World
	running bool
}

func newDovecot(t *testing.T, w *world.World) *dovecot {
	d := &dovecot{t: t, w: w, Dovecot: &peers.Dovecot{
		Dir: filepath.Join(w.Dir, "dovecot"), Address: w.Host(t, "dovecot.test"), Password: "secret", Format: "maildir",
		Settings: "namespace inbox {\n  separator = /\n}\nprotocol lmtp {\n  postmaster_address = postmaster@plic.test\n}\n",
	}}
	t.Cleanup(d.end)
	return d
}

func (d *dovecot) begin() {
	d.t.Helper()
	if err := d.Start(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
	d.running = true
}

func (d *dovecot) end() {
	if d.running {
		d.running = false
		if err := d.Stop(); err != nil {
			d.t.Error(err)
		}
	}
	if d.t.Failed() {
		d.t.Log(d.Log())
	}
}

func (d *dovecot) imap(who string) *world.Conn {
	d.t.Helper()
	c := d.w.Dial(d.t, "", d.Address+":143", "dovecot.test")
	c.Line()
	c.IMAPOK("LOGIN %s %s", who, d.Password)
	return c
}

func (d *dovecot) maildir(who string) string { return filepath.Join(d.Dir, "mail", who) }

// site is a plic that has its mail in the same Maildirs.
func (d *dovecot) site() *world.Plic {
	d.t.Helper()
	return d.w.Plic(d.t, world.Site{Host: "mx.plic.test", Domain: "plic.test", Settings: map[string]string{
		"mailboxes.place": `"maildir:` + d.Dir + `/mail/%u"`,
	}})
}

var (
	sizes   = regexp.MustCompile(`RFC822.SIZE \d+`)
	recents = regexp.MustCompile(`\\Recent ?| ?\\Recent`)
)

// view is all that a client has of an account: its mailboxes, what is subscribed,
// and of each mailbox UIDVALIDITY, UIDNEXT and each message.
func view(c *world.Conn) string {
	var out []string
	for _, line := range c.IMAPOK(`LSUB "" "*"`) {
		if _, name, ok := strings.Cut(line, `"/" `); ok {
			out = append(out, "subscribed "+strings.Trim(name, `"`))
		}
	}
	sort.Strings(out)
	var names []string
	for _, line := range c.IMAPOK(`LIST "" "*"`) {
		if _, name, ok := strings.Cut(line, `"/" `); ok && !strings.Contains(strings.ToLower(line), `\noselect`) {
			names = append(names, strings.Trim(name, `"`))
		}
	}
	sort.Strings(names)
	for _, name := range names {
		out = append(out, name+":")
		for _, line := range c.IMAPOK("EXAMINE %q", name) {
			if m := regexp.MustCompile(`UIDVALIDITY \d+|UIDNEXT \d+|\d+ EXISTS`).FindString(line); m != "" {
				out = append(out, "  "+m)
			}
		}
		if slices.Contains(out[len(out)-3:], "  0 EXISTS") {
			continue
		}
		for _, line := range c.IMAPOK("UID FETCH 1:* (UID FLAGS RFC822.SIZE BODY.PEEK[])") {
			if strings.Contains(line, "FETCH (") {
				out = append(out, "  "+message(line))
			}
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return false })
	return strings.Join(out, "\n")
}

// message is a FETCH response with its flags in order.
func message(line string) string {
	uid := regexp.MustCompile(`UID \d+`).FindString(line)
	flags := strings.Fields(recents.ReplaceAllString(regexp.MustCompile(`FLAGS \(([^)]*)\)`).FindStringSubmatch(line)[1], ""))
	sort.Strings(flags)
	_, body, _ := strings.Cut(line, "}\r\n")
	return fmt.Sprintf("%s %v %s %q", uid, flags, sizes.FindString(line), strings.TrimSuffix(body, ")"))
}

func same(t *testing.T, what, got, want string) {
	t.Helper()
	if got == want {
		return
	}
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(g), len(w)) {
		a, b := at(g, i), at(w, i)
		if a != b {
			t.Fatalf("%s, line %d: there is\n%s\nnot\n%s\nin all\n%s", what, i, a, b, got)
		}
	}
}

func at(list []string, i int) string {
	if i < len(list) {
		return list[i]
	}
	return ""
}

// TestDovecotAndBack hands the Maildir of a real Dovecot to plic, which changes
// it, and back: no client of either has to download anything again.
func TestDovecotAndBack(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.97.1")
	d := newDovecot(t, w)
	const who = "bob@plic.test"
	d.begin()
	c := d.imap(who)
	for _, name := range []string{"Drafts", "Sent", "Sent/2024", "Junk", "Trash", "Archive", "Entw&APw-rfe", "a&-b"} {
		c.IMAPOK("CREATE %q", name)
	}
	for _, name := range []string{"INBOX", "Sent/2024", "Entw&APw-rfe", "nowhere"} {
		c.IMAP("SUBSCRIBE %q", name)
	}
	for i := range 10 {
		text := crlf(letter(fmt.Sprint("d", i)))
		c.IMAPOK("APPEND %s (%s) {%d+}\r\n%s", []string{"INBOX", "Sent/2024"}[i%2], []string{`\Seen $Forwarded`, `\Flagged Work`, ""}[i%3], len(text), text)
	}
	c.IMAPOK("SELECT INBOX")
	c.IMAPOK(`STORE 2 +FLAGS (\Deleted)`)
	c.IMAPOK("EXPUNGE")
	c.IMAPOK("UNSELECT")
	before := view(c)
	c.IMAPOK("LOGOUT")
	d.end()

	p := d.site()
	p.Account(t, "bob")
	c = p.IMAP(t, who)
	same(t, "plic after Dovecot", view(c), before)
	c.IMAPOK("SELECT INBOX")
	c.IMAPOK(`STORE 1 +FLAGS (\Answered Later $Junk)`)
	c.IMAPOK(`STORE 2 -FLAGS (\Seen)`)
	c.IMAPOK(`STORE 3 +FLAGS (\Deleted)`)
	c.IMAPOK("EXPUNGE")
	c.IMAPOK("MOVE 3 Sent/2024")
	c.IMAPOK("COPY 1 Archive")
	for _, text := range []string{crlf(letter("p0")), crlf(letter("p1"))} {
		c.IMAPOK("APPEND Sent/2024 (\\Seen Later) {%d+}\r\n%s", len(text), text)
		c.IMAPOK("APPEND INBOX {%d+}\r\n%s", len(text), text)
	}
	c.IMAPOK("CREATE Lists/fresh")
	c.IMAPOK("RENAME Sent/2024 Sent/2025")
	c.IMAPOK("SUBSCRIBE Lists/fresh")
	c.IMAPOK("UNSUBSCRIBE nowhere")
	post := p.SMTP(t)
	post.Deliver(world.Letter{From: "ann@peer.test", To: []string{who}, Text: crlf(letter("smtp"))})
	if got := p.WaitMail(t, who, "About smtp"); !strings.Contains(got, "Received: ") {
		t.Errorf("delivered was %q", got)
	}
	after := view(c)
	c.IMAPOK("LOGOUT")
	p.Stop(t)

	d.begin()
	c = d.imap(who)
	same(t, "Dovecot after plic", view(c), after)
	c.IMAPOK("LOGOUT")
}

// TestBesideDovecot has both serve one Maildir at the same time.
func TestBesideDovecot(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.97.2")
	d := newDovecot(t, w)
	const who = "bob@plic.test"
	d.begin()
	p := d.site()
	p.Account(t, "bob")
	theirs, ours := d.imap(who), p.IMAP(t, who)
	theirs.IMAPOK("SELECT INBOX")
	ours.IMAPOK("SELECT INBOX")
	const each = 15
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range each {
			text := crlf(letter(fmt.Sprint("theirs", i)))
			theirs.IMAPOK("APPEND INBOX {%d+}\r\n%s", len(text), text)
		}
	}()
	for i := range each {
		text := crlf(letter(fmt.Sprint("ours", i)))
		ours.IMAPOK("APPEND INBOX {%d+}\r\n%s", len(text), text)
	}
	<-done
	for i := range each {
		theirs.IMAPOK("STORE %d +FLAGS (Theirs)", 2*i+1)
		ours.IMAPOK(`STORE %d +FLAGS (\Flagged)`, 2*i+1)
	}
	theirs.IMAPOK("CLOSE")
	theirs.IMAPOK("CREATE Drafts2")
	text := view(theirs)
	if n := strings.Count(text, "Theirs"); n < each {
		t.Errorf("%d messages have the keyword of Dovecot's client", n)
	}
	world.Wait(t, "both to show the same", func() bool { return inboxOf(view(ours)) == inboxOf(view(theirs)) })
	if n := strings.Count(inboxOf(text), "  UID "); n != 2*each {
		t.Errorf("there are %d messages, not %d", n, 2*each)
	}
}

// inboxOf is the part of a view that is about INBOX.
func inboxOf(text string) string {
	_, rest, _ := strings.Cut(text, "INBOX:\n")
	var lines []string
	for line := range strings.SplitSeq(rest, "\n") {
		if !strings.HasPrefix(line, " ") {
			break
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// idler is a client that idles.
type idler struct {
	*world.Conn
	t *testing.T
}

func idle(t *testing.T, p *world.Plic, who string) idler {
	t.Helper()
	c := p.IMAP(t, who)
	c.IMAPOK("SELECT INBOX")
	c.Send("i IDLE\r\n")
	for !strings.HasPrefix(c.Line(), "+ ") {
	}
	return idler{c, t}
}

// hear waits for a line of the server's.
func (i idler) hear(pattern string) {
	i.t.Helper()
	begin := time.Now()
	for re := regexp.MustCompile(pattern); ; {
		if line := i.Line(); re.MatchString(line) {
			i.t.Logf("%q was told of after %v", line, time.Since(begin).Round(time.Millisecond))
			return
		}
	}
}

// as runs a program as the owner of the mail.
func as(t *testing.T, stdin string, name string, args ...string) {
	t.Helper()
	cmd := exec.Command("setpriv", append([]string{"--reuid=mail", "--regid=mail", "--clear-groups", "--", name}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=/nonexistent", "TERM=vt100", "LC_ALL=C.UTF-8"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", name, err, out)
	}
}

// TestOtherPrograms has what procmail, maildrop, Dovecot's LMTP and mutt do
// appear to a client that idles, and theirs see what plic does.
func TestOtherPrograms(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.97.3")
	for _, name := range []string{"procmail", "maildrop", "mutt", "script", "setpriv"} {
		if _, err := exec.LookPath(name); err != nil {
			world.Missing(t, name+" is not installed")
		}
	}
	d := newDovecot(t, w)
	d.begin()
	const who = "bob@plic.test"
	p := d.site()
	p.Account(t, "bob")
	i := idle(t, p, who)
	box := d.maildir(who)
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := exec.Command("ls", "-l", box+"/new", box+"/cur", box+"/tmp").CombinedOutput()
			t.Logf("%s", out)
		}
	})

	rc := filepath.Join(d.Dir, "mail", "rc")
	write(t, rc, "MAILDIR="+box+"\nDEFAULT="+box+"/\n")
	as(t, letter("procmail"), "procmail", rc)
	i.hear(`^\* 1 EXISTS`)
	write(t, rc, "to \""+box+"\"\n")
	as(t, letter("maildrop"), "maildrop", rc)
	i.hear(`^\* 2 EXISTS`)
	c := w.Dial(t, "", d.Address+":24", "dovecot.test")
	c.Want("220 ")
	c.Must("250", "LHLO client.test")
	c.Must("250", "MAIL FROM:<ann@peer.test>")
	c.Must("250", "RCPT TO:<%s>", who)
	c.Must("354", "DATA")
	c.Must("250", "%s.", crlf(letter("lmtp")))
	i.hear(`^\* 3 EXISTS`)

	write(t, rc, "set folder="+box+" mbox_type=Maildir spoolfile="+box+" header_cache='' sort=reverse-subject resolve=no quit=yes delete=yes confirmappend=no wait_key=no mark_old=no beep=no\n")
	typing := "<first-entry><flag-message><next-entry><set-flag>r<last-entry><delete-message><quit>"
	as(t, "", "script", "-qec", "mutt -n -F "+rc+" -f "+box+" -e 'push \""+typing+"\"'", "/dev/null")
	if names, err := filepath.Glob(box + "/*/*:2,*F*"); err != nil || len(names) != 1 {
		t.Fatalf("mutt flagged %v, %v", names, err)
	}
	i.hear(`^\* 1 FETCH .*\\Flagged`)
	i.hear(`^\* 2 FETCH .*\\Answered|^\* \d EXPUNGE`)
	i.Send("DONE\r\n")
	for !strings.HasPrefix(i.Line(), "i OK") {
	}
	got := i.Messages("INBOX")
	if len(got) != 2 || !strings.Contains(got[0], "About procmail.\r\n") || !strings.Contains(got[1], "About maildrop.\r\n") {
		t.Errorf("there is %q", got)
	}
	i.IMAPOK("SELECT INBOX")
	i.IMAPOK(`STORE 2 +FLAGS (\Seen)`)
	names, err := filepath.Glob(box + "/cur/*:2,*S")
	if err != nil || len(names) != 1 {
		t.Errorf("as read are marked %v, %v", names, err)
	}
	pop := p.Dial(t, 110)
	pop.Line()
	pop.Send("STLS\r\n")
	pop.Line()
	pop.Handshake()
	pop.Send("USER " + who + "\r\nPASS " + world.Password + "\r\nSTAT\r\n")
	pop.Line()
	pop.Line()
	if line := pop.Line(); !strings.HasPrefix(line, "+OK 2 ") {
		t.Errorf("POP3 says %q", line)
	}
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	give(t, name)
}

// give makes a file that of the owner of the mail.
func give(t *testing.T, name string) {
	t.Helper()
	u, err := user.Lookup("mail")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	if err := os.Chown(name, uid, gid); err != nil {
		t.Fatal(err)
	}
}
