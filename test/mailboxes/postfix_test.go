package mailboxes

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plic/test/peers"
	"plic/test/world"
)

// TestPostfixVirtual has Postfix's virtual agent deliver into a Maildir and an mbox
// that plic serves: a client that idles is told, and what it marks and removes
// disturbs no later delivery.
func TestPostfixVirtual(t *testing.T) {
	t.Parallel()
	for i, kind := range []string{"maildir", "mbox"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := world.New(t, binary, fmt.Sprintf("127.97.%d", 36+i))
			mail := filepath.Join(w.Dir, "mail")
			if err := os.MkdirAll(mail, 0o755); err != nil {
				t.Fatal(err)
			}
			give(t, mail) // the agent is not root
			place, ending := "maildir:"+mail+"/%n", "/"
			if kind == "mbox" {
				place, ending = "mbox:"+mail+"/%n", "/inbox"
			}
			p := w.Plic(t, world.Site{Host: "mx.plic.test", Domain: "plic.test", Settings: map[string]string{"mailboxes.place": `"` + place + `"`}})
			who := p.Account(t, "bob")
			post := &peers.Postfix{Dir: filepath.Join(w.Dir, "postfix"), Address: w.Host(t, "postfix.test"), Hostname: "postfix.test", Settings: fmt.Sprintf(`virtual_mailbox_domains = plic.test
virtual_mailbox_base = %s
virtual_mailbox_maps = inline:{ {bob@plic.test = bob%s} }
virtual_uid_maps = static:8
virtual_gid_maps = static:8
virtual_minimum_uid = 1
virtual_mailbox_lock = dotlock, fcntl
`, mail, ending)}
			if err := post.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := post.Stop(); err != nil {
					t.Error(err)
				}
				if t.Failed() {
					t.Log(post.Log())
				}
			})
			deliver := func(subject string) {
				t.Helper()
				c := w.Dial(t, "", net.JoinHostPort(post.Address, "25"), "postfix.test").Greet()
				c.Deliver(world.Letter{From: "ann@peer.test", To: []string{who}, Text: crlf(letter(subject))})
			}
			wait := idle(t, p, who)
			c := p.IMAP(t, who)
			for n := 1; n <= 3; n++ {
				deliver(fmt.Sprint("virtual", n))
				wait.hear(fmt.Sprintf(`^\* %d EXISTS`, n))
				c.IMAPOK("SELECT INBOX")
				c.IMAPOK(`STORE %d +FLAGS (\Flagged)`, n)
			}
			c.IMAPOK(`STORE 2 +FLAGS (\Deleted)`)
			c.IMAPOK("EXPUNGE")
			wait.hear(`^\* 2 EXPUNGE`)
			deliver("last")
			wait.hear(`^\* 3 EXISTS`)
			got := strings.Join(c.Messages("INBOX"), "")
			for subject, want := range map[string]int{"virtual1": 1, "virtual2": 0, "virtual3": 1, "last": 1} {
				if n := strings.Count(got, "About "+subject+".\r\n"); n != want {
					t.Errorf("%s is there %d times", subject, n)
				}
			}
			if log := post.Log(); !strings.Contains(log, "status=sent (delivered to ") {
				t.Errorf("Postfix says:\n%s", log)
			}
		})
	}
}
