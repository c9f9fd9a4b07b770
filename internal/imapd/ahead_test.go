package imapd

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"plic/internal/store"
	"plic/internal/store/engine"
	"plic/internal/store/memory"
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

// forgetful is an engine whose index has lost a message.
type forgetful struct {
	*memory.Engine
	lost engine.UID
}

func (f forgetful) Marks(ctx context.Context, a engine.AccountID, m engine.MailboxID) iter.Seq2[[]engine.Entry, error] {
	return func(yield func([]engine.Entry, error) bool) {
		for list, err := range f.Engine.Marks(ctx, a, m) {
			kept := slices.DeleteFunc(slices.Clone(list), func(e engine.Entry) bool { return e.UID == f.lost })
			if !yield(kept, err) {
				return
			}
		}
	}
}

// A client that was told of more messages than there are begins anew.
func TestWrongCounters(t *testing.T) {
	t.Parallel()
	e := memory.New(time.Now)
	h := newHouse(t, func(o *Options) {
		o.Store = store.New(store.Options{Engine: forgetful{e, 2}})
	})
	h.store = h.server.o.Store
	h.deliver("INBOX", store.Flags{System: store.Seen}, "Subject: one\r\n\r\n", "Subject: two\r\n\r\n", "Subject: three\r\n\r\n")
	c := h.open("alice")
	if lines := strings.Join(c.ok("SELECT INBOX"), "\n"); !strings.Contains(lines, "* 3 EXISTS") {
		t.Fatal(lines)
	}
	c.send("a FETCH 1:3 UID\r\n")
	c.expect("* BYE ...")
	c.closed()
	c = h.open("alice")
	if lines := strings.Join(c.ok("SELECT INBOX"), "\n"); !strings.Contains(lines, "* 2 EXISTS") {
		t.Fatal(lines)
	}
	if lines := c.ok("FETCH 1:2 UID"); len(lines) != 2 || lines[1] != "* 2 FETCH (UID 3)" {
		t.Errorf("%q", lines)
	}
}
