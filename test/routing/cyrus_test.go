package routing

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"plic/internal/journal"
	"plic/internal/moving"
	"plic/test/peers"
	"plic/test/world"
)

// cyrusStore is a Cyrus with the mail of some users.
type cyrusStore struct{ *peers.Cyrus }

// has gives the message of a folder that has a text, "" without any; one that is
// there twice fails the test.
func (c cyrusStore) has(t *testing.T, user, folder, text string) (found string) {
	t.Helper()
	s, err := moving.IMAP(t.Context(), moving.IMAPOptions{Address: c.Address + ":143", User: user, Password: c.Password, TLS: "none"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	folders, err := s.Folders(t.Context(), func(b *moving.Bad) { t.Error(b) })
	if err != nil {
		t.Fatal(err)
	}
	for i := range folders {
		if folders[i].Name != folder {
			continue
		}
		for l, err := range s.Letters(t.Context(), &folders[i], func(uint64) bool { return false }) {
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(l.Text, []byte(text)) {
				if found != "" {
					t.Errorf("%q is there twice", text)
				}
				found = string(l.Text)
			}
		}
	}
	return found
}

func (c cyrusStore) wait(t *testing.T, user, folder, text string) (message string) {
	t.Helper()
	world.Wait(t, "Cyrus to have "+text, func() bool { message = c.has(t, user, folder, text); return message != "" })
	return message
}

// Real Cyrus is the store: mail reaches it by LMTP, at its socket and, with AUTH
// and TLS, at its port, with an answer for each recipient.
func TestCyrusIsTheStore(t *testing.T) {
	t.Parallel()
	w := world.New(t, binary, "127.80.147")
	host := "store.here.test"
	address := w.Host(t, host)
	cert, key := w.Certificate(t, host)
	c := cyrusStore{&peers.Cyrus{Dir: w.Dir + "/c", Address: address, Password: "secret", Separator: '/', Cert: cert, Key: key,
		Users: []string{"bob@socket.test", "full@socket.test", "carl@port.test"}, Settings: "lmtp_downcase_rcpt: yes\nlmtp_strict_quota: yes"}}
	if err := os.Chmod(key, 0o644); err != nil { // Cyrus is another user
		t.Fatal(err)
	}
	peers.Started(t, c.Start(t.Context()))
	t.Cleanup(func() { c.Stop() })
	if err := c.Ask("bob@socket.test", "CREATE Lists", `SETACL Lists anyone p`); err != nil {
		t.Fatal(err)
	}
	p := w.Plic(t, world.Site{Host: "mx.here.test", Domain: "here.test", Settings: map[string]string{
		"route.relay_domains":    `{"socket.test" = "cyrus", "port.test" = "cyrus"}`,
		"route.relay_recipients": `{"bob@socket.test" = "", "full@socket.test" = "", "gone@socket.test" = "", "@port.test" = ""}`,
		"route.transports":       `{"socket.test" = "lmtp:unix:` + c.Socket() + `", "port.test" = "lmtp:` + host + `:24"}`,
		"route.logins":           `{"` + host + `" = "cyrus:` + c.Password + `"}`,
	}})
	ann := p.Account(t, "ann")
	s := p.Submission(t, ann)

	// Every octet of the message, whatever it is.
	odd := text(ann, "bob@socket.test", "odd") + "caf\xc3\xa9 \xff\xfe\r\n..\r\n" + strings.Repeat("long ", 190) + "\r\n\tno end"
	s.Deliver(world.Letter{From: ann, To: []string{"bob@socket.test"}, Text: odd})
	got := c.wait(t, "bob@socket.test", "INBOX", "Subject: odd")
	if at := strings.Index(got, "From: <"+ann+">"); at < 0 || got[at:] != odd+"\r\n" {
		t.Errorf("Cyrus has %q, sent was %q", got, odd)
	}
	has(t, "the message", got, "Return-Path: <"+ann+">", "by mx.here.test with ESMTP")

	// The address has a folder in it, if its owner lets mail in there; a socket, a
	// port.
	post(t, p, "eve@there.test", "bob+Lists@socket.test", "to-folder")
	c.wait(t, "bob@socket.test", "Lists", "Subject: to-folder")
	post(t, p, "eve@there.test", "carl@port.test", "by-port")
	c.wait(t, "carl@port.test", "INBOX", "Subject: by-port")

	// Who is not known there is told to the sender, the others get the message.
	id := s.Deliver(world.Letter{From: ann, To: []string{"bob@socket.test", "gone@socket.test", "nobody@port.test"}, Text: text(ann, "bob@socket.test", "divided")})
	c.wait(t, "bob@socket.test", "INBOX", "Subject: divided")
	for _, who := range []string{"gone@socket.test", "nobody@port.test"} {
		has(t, "the report", p.WaitMail(t, ann, "Final-Recipient: rfc822; "+who), "Action: failed\r\nStatus: 5.1.1\r\n", "User unknown", "Subject: divided")
	}
	has(t, "plic journal", p.Run(t, "journal", id), "relayed", "bounce", "Mailbox unknown")

	fullMailbox(t, p, c, s, ann)
	world.Wait(t, "an empty queue", func() bool { return len(p.Queue(t)) == 0 })
}

// fullMailbox: what one mailbox has no room for waits until there is some.
func fullMailbox(t *testing.T, p *world.Plic, c cyrusStore, s *world.Conn, ann string) {
	t.Helper()
	quota := func(kilobytes int) {
		t.Helper()
		if err := c.Ask(peers.CyrusAdmin, fmt.Sprintf(`SETQUOTA "%s" (STORAGE %d)`, c.Inbox("full@socket.test"), kilobytes)); err != nil {
			t.Fatal(err)
		}
	}
	quota(10)
	big := text(ann, "full@socket.test", "big") + strings.Repeat(strings.Repeat("y", 70)+"\r\n", 500)
	id := s.Deliver(world.Letter{From: ann, To: []string{"bob@socket.test", "full@socket.test"}, Text: big})
	c.wait(t, "bob@socket.test", "INBOX", "Subject: big")
	if e := p.WaitJournal(t, id, journal.Defer); !strings.HasPrefix(e.Status, "452 4.2.2") || !strings.Contains(e.Status, "quota") {
		t.Errorf("deferred with %+v", e)
	}
	if c.has(t, "full@socket.test", "INBOX", "Subject: big") != "" {
		t.Error("it was delivered in spite of its size")
	}
	quota(10000)
	p.Run(t, "queue", "retry", "--all")
	c.wait(t, "full@socket.test", "INBOX", "Subject: big")
	c.has(t, "bob@socket.test", "INBOX", "Subject: big") // once
}
