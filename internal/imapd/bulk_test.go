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
	nc.SetDeadline(time.Now().Add(time.Minute))
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
		if strings.HasPrefix(line, "* 1 FETCH (FLAGS (\\Seen \\Recent) BODY[] {") {
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
		if !strings.Contains(lines[3*i], ` FLAGS (\Seen \Recent) BODY[TEXT] {`) || lines[3*i+2] != ")" {
			t.Fatalf("message %d: %q", i+1, lines[3*i:3*i+3])
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

// A command works on the newest messages, and says how far it came.
func TestMessageLimit(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *Options) { o.MessageLimit = 3 })
	for range 6 {
		h.deliver("INBOX", store.Flags{}, "Subject: it\r\n\r\nword\r\n")
	}
	c := h.open("alice")
	if got := c.ok("CAPABILITY")[0]; !strings.Contains(got, " MESSAGELIMIT=3 ") || strings.Contains(got, "SAVELIMIT") {
		t.Error(got)
	}
	c.ok("SELECT INBOX")
	check := func(command, want string) {
		t.Helper()
		lines, answer := c.do(command)
		if got := strings.Join(append(lines, answer), "; "); !match(want, got) {
			t.Errorf("%s\n got %s\nwant %s", command, got, want)
		}
	}
	check("FETCH 1:* UID", "* 4 FETCH (UID 4); * 5 FETCH (UID 5); * 6 FETCH (UID 6); OK [MESSAGELIMIT 3 4] ...")
	check("UID FETCH 1:3 (UID)", "* 1 FETCH (UID 1); * 2 FETCH (UID 2); * 3 FETCH (UID 3); OK ...FETCH completed")
	check("UID FETCH 1:2,4,6 (UID)", "* 2 FETCH (UID 2); * 4 FETCH (UID 4); * 6 FETCH (UID 6); OK [MESSAGELIMIT 3 2] ...")
	check("UID FETCH 1:* (UID) (PARTIAL 2:4)", "* 2 FETCH (UID 2); * 3 FETCH (UID 3); * 4 FETCH (UID 4); OK ...FETCH completed")
	check("UID FETCH 1:* (UID) (PARTIAL 1:4)", "NO [MESSAGELIMIT 3] ...")
	check("SEARCH ALL", "* SEARCH 4 5 6; OK [MESSAGELIMIT 3 4] ...")
	check("UID SEARCH BODY word", "* SEARCH 4 5 6; OK [MESSAGELIMIT 3 4] ...")
	check("UID SEARCH UIDBEFORE 4 BODY word", "* SEARCH 1 2 3; OK ...SEARCH completed")
	check("UID SEARCH UIDAFTER 4", "* SEARCH 5 6; OK ...SEARCH completed")
	check("UID SEARCH 1:5 UIDAFTER 1 NOT UID 4", "* SEARCH 3 5; OK [MESSAGELIMIT 3 3] ...")
	check("UID SEARCH OR UID 1 UID 5", "* SEARCH 5; OK [MESSAGELIMIT 3 4] ...")
	check("SEARCH RETURN (UPDATE) ALL", `* NO [NOUPDATE "...; OK [MESSAGELIMIT 3 4] ...`)
	check("UID SEARCH RETURN (SAVE) ALL", "OK [MESSAGELIMIT 3 4] ...")
	check("UID FETCH $ (UID)", "* 4 FETCH (UID 4); * 5 FETCH (UID 5); * 6 FETCH (UID 6); OK ...FETCH completed")
	check("ESEARCH IN (personal) RETURN (COUNT) ALL", `* ESEARCH (TAG "... UID COUNT 6; OK ESEARCH ...`)
	check("UID SORT (DATE) UTF-8 ALL", "NO [MESSAGELIMIT 3 4] ...")
	check("UID SORT (ARRIVAL) UTF-8 UIDBEFORE 4", "* SORT 1 2 3; OK ...SORT completed")
	check("UID THREAD REFS UTF-8 ALL", "NO [MESSAGELIMIT 3 4] ...")
	check("STORE 1:* +FLAGS.SILENT (\\Flagged)", "OK [MESSAGELIMIT 3 4] ...")
	check("UID SEARCH UIDBEFORE 4 FLAGGED", "* SEARCH; OK ...SEARCH completed")
	check("COPY 1:4 Trash", "NO [MESSAGELIMIT 3 2] ...")
	check("APPEND Trash {3+}\r\na:1 {3+}\r\na:2 {3+}\r\na:3 {3+}\r\na:4", "NO [MESSAGELIMIT 3] ...")
	c.ok("STORE 1:2 +FLAGS.SILENT (\\Deleted)")
	c.ok("STORE 4:5 +FLAGS.SILENT (\\Deleted)")
	check("UID EXPUNGE 1:*", "* 5 EXPUNGE; * 4 EXPUNGE; * 2 EXPUNGE; OK [MESSAGELIMIT 3 2] ...")
	c.ok("APPEND INBOX {3+}\r\na:1")
	check("UID MOVE 1:* Trash", "* OK [COPYUID ...; * 4 EXPUNGE; * 3 EXPUNGE; * 2 EXPUNGE; OK [MESSAGELIMIT 3 3] ...")
	h.deliver("INBOX", store.Flags{}, "a: 1\r\n\r\n", "a: 2\r\n\r\n", "a: 3\r\n\r\n")
	c.ok("ENABLE CONDSTORE")
	c.ok("NOOP")
	check("STORE 1:* (UNCHANGEDSINCE 1) +FLAGS (x)", "* NO [MESSAGELIMIT 3 8] ...; OK [MODIFIED 2:4] ...")
	check("UID MOVE 1:* Trash", "* OK [COPYUID ...; * NO [MESSAGELIMIT 3 8] ...; OK [HIGHESTMODSEQ ...")
	check("EXPUNGE", "* 1 EXPUNGE; OK ...") // has no limit
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
