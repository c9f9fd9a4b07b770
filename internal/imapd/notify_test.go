package imapd

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"plic/internal/imap"
	"plic/internal/store"
)

// A client that cannot be told of all that has changed is told so, and of no more,
// RFC 5465 section 5.8.
func TestNotifyOverflow(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	account, err := h.store.Account(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxNotices + 10 {
		if err := account.Create(t.Context(), fmt.Sprintf("Many/%d", i), ""); err != nil {
			t.Fatal(err)
		}
	}
	ours, theirs := net.Pipe()
	defer theirs.Close()
	told := make(chan string, 1)
	go func() {
		text, _ := io.ReadAll(ours)
		told <- string(text)
	}()
	c := &conn{server: h.server, account: account}
	c.out.server, c.out.conn = h.server, theirs
	c.notice = &notice{boxes: map[string]known{}, groups: true, of: choice{personal: imap.MailboxName}} // it knows of none of them
	if err := c.tellElsewhere(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.out.rest()
	theirs.Close()
	lines := strings.Split(strings.TrimSuffix(<-told, "\r\n"), "\r\n")
	if len(lines) > maxNotices+2 || !strings.HasPrefix(lines[len(lines)-1], "* OK [NOTIFICATIONOVERFLOW] ") {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
	if c.isListening() || c.selectedEvents() != 0 {
		t.Error("it goes on to tell")
	}
}

// What is asked for of a mailbox, by each kind of source.
func TestChoice(t *testing.T) {
	t.Parallel()
	var c choice
	for kind, source := range map[imap.SourceKind][]string{
		imap.SourceMailboxes: {"A", "B/c"}, imap.SourceSubtree: {"T", "T/x"}, imap.SourceSubtreeOne: {"O", "T"},
	} {
		c.add(&imap.SearchSource{Kind: kind, Names: source}, 1<<kind)
	}
	c.add(&imap.SearchSource{Kind: imap.SourceSubscribed}, 1<<imap.SourceSubscribed)
	c.add(&imap.SearchSource{Kind: imap.SourceInboxes}, 1<<imap.SourceInboxes)
	for _, x := range []struct {
		name       string
		subscribed bool
		own        bool
		want       []imap.SourceKind
	}{
		{"A", false, true, []imap.SourceKind{imap.SourceMailboxes}},
		{"A/b", false, true, nil}, // it is not named
		{"B", false, true, nil}, {"B/c", true, false, []imap.SourceKind{imap.SourceMailboxes, imap.SourceSubscribed}},
		{"T", false, true, []imap.SourceKind{imap.SourceSubtree, imap.SourceSubtreeOne}},
		{"T/a", false, true, []imap.SourceKind{imap.SourceSubtree, imap.SourceSubtreeOne}},
		{"T/a/b", false, true, []imap.SourceKind{imap.SourceSubtree}}, {"Tx/a", false, true, nil},
		{"O/a", false, true, []imap.SourceKind{imap.SourceSubtreeOne}}, {"O/a/b", false, true, nil},
		{"INBOX", false, true, []imap.SourceKind{imap.SourceInboxes}}, {"INBOX", false, false, nil},
	} {
		var want imap.NotifyEvents
		for _, kind := range x.want {
			want |= 1 << kind
		}
		if got := c.events(&store.Info{Name: x.name, Subscribed: x.subscribed}, x.own); got != want {
			t.Errorf("%+v: %b, want %b", x, got, want)
		}
	}
}

// A client is told of mailboxes of others that it may look up, of which there are
// and what is in them, from when it may.
func TestNotifyOfOthers(t *testing.T) {
	t.Parallel()
	s := newSharing(t)
	m := s.share("Plans", store.MayLookup|store.MayRead)
	bob, alice := s.open("bob"), s.open("alice")
	bob.send("a NOTIFY SET STATUS (subtree user (MessageNew MessageExpunge MailboxName MailboxMetadataChange)) (personal (MailboxName))\r\n")
	bob.expect("* STATUS user/alice/Plans (MESSAGES 1 UIDNEXT 2 UIDVALIDITY ...", "a OK ...")
	s.deliver("Plans", store.Flags{}, "a: b\r\n\r\n")
	bob.expect("* STATUS user/alice/Plans (UIDNEXT 3 MESSAGES 2)")
	alice.ok("CREATE Hidden")
	alice.ok(`SETMETADATA Hidden (/shared/comment "x")`)
	alice.ok(`SETMETADATA Plans (/shared/comment "x" /private/comment "y")`)
	bob.expect("* METADATA user/alice/Plans /shared/comment")
	s.grant(m, store.MayLookup)
	s.deliver("Plans", store.Flags{}, "a: b\r\n\r\n")
	alice.ok(`SETMETADATA Plans (/shared/comment "z")`)
	alice.ok("RENAME Plans Other")
	bob.expect(`* LIST (\HasNoChildren) "/" user/alice/Other ("OLDNAME" (user/alice/Plans))`)
	s.grant(m, 0)
	bob.expect(`* LIST (\NonExistent \Noselect \HasNoChildren) "/" user/alice/Other`)
	s.share("Later", store.MayLookup|store.MayRead)
	bob.expect(`* LIST (\HasNoChildren) "/" user/alice/Later`, "* STATUS user/alice/Later (UIDVALIDITY ... UIDNEXT 2 MESSAGES 1)")
	// and of another account that begins to share
	team := s.open("team")
	team.ok("CREATE Work")
	team.ok("SETACL Work bob lr")
	bob.expect(`* LIST (\Noselect \HasChildren) "/" user/team`, `* LIST (\HasNoChildren) "/" user/team/Work`)
	team.ok("APPEND Work {6+}\r\na: b\r\n")
	bob.expect("* STATUS user/team/Work (UIDNEXT 2 MESSAGES 1)")
	bob.ok("NOTIFY NONE")
	team.ok("APPEND Work {6+}\r\na: b\r\n")
	if got := bob.ok("NOOP"); len(got) > 0 {
		t.Errorf("after NONE: %q", got)
	}
}

// Annotations that others change fill no list of who does not want to know.
func TestNotifyUnconcerned(t *testing.T) {
	t.Parallel()
	s := newSharing(t)
	alice := s.open("alice")
	alice.ok("CREATE Own")
	b := &s.server.board
	all := map[*notice]int{
		{who: "bob", abroad: true, any: imap.MailboxName | imap.ServerMetadataChange}: 0,
		{who: "carl", any: imap.MailboxMetadataChange}:                                0,
		{who: "carl", abroad: true, any: imap.MailboxMetadataChange}:                  1,
		{who: "alice", any: imap.MailboxMetadataChange}:                               1,
	}
	for w := range all {
		w.changes = make(chan struct{}, 1)
		defer b.listen(w)()
	}
	alice.ok(`SETMETADATA Own (/shared/comment "x")`)
	for w, want := range all {
		if news, _ := b.take(w); len(news) != want || len(w.changes) != want {
			t.Errorf("%s is told %d times, and woken %d times", w.who, len(news), len(w.changes))
		}
	}
}

// What happens while a client is in the midst of other things is told afterwards,
// each mailbox once.
func TestNotifyTogether(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	c := h.open("alice")
	c.ok("NOTIFY SET (personal (MessageNew MessageExpunge))")
	c.send("a APPEND Drafts {6}\r\n") // and now it waits for the message
	c.expect("+ go ahead")
	for range 3 {
		h.deliver("INBOX", store.Flags{}, "a: b\r\n\r\n")
		h.deliver("Sent", store.Flags{}, "a: b\r\n\r\n")
	}
	c.send("a: b\r\n\r\n")
	c.expect("a OK ...", "* STATUS INBOX (UIDNEXT 4 MESSAGES 3)", "* STATUS Drafts (UIDNEXT 2 MESSAGES 1)", "* STATUS Sent (UIDNEXT 4 MESSAGES 3)")
	// A mailbox that goes away under a client that listens ends its session.
	c.ok("CREATE box")
	c.ok("SELECT box")
	c.ok("NOTIFY SET (selected (MessageNew MessageExpunge))")
	other := h.open("alice")
	other.ok("DELETE box")
	c.expect("* BYE ...")
	c.closed()
}

// Messages that are told one after the other, with their text, are no commands: while
// they are sent another goroutine waits for the client, whose buffer is its own. It
// takes the race detector to see that.
func TestNotifyInTurn(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	c := h.open("alice")
	h.deliver("INBOX", store.Flags{}, "a: b\r\n\r\n1\r\n")
	c.ok("SELECT INBOX")
	c.ok("NOTIFY SET (selected (MessageNew (BODY.PEEK[TEXT]) MessageExpunge))")
	c.send("a IDLE\r\n")
	c.expect("+ idling")
	for n := 2; n < 6; n++ {
		h.deliver("INBOX", store.Flags{}, fmt.Sprintf("a: b\r\n\r\n%d\r\n", n))
		c.expect(fmt.Sprintf("* %d EXISTS", n), "* ... RECENT", fmt.Sprintf("* %d FETCH (UID %d BODY[TEXT] {3}", n, n), fmt.Sprint(n), ")")
	}
	c.send("DONE\r\n")
	c.expect("a OK ...")
}
