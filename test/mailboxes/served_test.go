package mailboxes

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"plic/test/world"
)

// served is a server whose mail is in one format, and what other programs do there.
type served struct {
	kind string // native, maildir or mbox
	p    *world.Plic
	mail string // where it is; "" for native
}

// TestServed has clients do the same with mail in every format, while others put
// mail there, mark it and remove it: procmail and mutt, or for mail in the data
// directory LMTP and another session. Whatever a client can have is there in all.
func TestServed(t *testing.T) {
	t.Parallel()
	for i, kind := range []string{"native", "maildir", "mbox"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := world.New(t, binary, fmt.Sprintf("127.97.%d", 31+i))
			s := &served{kind: kind}
			settings := map[string]string{}
			switch kind {
			case "maildir":
				s.mail = filepath.Join(w.Dir, "mail")
				settings["mailboxes.place"] = fmt.Sprintf(`"maildir:%s/%%n"`, s.mail)
			case "mbox":
				s.mail = filepath.Join(w.Dir, "mail")
				settings["mailboxes.place"] = fmt.Sprintf(`"mbox:%s/%%n"`, s.mail)
			}
			s.p = w.Plic(t, world.Site{Host: "mx.plic.test", Domain: "plic.test", Settings: settings})
			for _, part := range []struct {
				name string
				do   func(t *testing.T, who string)
			}{
				{"quota", s.quota}, {"filter", s.filter}, {"standing", s.standing}, {"find", s.find}, {"told", s.told},
				{"resync", s.resync}, {"pop", s.pop}, {"shared", s.shared}, {"kept", s.kept},
			} {
				t.Run(part.name, func(t *testing.T) {
					who := s.p.Account(t, part.name)
					s.p.IMAP(t, who).IMAPOK("LOGOUT") // the first makes the mailboxes
					part.do(t, who)
				})
			}
		})
	}
}

// letter is a message for somebody.
func (s *served) letter(who, subject string) string {
	return crlf(strings.Replace(letter(subject), "bob@plic.test", who, 1))
}

// put has another program deliver a message.
func (s *served) put(t *testing.T, who, subject string) {
	t.Helper()
	text := strings.Replace(letter(subject), "bob@plic.test", who, 1)
	if s.kind == "native" {
		c := s.lmtp(t, who)
		c.Must("354", "DATA")
		c.Must("250", "%s.", crlf(text))
		c.Close()
		return
	}
	rc := filepath.Join(t.TempDir(), "rc")
	recipe := ":0\n" + s.inbox(who) + "/\n"
	if s.kind == "mbox" {
		recipe = ":0:\n" + s.inbox(who) + "\n"
	}
	if err := os.WriteFile(rc, []byte("LOGFILE=/dev/null\n"+recipe), 0o600); err != nil {
		t.Fatal(err)
	}
	program(t, "From ann@peer.test Thu Nov 26 18:25:12 2026\n"+text, "procmail", "-m", rc)
}

// lmtp begins a delivery to an account.
func (s *served) lmtp(t *testing.T, who string) *world.Conn {
	t.Helper()
	c := s.p.Dial(t, 24)
	c.Want("220 ")
	c.Must("250", "LHLO client.test")
	c.Must("250", "MAIL FROM:<ann@peer.test>")
	c.Must("250", "RCPT TO:<%s>", who)
	return c
}

func (s *served) inbox(who string) string {
	name, _, _ := strings.Cut(who, "@")
	if s.kind == "mbox" {
		return filepath.Join(s.mail, name, "inbox")
	}
	return filepath.Join(s.mail, name)
}

// mark has another program flag the message of one subject in INBOX, and remove that
// of another; "" is none.
func (s *served) mark(t *testing.T, who, flag, remove string) {
	t.Helper()
	if s.kind == "native" {
		c := s.p.IMAP(t, who)
		c.IMAPOK("SELECT INBOX")
		for _, x := range [][2]string{{flag, `\Flagged`}, {remove, `\Deleted`}} {
			if x[0] == "" {
				continue
			}
			c.IMAPOK("SEARCH RETURN (SAVE) SUBJECT %s", x[0])
			c.IMAPOK("STORE $ +FLAGS (%s)", x[1])
		}
		c.IMAPOK("EXPUNGE")
		c.IMAPOK("LOGOUT")
		return
	}
	typing := ""
	for _, x := range [][2]string{{flag, "flag"}, {remove, "delete"}} {
		if x[0] != "" {
			typing += "<search>~s " + x[0] + "<enter><" + x[1] + "-message>"
		}
	}
	mutt(t, s.kind, s.inbox(who), typing+"<quit>")
}

// mutt has mutt work on a mailbox, in the order of arrival.
func mutt(t *testing.T, kind, box, typing string) {
	t.Helper()
	rc := filepath.Join(t.TempDir(), "muttrc")
	settings := "set spoolfile=" + box + " folder=" + filepath.Dir(box) + " mbox_type=" + map[string]string{"maildir": "Maildir", "mbox": "mbox"}[kind] +
		" header_cache='' sort=mailbox-order resolve=no quit=yes delete=yes move=no confirmappend=no wait_key=no mark_old=no beep=no\n"
	if err := os.WriteFile(rc, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	program(t, "", "script", "-qec", "mutt -n -F "+rc+" -f "+box+" -e 'push \""+typing+"\"'", "/dev/null")
}

// has fails unless one of the lines matches.
func has(t *testing.T, lines []string, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		if !slices.ContainsFunc(lines, regexp.MustCompile(p).MatchString) {
			t.Errorf("nothing is like %s in %q", p, lines)
		}
	}
}

// lacks fails if one of the lines matches.
func lacks(t *testing.T, lines []string, pattern string) {
	t.Helper()
	if slices.ContainsFunc(lines, regexp.MustCompile(pattern).MatchString) {
		t.Errorf("there is %s in %q", pattern, lines)
	}
}

// manage is a session of ManageSieve that puts scripts in place; the first is active.
func (s *served) manage(t *testing.T, who string, scripts ...string) {
	t.Helper()
	c := s.p.Dial(t, 4190)
	ok := func() {
		t.Helper()
		for {
			switch line := c.Line(); {
			case strings.HasPrefix(line, "OK"):
				return
			case strings.HasPrefix(line, "NO"), strings.HasPrefix(line, "BYE"):
				t.Fatalf("ManageSieve: %s", line)
			}
		}
	}
	ok()
	c.Send("STARTTLS\r\n")
	ok()
	c.Handshake()
	ok()
	c.Send(fmt.Sprintf("AUTHENTICATE \"PLAIN\" %q\r\n", world.Plain(who, world.Password)))
	ok()
	for i, text := range scripts {
		c.Send(fmt.Sprintf("PUTSCRIPT \"script%d\" {%d+}\r\n%s\r\n", i, len(text), text))
		ok()
	}
	c.Send("SETACTIVE \"script0\"\r\n")
	ok()
}

func (s *served) append(c *world.Conn, who, box, subject string) []string {
	text := s.letter(who, subject)
	return c.IMAP("APPEND %s {%d+}\r\n%s", box, len(text), text)
}

// quota: what is beyond is refused, whoever brings it to plic; what others have put
// there counts.
func (s *served) quota(t *testing.T, who string) {
	s.p.Run(t, "account", "quota", who, "--messages", "4")
	c := s.p.IMAP(t, who)
	s.append(c, who, "INBOX", "one")
	c.IMAPOK("SELECT INBOX")
	c.IMAPOK("COPY 1 Archive")
	s.put(t, who, "two")
	has(t, c.IMAPOK("NOOP"), `2 EXISTS`)
	has(t, s.append(c, who, "Sent", "three"), "^OK")
	has(t, s.append(c, who, "INBOX", "four"), `^NO \[OVERQUOTA\]`)
	has(t, c.IMAP("COPY 1 Archive"), `^NO \[OVERQUOTA\]`)
	has(t, c.IMAP("MOVE 2 Archive"), "^OK")
	x := s.p.Dial(t, 24)
	x.Want("220 ")
	x.Must("250", "LHLO client.test")
	x.Must("250", "MAIL FROM:<ann@peer.test>")
	x.Must("452 4.2.2", "RCPT TO:<%s>", who)
	x = s.p.SMTP(t)
	x.Must("250", "MAIL FROM:<ann@peer.test>")
	x.Must("452 4.2.2", "RCPT TO:<%s>", who)
	has(t, c.IMAPOK("GETQUOTAROOT INBOX"), `MESSAGE 4 4`)
	if s.kind != "native" {
		s.put(t, who, "six")
		c.IMAPOK("SELECT INBOX")
		has(t, c.IMAPOK("GETQUOTAROOT INBOX"), `MESSAGE 5 4`)
	}
	s.p.Run(t, "account", "quota", who, "--messages", "none", "--storage", "20KiB")
	large := s.letter(who, "large") + strings.Repeat("About nothing, at length.\r\n", 1000)
	has(t, c.IMAP("APPEND INBOX {%d+}\r\n%s", len(large), large), `^NO \[OVERQUOTA\]`)
	x = s.lmtp(t, who)
	x.Must("354", "DATA")
	x.Must("552 5.2.3", "%s.", large)
	has(t, s.append(c, who, "INBOX", "seven"), "^OK")
}

// filter: a script files with flags, changes the header, drops what came already, and
// answers once.
func (s *served) filter(t *testing.T, who string) {
	ann := s.p.Account(t, "ann")
	s.manage(t, who, `require ["fileinto", "mailbox", "imap4flags", "editheader", "duplicate", "vacation"];
if duplicate { discard; stop; }
addheader "X-Sorted" "yes";
vacation :days 1 "I am away.";
if header :contains "subject" "list" { fileinto :create :flags ["\\Flagged", "work"] "Lists"; }
`)
	post := s.p.Submission(t, ann)
	for _, subject := range []string{"list-1", "list-1", "plain", "list-2"} {
		text := strings.Replace(s.letter(who, subject), "From: Ann <ann@peer.test>", "From: <"+ann+">", 1)
		post.Deliver(world.Letter{From: ann, To: []string{who}, Text: text})
	}
	c := s.p.IMAP(t, who)
	world.Wait(t, "the messages to be filed", func() bool { return len(c.Messages("Lists")) == 2 && len(c.Messages("INBOX")) == 1 })
	got := c.IMAPOK("FETCH 1 BODY.PEEK[HEADER.FIELDS (SUBJECT X-SORTED)]")
	has(t, got, `(?s)X-Sorted: yes.*Subject: plain|(?s)Subject: plain.*X-Sorted: yes`)
	c.IMAPOK("EXAMINE Lists")
	has(t, c.IMAPOK("FETCH 1:* FLAGS"), `1 FETCH .*\\Flagged`, `2 FETCH .*work`)
	s.p.WaitMail(t, ann, "I am away.")
	if n := len(s.p.Inbox(t, ann)); n != 1 {
		t.Errorf("there are %d answers", n)
	}
}

// standing: a script runs over what a client copies into a mailbox, and over what is
// there when it is asked to.
func (s *served) standing(t *testing.T, who string) {
	s.manage(t, who, "keep;", `require ["imapsieve", "environment", "imap4flags"]; if environment "imap.cause" "COPY" { addflag "$learnt"; }`)
	c := s.p.IMAP(t, who)
	c.IMAPOK("CREATE Learn")
	c.IMAPOK(`SETMETADATA Learn (/shared/imapsieve/script "script1")`)
	s.put(t, who, "one")
	s.put(t, who, "two")
	c.IMAPOK("SELECT INBOX")
	c.IMAPOK("COPY 1 Learn")
	script := `require "fileinto"; if header "subject" "two" { fileinto "Archive"; }`
	has(t, c.IMAPOK("UID FILTER SIEVE SCRIPT {%d+}\r\n%s ALL", len(script), script), `FILTERED .* OK`)
	has(t, c.IMAPOK("FETCH 1:* FLAGS"), `2 FETCH .*\\Deleted`)
	if got := c.Messages("Archive"); len(got) != 1 || !strings.Contains(got[0], "About two.") {
		t.Errorf("filed is %q", got)
	}
	c.IMAPOK("EXAMINE Learn")
	has(t, c.IMAPOK("FETCH 1 FLAGS"), `\$learnt`)
}

// find: what others deliver is found, and what they remove is not, before and after
// the index knows of it.
func (s *served) find(t *testing.T, who string) {
	for _, subject := range []string{"pear", "apple", "quince"} {
		s.put(t, who, subject)
	}
	c := s.p.IMAP(t, who)
	c.IMAPOK("SELECT INBOX")
	has(t, c.IMAPOK("SEARCH TEXT apple"), `^\* SEARCH 2$`)
	s.p.Run(t, "index", "rebuild", who)
	has(t, c.IMAPOK("SEARCH TEXT apple"), `^\* SEARCH 2$`)
	has(t, c.IMAPOK("SORT (SUBJECT) UTF-8 ALL"), `^\* SORT 2 1 3$`)
	has(t, c.IMAPOK("THREAD REFERENCES UTF-8 ALL"), `^\* THREAD \(1\)\(2\)\(3\)$`)
	s.mark(t, who, "quince", "apple")
	s.put(t, who, "medlar")
	c.IMAPOK("NOOP")
	has(t, c.IMAPOK("SEARCH TEXT apple"), `^\* SEARCH$`)
	has(t, c.IMAPOK("SEARCH BODY medlar"), `^\* SEARCH 3$`)
	has(t, c.IMAPOK("SEARCH FLAGGED TEXT quince"), `^\* SEARCH 2$`)
	has(t, c.IMAPOK("SORT (REVERSE SUBJECT) UTF-8 ALL"), `^\* SORT 2 1 3$`)
}

// told: who waits in a mailbox, or watches all, hears of what others do.
func (s *served) told(t *testing.T, who string) {
	s.put(t, who, "first")
	i := idle(t, s.p, who)
	n := s.p.IMAP(t, who)
	n.IMAPOK("NOTIFY SET STATUS (personal (MessageNew MessageExpunge FlagChange))")
	watcher := idler{n, t}
	s.put(t, who, "second")
	i.hear(`^\* 2 EXISTS`)
	watcher.hear(`^\* STATUS INBOX .*MESSAGES 2`)
	s.mark(t, who, "first", "second")
	i.hear(`^\* 1 FETCH .*\\Flagged|^\* 2 EXPUNGE`)
	watcher.hear(`^\* STATUS INBOX .*MESSAGES 1`)
}

// resync: a client that was away hears what others have done since, and no more.
func (s *served) resync(t *testing.T, who string) {
	for _, subject := range []string{"one", "two", "three"} {
		s.put(t, who, subject)
	}
	c := s.p.IMAP(t, who)
	c.IMAPOK("ENABLE QRESYNC")
	lines := strings.Join(c.IMAPOK("SELECT INBOX"), "\n")
	validity := regexp.MustCompile(`UIDVALIDITY (\d+)`).FindStringSubmatch(lines)[1]
	since := regexp.MustCompile(`HIGHESTMODSEQ (\d+)`).FindStringSubmatch(lines)[1]
	c.IMAPOK("UNSELECT")
	s.mark(t, who, "one", "two")
	s.put(t, who, "four")
	got := c.IMAPOK("SELECT INBOX (QRESYNC (%s %s))", validity, since)
	has(t, got, `VANISHED \(EARLIER\) 2$`, `1 FETCH .*UID 1 .*\\Flagged|1 FETCH .*\\Flagged.*UID 1\b`, `3 FETCH .*UID 4`)
	lacks(t, got, `UID 3\b`)
	has(t, c.IMAPOK("FETCH 1:* (FLAGS) (CHANGEDSINCE %s)", since), `1 FETCH`, `3 FETCH`)
}

// pop: mail is fetched and removed by POP3, too.
func (s *served) pop(t *testing.T, who string) {
	s.put(t, who, "one")
	s.put(t, who, "two")
	c := s.p.Dial(t, 995)
	c.Handshake()
	c.Line()
	ask := func(command, want string) {
		t.Helper()
		c.Send(command + "\r\n")
		if line := c.Line(); !strings.HasPrefix(line, want) {
			t.Errorf("%s: %q", command, line)
		}
	}
	ask("USER "+who, "+OK")
	ask("PASS "+world.Password, "+OK")
	ask("STAT", "+OK 2 ")
	ask("RETR 1", "+OK")
	text := ""
	for line := c.Line(); line != "."; line = c.Line() {
		text += line + "\r\n"
	}
	if !strings.HasSuffix(text, s.letter(who, "one")) {
		t.Errorf("POP3 gives %q", text)
	}
	ask("DELE 1", "+OK")
	ask("QUIT", "+OK")
	if got := s.p.Inbox(t, who); len(got) != 1 || !strings.Contains(got[0], "About two.") {
		t.Errorf("left is %q", got)
	}
}

// shared: another account reads and marks what it may.
func (s *served) shared(t *testing.T, who string) {
	guest := s.p.Account(t, "guest")
	s.put(t, who, "one")
	c := s.p.IMAP(t, who)
	c.IMAPOK("SETACL INBOX %s lrs", guest)
	g := s.p.IMAP(t, guest)
	box := "user/" + who + "/INBOX"
	has(t, g.IMAPOK(`LIST "" "user/*"`), box+`$`)
	g.IMAPOK("SELECT %s", box)
	s.put(t, who, "two")
	has(t, g.IMAPOK("NOOP"), `2 EXISTS`)
	has(t, g.IMAPOK(`FETCH 2 BODY.PEEK[TEXT]`), `About two`)
	g.IMAPOK(`STORE 1 +FLAGS (\Seen)`)
	has(t, g.IMAP(`STORE 1 +FLAGS (\Deleted)`), `^NO`)
	c.IMAPOK("SELECT INBOX")
	has(t, c.IMAPOK("SEARCH ALL"), `^\* SEARCH 1 2$`)
}

// kept: all is sound, and what was backed up comes back.
func (s *served) kept(t *testing.T, who string) {
	s.put(t, who, "one")
	c := s.p.IMAP(t, who)
	s.append(c, who, "Sent", "two")
	c.IMAPOK("SELECT INBOX")
	c.IMAPOK(`STORE 1 +FLAGS (\Flagged kept)`)
	s.p.Run(t, "check")
	dir := filepath.Join(s.p.World.Dir, "backup")
	s.p.Run(t, "backup", dir)
	s.p.Run(t, "backup", "verify", dir)
	before := view(c)
	c.IMAPOK("LOGOUT")
	s.p.Stop(t)
	s.p.Run(t, "repair")
	if err := os.Rename(s.p.Dir+"/data", s.p.Dir+"/lost"); err != nil {
		t.Fatal(err)
	}
	s.p.Run(t, "restore", dir)
	s.p.Start(t)
	next := regexp.MustCompile(`(?i)UIDNEXT \d+`)
	same(t, "after a restore", next.ReplaceAllString(view(s.p.IMAP(t, who)), ""), next.ReplaceAllString(before, ""))
	s.put(t, who, "three")
	if got := s.p.Inbox(t, who); len(got) != 2 {
		t.Errorf("then there is %q", got)
	}
	s.p.Run(t, "check")
}
