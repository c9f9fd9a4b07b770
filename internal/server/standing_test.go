package server

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"plic/internal/queue"
)

// talk is an IMAP session of a test.
type talk struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

// do gives a command and all that is said until its answer.
func (c *talk) do(format string, args ...any) string {
	c.t.Helper()
	command := fmt.Sprintf(format, args...)
	fmt.Fprintf(c.conn, "x %s\r\n", command)
	var all strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatalf("%s: %v after %s", command, err, all.String())
		}
		all.WriteString(line)
		if strings.HasPrefix(line, "x ") {
			return all.String()
		}
	}
}

func (c *talk) want(command string, texts ...string) string {
	c.t.Helper()
	got := c.do("%s", command)
	for _, text := range texts {
		if !strings.Contains(got, text) {
			c.t.Errorf("%s: no %q in\n%s", command, text, got)
		}
	}
	return got
}

// append puts a message into a mailbox.
func (c *talk) append(mailbox, subject string) {
	c.t.Helper()
	text := "From: x@there.test\r\nSubject: " + subject + "\r\n\r\nhello\r\n"
	c.want(fmt.Sprintf("APPEND %s {%d+}\r\n%s", mailbox, len(text), text), "x OK")
}

func overIMAP(t *testing.T) (*Server, *talk) {
	t.Helper()
	c := testConfig(t)
	c.Listen.Sieve = []string{"127.0.0.1:0"}
	s, at, _ := start(t, c)
	people := s.Operations().Directory
	for _, err := range []error{people.AddDomain(t.Context(), "here.test"), people.AddAccount(t.Context(), "ann@here.test", "password")} {
		if err != nil {
			t.Fatal(err)
		}
	}
	conn, r := dialLine(t, at["imap"])
	k := &talk{t, conn, r}
	k.want("LOGIN ann@here.test password", "x OK", "FILTER=SIEVE", "IMAPSIEVE=sieve://mx.here.test")
	return s, k
}

func (s *Server) leaves(t *testing.T) (all []string) {
	t.Helper()
	for l, err := range s.Operations().Queue.List(t.Context(), queue.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		for _, to := range l.Item.To {
			all = append(all, l.Item.Envelope.From.String()+" to "+to.Address.String())
		}
	}
	slices.Sort(all)
	return all
}

// TestFilterCommand runs scripts over messages by the wish of their reader.
func TestFilterCommand(t *testing.T) {
	t.Parallel()
	s, c := overIMAP(t)
	for i := range 4 {
		c.append("INBOX", fmt.Sprintf("number %d", i))
	}
	c.want("CREATE Two", "x OK")
	c.want("SELECT INBOX", "* 4 EXISTS")
	script := func(text string) string { return fmt.Sprintf("SCRIPT {%d+}\r\n%s", len(text), text) }

	got := c.want("UID FILTER SIEVE "+script(`require ["fileinto", "imap4flags", "variables"];
if header :contains "subject" "2" { fileinto "Two"; stop; }
if header :contains "subject" "3" { discard; }
if header :contains "subject" "1" { addflag "\\Flagged"; addflag "work"; }
if hasflag "\\Seen" { discard; }`)+" ALL", "x OK",
		"* 1 FILTERED (TAG \"x\") UID 1 OK\r\n", "* 2 FETCH (UID 2 FLAGS (\\Flagged work \\Recent))\r\n* 2 FILTERED (TAG \"x\") UID 2 OK\r\n",
		"* 3 FETCH (UID 3 FLAGS (\\Deleted", "* 4 FETCH (UID 4 FLAGS (\\Deleted")
	if strings.Contains(got, "* 1 FETCH") || strings.Count(got, "FETCH") != 3 {
		t.Errorf("what is not changed is told, or what is changed twice:\n%s", got)
	}
	c.want("STATUS Two (MESSAGES)", "(MESSAGES 1)")

	// What is sent on leaves in the owner's name; nobody is answered.
	c.want("FILTER SIEVE "+script(`require ["copy", "vacation", "reject"]; redirect :copy "eve@there.test"; vacation "away"; stop;`)+" SUBJECT \"number 0\"",
		"* 1 FILTERED (TAG \"x\") UID 1 OK\r\nx OK")
	c.want("FILTER SIEVE "+script(`require "reject"; reject "no";`)+" 2", "* 2 FILTERED (TAG \"x\") UID 2 OK")
	if got := s.leaves(t); !slices.Equal(got, []string{"ann@here.test to eve@there.test"}) {
		t.Errorf("the queue has %q", got)
	}

	// Faults, of all and of one message; they change nothing.
	c.want("FILTER SIEVE "+script(`fileinto "x";`)+" ALL", "* FILTER (TAG \"x\") ERRORS \"", "fileinto needs require", "x NO")
	c.want("FILTER SIEVE "+script(`require "imapsieve"; keep;`)+" ALL", "* FILTER (TAG \"x\") ERRORS \"", "x NO")
	c.want("FILTER SIEVE PERSONAL nothing 1", "* FILTER (TAG \"x\") ERRORS \"", "x NO")
	c.want("FILTER SIEVE GLOBAL nothing 1", "* FILTER (TAG \"x\") ERRORS \"", "x NO")
	c.want("FILTER SIEVE "+script(`require "ihave"; error "not this";`)+" 1", "* 1 FILTERED (TAG \"x\") UID 1 ERRORS \"", "not this", "x OK")
	c.want("FILTER SIEVE DELIVERY ALL", "UID 4 OK", "x OK")
	for _, wrong := range []string{"FILTER", "FILTER SIEVE", "FILTER LUA DELIVERY ALL", "FILTER SIEVE SOME ALL", "FILTER SIEVE DELIVERY", "FILTER SIEVE DELIVERY RETURN (COUNT) ALL", "FILTER SIEVE PERSONAL ALL"} {
		c.want(wrong, "x BAD")
	}
	c.want("FILTER SIEVE DELIVERY CHARSET no-such ALL", "x NO [BADCHARSET")
	c.want("EXAMINE INBOX", "x OK")
	c.want("FILTER SIEVE DELIVERY ALL", "x NO")
	c.want("SELECT INBOX", "x OK")
	c.want("STORE 1 +FLAGS.SILENT (\\Deleted)", "x OK")
	c.want("EXPUNGE", "* 1 EXPUNGE", "x OK")
	c.want("ENABLE UIDONLY", "x OK")
	c.want("FILTER SIEVE DELIVERY ALL", "x BAD [UIDREQUIRED]")
	c.want("UID FILTER SIEVE DELIVERY ALL", "* 2 FILTERED (TAG \"x\") UID 2 OK\r\n")
}

// TestEventScripts runs the script of a mailbox for what happens in it.
func TestEventScripts(t *testing.T) {
	t.Parallel()
	s, c := overIMAP(t)
	account, err := s.site.store.Account(t.Context(), "ann@here.test")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"events": `require ["imapsieve", "environment", "variables", "fileinto", "imap4flags", "mailbox"];
if environment :matches "imap.cause" "*" { set "cause" "${1}"; }
if environment :matches "imap.changedflags" "*" { set "flags" "${1}"; }
if environment "imap.mailbox" "Work" { addflag "${cause}"; }
if string "${flags}" "\\Flagged" { fileinto :create "Starred"; keep; }
if environment "location" "MS" { addflag "ms"; }`,
		"other": `require ["imap4flags"]; addflag "other";`,
	} {
		if err := s.site.scripts.Put(t.Context(), account, name, text); err != nil {
			t.Fatal(err)
		}
	}
	c.want("CREATE Work", "x OK")
	c.append("Work", "before")
	c.want(`SETMETADATA Work (/shared/imapsieve/script "events")`, "x OK")
	c.append("Work", "after")
	c.append("INBOX", "copied")
	c.want("SELECT INBOX", "x OK")
	c.want("COPY 1 Work", "x OK")
	c.want("SELECT Work", "* 3 EXISTS")
	c.want("FETCH 1:* FLAGS", "* 1 FETCH (FLAGS (\\Recent))", "* 2 FETCH (FLAGS (APPEND ms \\Recent))", "* 3 FETCH (FLAGS (ms COPY \\Recent))")
	c.want(`STORE 1 +FLAGS (\Flagged)`, "* 1 FETCH (FLAGS (\\Flagged FLAG \\Recent))\r\nx OK")
	c.want(`STORE 1 +FLAGS (\Flagged)`, "x OK") // nothing changes, nothing happens
	c.want("STATUS Starred (MESSAGES)", "(MESSAGES 1)")
	c.want(`STORE 2 +FLAGS.SILENT (\Seen)`, "* 2 FETCH (UID 2 FLAGS (\\Seen APPEND ms FLAG \\Recent))\r\nx OK") // of which the client knows half

	// The script of the server is for mailboxes that have none.
	c.want(`SETMETADATA "" (/shared/imapsieve/script "other")`)
	c.want(`SETMETADATA Work (/shared/imapsieve/script "gone")`, "x OK")
	c.append("Work", "no such script") // is kept all the same
	c.want("STATUS Work (MESSAGES)", "(MESSAGES 4)")

	// A script for events does nothing at the door.
	if err := s.site.scripts.Activate(t.Context(), account, "events"); err != nil {
		t.Fatal(err)
	}
	c.want("FILTER SIEVE DELIVERY ALL", "x NO")
}
