package imapd

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"plic/internal/store"
)

// verb is a command on a mailbox of another and the rights that it needs.
type verb struct {
	text string // %s is the name
	need store.Rights
}

// verbs are all commands that name a mailbox. They are given with one's own
// INBOX selected, in which there is a message.
func verbs() []verb {
	return []verb{
		{"SELECT %s", store.MayRead},
		{"EXAMINE %s", store.MayRead},
		{"STATUS %s (MESSAGES UIDNEXT)", store.MayRead},
		{"APPEND %s {3+}\r\nabc", store.MayInsert},
		{"COPY 1 %s", store.MayInsert},
		{"MOVE 1 %s", store.MayInsert},
		{"REPLACE 1 %s {3+}\r\nabc", store.MayInsert},
		{"DELETE %s", store.MayRemove},
		{"RENAME %[1]s user/alice/Box/%[1]s", store.MayRemove},
		{"CREATE %s/child", store.MayCreate},
		{"SUBSCRIBE %s", 0},
		{"GETQUOTAROOT %s", store.MayRead},
		{"GETMETADATA %s /private/comment", store.MayRead},
		{"SETMETADATA %s (/private/comment \"x\")", store.MayRead},
		{"SETMETADATA %s (/shared/comment \"x\")", store.MayRead | store.MayWrite},
		{"MYRIGHTS %s", 0},
		{"GETACL %s", store.MayAdmin},
		{"SETACL %s carl l", store.MayAdmin},
		{"DELETEACL %s carl", store.MayAdmin},
		{"LISTRIGHTS %s carl", store.MayAdmin},
		{`APPEND INBOX CATENATE (URL "/%s;UIDVALIDITY=1/;UID=1")`, store.MayRead},
		{`GENURLAUTH "imap://bob@mail.example/%s/;UID=1;URLAUTH=authuser" INTERNAL`, store.MayRead},
		{"RESETKEY %s", 0},
	}
}

// quietVerbs are commands that pass over what they do not find. What they say of a
// mailbox with the right to read it has the text.
func quietVerbs() map[string]string {
	return map[string]string{
		"ESEARCH IN (mailboxes %s) RETURN (COUNT) ALL":                             "COUNT 1",
		"ESEARCH IN (subtree user/alice mailboxes %s) RETURN (COUNT) ALL":          "MAILBOX MAILBOX",
		"NOTIFY SET STATUS (mailboxes %s (MessageNew MessageExpunge))":             "* STATUS MAILBOX (MESSAGES 1",
		"NOTIFY SET STATUS (subtree user/alice/%[1]s (MessageNew MessageExpunge))": "OK",
	}
}

// TestHiddenFromQuiet: what they say of what one may not look up, or not read, is
// what they say of nothing.
func TestHiddenFromQuiet(t *testing.T) {
	t.Parallel()
	s := newSharing(t)
	for text, shown := range quietVerbs() {
		absent := s.try(text, "user/alice/None")
		if !strings.HasPrefix(absent, "OK ") {
			t.Errorf("%s of no mailbox: %s", text, absent)
		}
		for _, r := range []store.Rights{0, store.AllRights &^ store.MayLookup, store.AllRights &^ store.MayRead, store.MayAdmin} {
			if got := s.try(text, s.fresh(r)); got != absent {
				t.Errorf("%s with rights %q: %s, and of no mailbox: %s", text, r, got, absent)
			}
		}
		name := s.fresh(store.MayLookup | store.MayRead)
		if got := s.try(text, name); !strings.Contains(got, shown) {
			t.Errorf("%s of what may be read: %s", text, got)
		}
		m, err := s.alice.Mailbox(strings.TrimPrefix(name, "user/alice/"))
		if err != nil {
			t.Fatal(err)
		}
		s.grant(m, 0)
	}
}

// sharing is a house in which alice shares with bob.
type sharing struct {
	*house
	alice *store.Account
	n     int
}

func newSharing(t *testing.T) *sharing {
	h := newHouse(t, func(o *Options) { o.PerUserIP = 10000 })
	a, err := h.store.Account(context.Background(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	s := &sharing{house: h, alice: a}
	s.share("Box", store.MayLookup|store.MayCreate)
	return s
}

// share makes a mailbox of alice's, with a message, and gives bob rights to it.
func (s *sharing) share(name string, r store.Rights) *store.Mailbox {
	s.t.Helper()
	ctx := context.Background()
	if err := s.alice.Create(ctx, name, ""); err != nil {
		s.t.Fatal(err)
	}
	s.deliver(name, store.Flags{System: store.Deleted}, "Subject: hers\r\n\r\n")
	m, err := s.alice.Mailbox(name)
	if err != nil {
		s.t.Fatal(err)
	}
	s.grant(m, r)
	return m
}

func (s *sharing) grant(m *store.Mailbox, r store.Rights) {
	s.t.Helper()
	err := m.ChangeACL(context.Background(), func(l store.ACL) store.ACL { return l.With(store.Grant{Who: "bob", Rights: r}) })
	if err != nil {
		s.t.Fatal(err)
	}
}

// try gives a command as bob in a session of its own, and gives all that is
// said, with MAILBOX for the name.
func (s *sharing) try(command, name string) string {
	s.t.Helper()
	c := s.open("bob")
	defer c.nc.Close()
	c.ok("APPEND INBOX {3+}\r\nabc")
	c.ok("SELECT INBOX")
	lines, answer := c.do(fmt.Sprintf(command, name))
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "* OK [CLOSED]") })
	return strings.ReplaceAll(strings.Join(append(lines, answer), "\n"), name, "MAILBOX")
}

// fresh makes a mailbox that nothing was done with.
func (s *sharing) fresh(r store.Rights) string {
	s.t.Helper()
	s.n++
	name := fmt.Sprintf("Fresh%d", s.n)
	s.share(name, r)
	return "user/alice/" + name
}

// TestHiddenMailboxes: what one may not look up answers every command as what
// is not there, whatever other rights one has.
func TestHiddenMailboxes(t *testing.T) {
	t.Parallel()
	s := newSharing(t)
	for _, v := range verbs() {
		absent := s.try(v.text, "user/alice/None")
		if !strings.HasPrefix(absent, "NO ") {
			t.Errorf("%s of no mailbox: %s", v.text, absent)
		}
		for _, r := range []store.Rights{0, store.AllRights &^ store.MayLookup, store.MayRead, store.MayAdmin} {
			if got := s.try(v.text, s.fresh(r)); got != absent {
				t.Errorf("%s with rights %q: %s, and of no mailbox: %s", v.text, r, got, absent)
			}
		}
		if got := s.try(v.text, "user/nobody/None"); got != absent {
			t.Errorf("%s with no account: %s, and of no mailbox: %s", v.text, got, absent)
		}
	}
	c := s.open("bob")
	for _, command := range []string{`LIST "" user/*`, `LSUB "" user/*`, `LIST (SUBSCRIBED) "" user/*`} {
		for _, line := range c.ok(command) {
			if strings.Contains(line, "Fresh") {
				t.Errorf("%s: %s", command, line)
			}
		}
	}
}

// TestMissingRights: every command is refused without each right that it needs,
// and does not need others.
func TestMissingRights(t *testing.T) {
	t.Parallel()
	s := newSharing(t)
	for _, v := range verbs() {
		if strings.Contains(v.text, "CATENATE") {
			continue // says BADURL
		}
		for r := store.MayRead; r < store.AllRights; r <<= 1 {
			got := s.try(v.text, s.fresh(store.AllRights&^r))
			if refused := strings.HasPrefix(got, "NO [NOPERM]"); refused != v.need.Has(r) || !refused && !strings.Contains(got, "OK") {
				t.Errorf("%s without %s: %s", v.text, r, got)
			}
		}
	}
}

// TestRightsInMailbox: so are the commands on messages.
func TestRightsInMailbox(t *testing.T) {
	t.Parallel()
	s := newSharing(t)
	for _, v := range []verb{
		{"STORE 1 +FLAGS (\\Seen)", store.MaySee},
		{"STORE 1 -FLAGS (\\Deleted)", store.MayDelete},
		{"STORE 1 +FLAGS (\\Flagged)", store.MayWrite},
		{"STORE 1 +FLAGS (word)", store.MayWrite},
		{"UID STORE 1 -FLAGS (\\Answered)", store.MayWrite},
		{"EXPUNGE", store.MayExpunge},
		{"UID EXPUNGE 1", store.MayExpunge},
		{"MOVE 1 INBOX", store.MayDelete | store.MayExpunge},
		{"REPLACE 1 INBOX {3+}\r\nabc", store.MayDelete | store.MayExpunge},
		{"FETCH 1 BODY[]", 0},
		{"COPY 1 INBOX", 0},
		{"SEARCH ALL", 0},
	} {
		for r := store.MaySee; r < store.AllRights; r <<= 1 {
			c := s.open("bob")
			c.ok("SELECT " + s.fresh(store.AllRights&^r))
			_, answer := c.do(v.text)
			if refused := strings.HasPrefix(answer, "NO [NOPERM]"); refused != v.need.Has(r) || !refused && !strings.HasPrefix(answer, "OK") {
				t.Errorf("%s without %s: %s", v.text, r, answer)
			}
			c.nc.Close()
		}
	}
	// What may not be set is left out, and what reading sets too.
	name := s.fresh(store.MayLookup | store.MayRead | store.MayInsert)
	c := s.open("bob")
	c.ok("APPEND " + name + " (\\Seen \\Flagged word) {3+}\r\nabc")
	c.ok("SELECT " + name)
	c.ok("FETCH 1:* BODY[]")
	if got := fmt.Sprint(c.ok("FETCH 1:* FLAGS")); got != `[* 1 FETCH (FLAGS (\Deleted \Recent)) * 2 FETCH (FLAGS (\Recent))]` {
		t.Errorf("flags: %s", got)
	}
	c.ok("CLOSE")
	c.ok("APPEND INBOX (\\Seen \\Flagged word) {3+}\r\nabc")
	c.ok("SELECT INBOX")
	c.ok("COPY 1 " + name)
	c.ok("SELECT " + name)
	if got := fmt.Sprint(c.ok("FETCH 3 FLAGS")); got != `[* 3 FETCH (FLAGS (\Recent))]` {
		t.Errorf("flags of the copy: %s", got)
	}
}

// TestRevokedAtOnce takes rights back under an open mailbox.
func TestRevokedAtOnce(t *testing.T) {
	t.Parallel()
	s := newSharing(t)
	m := s.share("Plans", store.AllRights)
	c := s.open("bob")
	c.ok("SELECT user/alice/Plans")
	s.grant(m, store.AllRights&^store.MayExpunge)
	if _, answer := c.do("EXPUNGE"); !strings.HasPrefix(answer, "NO [NOPERM]") {
		t.Errorf("EXPUNGE: %s", answer)
	}
	c.ok("CLOSE")
	if n := m.Info().Messages; n != 1 {
		t.Errorf("%d messages after CLOSE without the right to expunge", n)
	}
	c.ok("SELECT user/alice/Plans")
	s.grant(m, store.AllRights&^store.MayRead)
	c.send("x FETCH 1 BODY[]\r\n")
	c.expect("* BYE ...")
	c.closed()
}

// TestGroups: rights that a group has are those of its members, as the directory
// knows them when they log in, under the names of Dovecot and of Cyrus.
func TestGroups(t *testing.T) {
	t.Parallel()
	s := newSharing(t)
	alice := s.open("alice")
	team, carl := s.open("team"), s.open("carl")
	lists := func(c *client) bool {
		lines, answer := c.do(`LIST "" "user/alice/*"`)
		return strings.Contains(strings.Join(append(lines, answer), "\n"), "user/alice/Box")
	}
	for _, who := range []string{"$staff", "$STAFF", "group:sales"} {
		alice.ok("SETACL Box " + who + " lr")
		if !lists(team) || lists(carl) {
			t.Errorf("%s: its member sees the mailbox: %v, another: %v", who, lists(team), lists(carl))
		}
		team.ok("EXAMINE user/alice/Box")
		if lines, _ := team.do("MYRIGHTS user/alice/Box"); !strings.HasSuffix(strings.Join(lines, ""), " lr") {
			t.Errorf("%s: rights %q", who, lines)
		}
		if _, answer := team.do("STORE 1 +FLAGS (x)"); strings.HasPrefix(answer, "OK") {
			t.Errorf("%s may write", who)
		}
		if _, answer := team.do(`GENURLAUTH "imap://team@mail.example/user/alice/Box/;UID=1;URLAUTH=anonymous" INTERNAL`); !strings.HasPrefix(answer, "NO [NOPERM]") {
			t.Errorf("%s passes on its right: %s", who, answer)
		}
		team.ok("UNSELECT") // else the session would end with the right to it
		alice.ok("SETACL Box -" + who + " l")
		if lists(team) {
			t.Errorf("-%s does not count", who)
		}
		alice.ok("DELETEACL Box " + who)
		alice.ok("DELETEACL Box -" + who)
		if lists(team) {
			t.Errorf("%s without rights sees the mailbox", who)
		}
	}
	alice.ok("SETACL Box $team lr") // is the name of no group
	if lists(team) {
		t.Error("a group has the name of an account")
	}
}
