package imapd

import (
	"bufio"
	"fmt"
	"strings"
	"testing"

	"plic/internal/store"
)

// What goes while SELECT is being answered was told of as being there, so its
// changes are replayed as well: RFC 7162 section 3.2.5. Flags with long names
// make the answer so large that the first half of it is sent before the rest is
// written.
func TestExpungeWithinSelect(t *testing.T) {
	h := newHouse(t, nil)
	var flags store.Flags
	for i := range 50 {
		flags.Keywords = append(flags.Keywords, fmt.Sprintf("k%d%s", i, strings.Repeat("x", 190)))
	}
	h.deliver("INBOX", store.Flags{}, "Subject: 1\r\n\r\n", "Subject: 2\r\n\r\n", "Subject: 3\r\n\r\n")
	h.deliver("INBOX", flags, "Subject: 4\r\n\r\n")
	other := h.open("alice")
	var validity, since string
	for _, line := range other.ok("SELECT INBOX") {
		fmt.Sscanf(line, "* OK [UIDVALIDITY %s", &validity)
		fmt.Sscanf(line, "* OK [HIGHESTMODSEQ %s", &since)
	}
	other.ok(`STORE 2 +FLAGS (\Flagged \Deleted)`)

	nc, err := h.ln.dial("127.0.0.1:4001")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	slow := bufio.NewReaderSize(nc, 16) // reads little: the server waits with the rest
	next := func() string {
		line, err := slow.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(line, "\r\n")
	}
	answer := func(command string) {
		fmt.Fprintf(nc, "x %s\r\n", command)
		for !strings.HasPrefix(next(), "x OK") {
		}
	}
	next() // the greeting
	answer("LOGIN alice secret")
	answer("ENABLE QRESYNC")
	fmt.Fprintf(nc, "y SELECT INBOX (QRESYNC (%s %s))\r\n", strings.Trim(validity, "]"), strings.Trim(since, "]"))
	if _, err := slow.Peek(1); err != nil {
		t.Fatal(err)
	}
	other.ok("EXPUNGE")
	var after []string
	for line := next(); ; line = next() {
		if !strings.Contains(line, "FLAGS ") && !strings.HasPrefix(line, "* OK [") || strings.Contains(line, "FETCH") {
			after = append(after, line)
		}
		if strings.HasPrefix(line, "y ") {
			break
		}
	}
	want := []string{"* 4 EXISTS", "* 0 RECENT", `* 2 FETCH (UID 2 FLAGS (\Flagged \Deleted) MODSEQ (...))`, "y OK..."}
	if len(after) != len(want) {
		t.Fatalf("got %q", after)
	}
	for i, p := range want {
		if !match(p, after[i]) {
			t.Errorf("got %q, expected %q", after[i], p)
		}
	}
	fmt.Fprint(nc, "z NOOP\r\n")
	if line := next(); line != "* VANISHED 2" {
		t.Errorf("got %q, expected VANISHED", line)
	}
}
