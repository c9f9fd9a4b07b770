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

// The batches of UIDBATCHES cover all UIDs once, and hold as many messages as
// was asked for, the oldest perhaps fewer.
func TestUIDBatches(t *testing.T) {
	t.Parallel()
	h := newHouse(t, nil)
	const n = 1733
	texts := make([]string, n)
	for i := range texts {
		texts[i] = "Subject: x\r\n\r\n"
	}
	h.deliver("INBOX", store.Flags{}, texts...)
	c := h.open("alice")
	c.ok("SELECT INBOX")
	c.ok(`UID STORE 1:3,100,600:699,1733 +FLAGS.SILENT (\Deleted)`)
	c.ok("EXPUNGE")
	const left = n - 105
	batches := func(args string) []string {
		t.Helper()
		lines := c.ok("UIDBATCHES " + args)
		rest, ok := strings.CutPrefix(lines[0], `* UIDBATCHES (TAG "x")`)
		if len(lines) != 1 || !ok {
			t.Fatal(lines)
		}
		return strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == ',' })
	}
	for _, size := range []int{500, 501, 814, left - 1, left, left + 1} {
		all := batches(fmt.Sprint(size))
		if want := (left + size - 1) / size; len(all) != want {
			t.Fatalf("%d batches of %d, want %d: %v", len(all), size, want, all)
		}
		next, rest := 1732, left
		for i, b := range all {
			var high, low int
			if _, err := fmt.Sscanf(b, "%d:%d", &high, &low); err != nil || high != next || low > high {
				t.Fatalf("batch %d of %v", i+1, all)
			}
			want := fmt.Sprintf(`* ESEARCH (TAG "x") UID COUNT %d`, min(size, rest))
			if got := c.ok("UID SEARCH RETURN (COUNT) UID " + b); got[0] != want {
				t.Fatalf("batch %s of %d: %s", b, size, got[0])
			}
			if got := batches(fmt.Sprintf("%d %d:%d", size, i+1, i+1)); len(got) != 1 || got[0] != b {
				t.Fatalf("batch %d alone is %v, not %s", i+1, got, b)
			}
			next, rest = low-1, rest-min(size, rest)
		}
		if next != 0 {
			t.Fatalf("UIDs below %d are in no batch", next+1)
		}
	}
	if got := batches("4294967295 4294967295:4294967295"); len(got) != 0 {
		t.Error(got)
	}
}

// What is too much to save at once is refused whole, RFC 9738 section 3.1.
func TestSaveLimit(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.SaveLimit = 3 })
	h.deliver("INBOX", store.Flags{}, "a: 1\r\n\r\n", "a: 2\r\n\r\n", "a: 3\r\n\r\n", "a: 4\r\n\r\n", "a: 5\r\n\r\n")
	c := h.open("alice")
	c.ok("SELECT INBOX")
	for command, want := range map[string]string{
		"UID COPY 1:5 Trash": "NO [MESSAGELIMIT 3 3] ...",
		"COPY 1:4 Trash":     "NO [MESSAGELIMIT 3 2] ...",
		"APPEND Trash {3+}\r\na:1 {3+}\r\na:2 {3+}\r\na:3 {3+}\r\na:4": "NO [MESSAGELIMIT 3] ...",
	} {
		if _, got := c.do(command); !match(want, got) {
			t.Errorf("%s: %s", command, got)
		}
	}
	if got := c.ok("STATUS Trash (MESSAGES)"); got[0] != "* STATUS Trash (MESSAGES 0)" {
		t.Error(got)
	}
	c.ok("COPY 2:4 Trash")
	c.ok("MOVE 1:5 Trash") // the limit is on COPY and APPEND
	if got := c.ok("STATUS Trash (MESSAGES)"); got[0] != "* STATUS Trash (MESSAGES 8)" {
		t.Error(got)
	}
}
