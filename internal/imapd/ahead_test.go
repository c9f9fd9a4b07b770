package imapd

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/store"
)

// Messages that are read one by one are opened before they are asked for: what
// is sent is the same all the same, and nothing of it outlasts the message or
// the mailbox.
func TestReadInTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, nil)
		fill := func(mailbox string) {
			texts := make([]string, 40)
			for i := range texts {
				texts[i] = fmt.Sprintf("Subject: %s %d\r\n\r\nbody\r\n", mailbox, i+1)
				if i == 10 {
					texts[i] += strings.Repeat("a line of a message that is large\r\n", 5000)
				}
			}
			h.deliver(mailbox, store.Flags{}, texts...)
		}
		fill("INBOX")
		fill("Archive")
		c := h.open("alice")
		is := func(command, mailbox string, n int) {
			t.Helper()
			all := strings.Join(c.ok(command), "\n")
			if want := fmt.Sprintf("Subject: %s %d\n", mailbox, n); !strings.Contains(all, want) {
				t.Fatalf("%s: %.200q, not %q", command, all, want)
			}
		}
		c.ok("SELECT INBOX")
		for i := range 20 {
			is(fmt.Sprintf("FETCH %d BODY.PEEK[]", i+1), "INBOX", i+1)
		}
		c.ok("SELECT Archive") // with the same UIDs
		is("FETCH 21 BODY.PEEK[]", "Archive", 21)
		is("FETCH 22 BODY.PEEK[]", "Archive", 22)
		is("UID FETCH 23 BODY.PEEK[HEADER]", "Archive", 23)

		other := h.open("alice")
		other.ok("SELECT Archive")
		other.ok(`STORE 24 +FLAGS (\Deleted)`)
		other.ok("EXPUNGE")
		if lines, answer := c.do("FETCH 24 BODY.PEEK[]"); !strings.HasPrefix(answer, "NO [EXPUNGEISSUED]") || strings.Contains(strings.Join(lines, ""), "Subject") {
			t.Errorf("a message that went: %q, %s", lines, answer)
		}
		c.ok("NOOP")
		is("FETCH 24 BODY.PEEK[]", "Archive", 25)
		is("FETCH 25 BODY.PEEK[]", "Archive", 26)

		time.Sleep(10 * time.Second) // what is open is closed
		is("FETCH 26 BODY.PEEK[]", "Archive", 27)
		c.send("a FETCH 27 BODY.PEEK[]\r\nb FETCH 28 BODY.PEEK[]\r\nc FETCH 29 BODY.PEEK[]\r\n")
		for i, tag := range []string{"a", "b", "c"} {
			c.expect(fmt.Sprintf("* %d FETCH ...", i+27), fmt.Sprintf("Subject: Archive %d", i+28), "", "body", ")", tag+" OK ...")
		}
		start := time.Now()
		c.wait = time.Hour
		c.expect("* BYE ...")
		if got := time.Since(start); got != 30*time.Minute {
			t.Errorf("cut off after %v", got)
		}
	})
}
