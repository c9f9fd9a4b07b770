package imapd

import (
	"fmt"
	"regexp"
	"testing"

	"plic/internal/store"
)

// TestObjectIDs: copies have one EMAILID, a conversation has one THREADID over
// all mailboxes and through moves, and both can be searched for.
func TestObjectIDs(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	h.deliver("INBOX", store.Flags{}, eml(t, "first.eml"), eml(t, "simple.eml"), "no header of use\r\n\r\n")
	h.deliver("Archive", store.Flags{}, eml(t, "reply.eml"))
	c := h.open("alice")
	ids := func(command string) (email, thread string) {
		t.Helper()
		lines := c.ok(command)
		m := regexp.MustCompile(`EMAILID \(([A-Za-z0-9_-]+)\) THREADID \(([A-Za-z0-9_-]+)\)`).FindStringSubmatch(lines[0])
		if m == nil {
			t.Fatalf("%s: %v", command, lines)
		}
		return m[1], m[2]
	}
	c.ok("SELECT INBOX")
	first, thread := ids("FETCH 1 (EMAILID THREADID)")
	simple, other := ids("FETCH 2 (EMAILID THREADID)")
	_, none := ids("FETCH 3 (EMAILID THREADID)")
	if first == simple || thread == other || thread == none || other == none {
		t.Errorf("of different messages: %s %s, %s %s, %s", first, thread, simple, other, none)
	}
	c.ok("COPY 1 Archive")
	c.ok("MOVE 2 Archive")
	for key, want := range map[string]string{
		"EMAILID " + first: "* SEARCH 1", "THREADID " + thread: "* SEARCH 1", "THREADID " + other: "* SEARCH",
		"NOT THREADID " + thread: "* SEARCH 2", "OR EMAILID " + first + " THREADID " + none: "* SEARCH 1 2",
	} {
		if got := fmt.Sprint(c.ok("SEARCH " + key)); got != "["+want+"]" {
			t.Errorf("SEARCH %s: %s", key, got)
		}
	}
	c.ok("SELECT Archive")
	reply, same := ids("FETCH 1 (EMAILID THREADID)")
	copied, again := ids("FETCH 2 (EMAILID THREADID)")
	moved, kept := ids("FETCH 3 (EMAILID THREADID)")
	if reply == first || copied != first || moved != simple || same != thread || again != thread || kept != other {
		t.Errorf("in the archive: %s %s, %s %s, %s %s", reply, same, copied, again, moved, kept)
	}
	if got := fmt.Sprint(c.ok("SEARCH THREADID " + thread)); got != "[* SEARCH 1 2]" {
		t.Errorf("the conversation: %s", got)
	}
}
