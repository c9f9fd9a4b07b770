package imapd

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"plic/internal/store"
)

// What was sent at once is answered in order, and a message comes back as it
// was sent.
func TestPipelineAndStream(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	nc, err := h.ln.dial("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(20 * time.Second))
	var text strings.Builder
	text.WriteString("Subject: long\r\n\r\n")
	for i := range 60000 {
		fmt.Fprintf(&text, "line %d of the message\r\n", i)
	}
	message := text.String()
	go io.WriteString(nc, "1 LOGIN alice secret\r\n2 APPEND INBOX {"+fmt.Sprint(len(message))+"+}\r\n"+message+"\r\n3 SELECT INBOX\r\n4 FETCH 1 BODY[]\r\n5 NOOP\r\n6 LOGOUT\r\n")
	r := bufio.NewReader(nc)
	tag := 1
	for {
		line, err := r.ReadString('\n')
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "* 1 FETCH (BODY[] {") {
			got := make([]byte, len(message))
			if _, err := io.ReadFull(r, got); err != nil || string(got) != message {
				t.Fatalf("the message is another: %v", err)
			}
		}
		if line[0] != '*' && line[0] != ' ' && line[0] != ')' {
			if !strings.HasPrefix(line, fmt.Sprint(tag)+" OK") {
				t.Fatalf("answer %d: %s", tag, line)
			}
			tag++
		}
	}
	if tag != 7 {
		t.Errorf("%d answers", tag-1)
	}
}

// Many messages: every batch boundary, details and bodies, in order.
func TestManyMessages(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	const n = 2*batchSize + 7
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprintf("From: u%d@example.org\r\nSubject: s%d\r\n\r\nbody %d\r\n", i+1, i+1, i+1)
	}
	h.deliver("INBOX", store.Flags{}, texts...)
	c := h.open("alice")
	c.ok("SELECT INBOX")
	for i, line := range c.ok("FETCH 1:* (UID FLAGS)") {
		if want := fmt.Sprintf("* %d FETCH (UID %d FLAGS (\\Recent))", i+1, i+1); line != want {
			t.Fatalf("got %s, want %s", line, want)
		}
	}
	lines := c.ok("FETCH 1:* (ENVELOPE BODY[TEXT])")
	if len(lines) != 3*n {
		t.Fatalf("%d lines", len(lines))
	}
	for i := range n {
		if !strings.Contains(lines[3*i], fmt.Sprintf(`"s%d"`, i+1)) {
			t.Fatalf("message %d: %s", i+1, lines[3*i])
		}
		if want := fmt.Sprintf("body %d", i+1); lines[3*i+1] != want {
			t.Fatalf("message %d: %q, want %q", i+1, lines[3*i+1], want)
		}
		if got := lines[3*i+2]; got != ` FLAGS (\Seen \Recent))` {
			t.Fatalf("message %d: %q", i+1, got)
		}
	}
	if got := c.ok("SEARCH RETURN (COUNT) SEEN"); got[0] != fmt.Sprintf(`* ESEARCH (TAG "x") COUNT %d`, n) {
		t.Error(got)
	}
	if got := c.ok("SEARCH BODY 1030"); len(got) != 1 || got[0] != "* SEARCH 1030" {
		t.Error(got)
	}
}
