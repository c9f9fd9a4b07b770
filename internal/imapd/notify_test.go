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
	all := imap.NotifyGroup{Mailboxes: imap.SearchSource{Kind: imap.SourcePersonal}, Events: imap.MailboxName}
	c.notice = &notice{boxes: map[string]store.Info{}, groups: []imap.NotifyGroup{all}} // it knows of none of them
	c.tellElsewhere()
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
