package imapd

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"plic/internal/store"
)

// Programs of any size and depth are refused, and the session goes on.
func TestHostileSearch(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	c := h.open("alice")
	c.ok("SELECT INBOX")
	for _, args := range []string{
		strings.Repeat("NOT ", 100000) + "ALL", strings.Repeat("NOT ", 101) + "ALL", strings.Repeat("OR ALL ", 101) + "ALL",
		strings.Repeat("(", 101) + "ALL" + strings.Repeat(")", 101), strings.Repeat("(", 100000), strings.Repeat("FUZZY ", 101) + "ALL",
		strings.Repeat("ALL ", 5000) + "ALL", "FUZZY " + strings.Repeat("(", 101) + "ALL",
	} {
		for _, command := range []string{"SEARCH ", "SORT (DATE) UTF-8 ", "THREAD REFERENCES UTF-8 ", "ESEARCH "} {
			if _, answer := c.do(command + args); !strings.HasPrefix(answer, "BAD") {
				t.Errorf("%s%.40s...: %s", command, args, answer)
			}
			c.ok("NOOP") // one that is good, so that there are never too many that are not
		}
	}
	deep := strings.Repeat("FUZZY (NOT ", 24) + "TEXT x" + strings.Repeat(")", 24)
	if _, answer := c.do("SEARCH " + deep); !strings.HasPrefix(answer, "OK") {
		t.Errorf("a deep search: %s", answer)
	}
	if _, answer := c.do("SORT (" + strings.Repeat("DATE ", 40) + "DATE) UTF-8 ALL"); !strings.HasPrefix(answer, "BAD") {
		t.Errorf("many sort keys: %s", answer)
	}
}

// A search that takes long says how far it is.
func TestProgress(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.ProgressEvery = time.Nanosecond })
	texts := make([]string, 40)
	for i := range texts {
		texts[i] = fmt.Sprintf("Subject: %d\r\n\r\nbody\r\n", i)
	}
	h.deliver("INBOX", store.Flags{}, texts...)
	c := h.open("alice")
	c.ok("SELECT INBOX")
	lines := c.ok("SEARCH HEADER X-None none")
	want := []string{`* OK [INPROGRESS ("x" 16 40)] ...`, `* OK [INPROGRESS ("x" 32 40)] ...`, "* SEARCH"}
	if len(lines) != len(want) {
		t.Fatalf("got %q, want %q", lines, want)
	}
	for i := range want {
		if !match(want[i], lines[i]) {
			t.Errorf("got %q, want %q", lines[i], want[i])
		}
	}
}
