package abuse

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"plic/internal/dns/dnstest"
	"plic/test/world"
)

// calm runs something that wants memory, and fails if the server took much.
func (x *target) calm(t *testing.T, what string, limit int64, f func()) {
	t.Helper()
	before := x.Memory(t)
	f()
	if grown := x.Memory(t) - before; grown > limit {
		t.Errorf("%s: the server grew by %d KiB", what, grown>>10)
	}
}

// pour writes octets until the server has had enough of them, and gives what it
// says until it closes.
func pour(t *testing.T, c *world.Conn, octets []byte, total int) string {
	t.Helper()
	poured := make(chan struct{})
	go func() {
		defer close(poured)
		for n := 0; n < total; n += len(octets) {
			c.SetWriteDeadline(time.Now().Add(world.Patience))
			if _, err := c.Write(octets); err != nil {
				return
			}
		}
	}()
	said := c.Rest()
	c.Close()
	<-poured
	return said
}

// TestEndlessLine: threat S9. A line without an end gets one refusal and costs
// no memory, on every port.
func TestEndlessLine(t *testing.T) {
	t.Parallel()
	x := newTarget(t, "127.80.120", nil)
	for port, answer := range map[int]string{25: "500 ", 587: "500 ", 24: "500 ", 143: "* BYE", 110: "-ERR"} {
		x.calm(t, fmt.Sprint("port ", port), 24<<20, func() {
			c := x.Dial(t, port)
			c.Line()
			want(t, fmt.Sprint("port ", port), pour(t, c, bytes.Repeat([]byte("x"), 1<<16), 64<<20), answer)
		})
	}
	// In the midst of a session, and with an end that comes late but comes.
	c := x.SMTP(t)
	c.Must("500 ", "NOOP %s", strings.Repeat("x", 5000))
	c.Must("250 ", "NOOP %s", strings.Repeat("x", 900))
	c.Must("500 ", "MAIL FROM:<%s@far.test>", strings.Repeat("x", 20000))
	c.Must("250 ", "MAIL FROM:<a@far.test>")
	x.works(t)
}

// TestErrorCounts: threat S9. Errors and junk come to an end.
func TestErrorCounts(t *testing.T) {
	t.Parallel()
	x := newTarget(t, "127.80.121", map[string]string{"smtp.error_delay": `"0s"`})
	for _, command := range []string{"HACK", "MAIL FROM:<>x", "RCPT TO:<a@b>", "DATA now", "AUTH PLAIN x", "NOOP \xff\xfe", "NOOP\x00"} {
		c := x.SMTP(t)
		for range 20 {
			if reply := c.Ask("%s", command); reply[0] != '5' {
				t.Fatalf("%q: %q", command, reply)
			}
		}
		c.Must("421 4.7.0 ", "%s", command)
		c.Rest()
	}
	for _, command := range []string{"NOOP", "RSET", "VRFY a", "EHLO x", "HELP"} {
		c := x.SMTP(t)
		n := 0
		for ; n < 102; n++ {
			if reply := c.Ask("%s", command); strings.HasPrefix(reply, "421 4.7.0 ") {
				break
			}
		}
		if n != 100 && n != 99 {
			t.Errorf("%s was answered %d times", command, n)
		}
		c.Rest()
	}
	c := x.Dial(t, 143)
	c.Line()
	c.Send("a HACK\r\nb HACK\r\nc HACK\r\nd NOOP\r\n")
	if said := c.Rest(); !strings.Contains(said, "* BYE") || strings.Contains(said, "d OK") {
		t.Errorf("IMAP: %q", said)
	}
	c = x.Dial(t, 110)
	c.Line()
	c.Send("HACK\r\nHACK\r\nHACK\r\nCAPA\r\n")
	if said := c.Rest(); strings.Contains(said, "+OK") {
		t.Errorf("POP3: %q", said)
	}
	x.works(t)
}

// sized is a message of so many octets.
func sized(n int) string {
	head := "Subject: size\r\n\r\n"
	body := strings.Repeat(strings.Repeat("x", 70)+"\r\n", n/72+1)
	return head + body[:n-len(head)-2] + "\r\n"
}

// TestMessageSize: threat S10.
func TestMessageSize(t *testing.T) {
	t.Parallel()
	const limit = 64 << 10
	x := newTarget(t, "127.80.122", map[string]string{"smtp.message_size": `"64KiB"`, "smtp.header_size": `"64KiB"`, "smtp.error_delay": `"0s"`})
	c := x.SMTP(t)
	if !strings.Contains(c.Hello, fmt.Sprint("SIZE ", limit)) {
		t.Errorf("EHLO: %q", c.Hello)
	}
	c.Must("552 5.3.4 ", "MAIL FROM:<a@far.test> SIZE=%d", limit+1)
	c.Must("501 ", "MAIL FROM:<a@far.test> SIZE=18446744073709551616")
	c.Must("501 ", "MAIL FROM:<a@far.test> SIZE=-1")
	c.Must("552 5.3.4 ", "MAIL FROM:<a@far.test> SIZE=9223372036854775807")
	l := world.Letter{From: "a@far.test", To: []string{x.ann}}
	// The Received field that we add does not count.
	l.Text, l.FromParams = sized(limit), fmt.Sprint("SIZE=", limit)
	want(t, "exactly the limit", c.Post(l), "250 ")
	l.Text, l.FromParams = sized(limit+1), ""
	want(t, "one octet more", c.Post(l), "552 5.3.4 ")
	l.FromParams = "SIZE=100"
	want(t, "a lie", c.Post(l), "552 5.3.4 ")
	l.Text, l.FromParams = sized(1000), ""
	want(t, "afterwards", c.Post(l), "250 ")
	for _, chunks := range [][]int{{limit}, {limit / 2, limit / 2}, {limit + 1}, {limit / 2, limit/2 + 1}, {limit, 1}} {
		c = x.SMTP(t) // one chunk that is too large ends it
		c.Envelope(world.Letter{From: "a@far.test", To: []string{x.ann}})
		whole, total, reply := sized(limit+1), 0, ""
		for i, n := range chunks {
			last := ""
			if i == len(chunks)-1 {
				last = " LAST"
			}
			c.Send(fmt.Sprintf("BDAT %d%s\r\n%s", n, last, whole[total:total+n]))
			total += n
			reply = c.Reply()
		}
		if total > limit {
			want(t, fmt.Sprint("chunks ", chunks), reply, "552 5.3.4 ")
		} else if !strings.HasPrefix(reply, "250 ") && !strings.HasPrefix(reply, "550 5.6.0 ") { // cut in its last CRLF
			t.Errorf("chunks %v: %q", chunks, reply)
		}
		c.Close()
	}
	if got := len(x.Inbox(t, x.ann)); got < 2 || got > 4 {
		t.Errorf("%d messages are stored", got)
	}
	// What goes on far beyond is cut off.
	c = x.SMTP(t)
	c.Envelope(world.Letter{From: "a@far.test", To: []string{x.ann}})
	c.Must("354", "DATA")
	x.calm(t, "endless data", 24<<20, func() {
		want(t, "endless data", pour(t, c, []byte(strings.Repeat(strings.Repeat("x", 70)+"\r\n", 1000)), 64<<20), "552 5.3.4 ")
	})
	x.works(t)
}

// TestHeaderFloods: threat P2. Headers beyond reason are refused, those at its
// edge are taken, and neither costs much.
func TestHeaderFloods(t *testing.T) {
	t.Parallel()
	x := newTarget(t, "127.80.123", map[string]string{"smtp.error_delay": `"0s"`})
	flood := func(unit string, n int) string { return strings.Repeat(unit, n) }
	for name, text := range map[string]string{
		"lines":     flood("X: y\r\n", 1_000_000),
		"folds":     "X: y\r\n" + flood("\ty\r\n", 1_000_000),
		"one line":  "X: " + flood("y", 4<<20) + "\r\n",
		"addresses": "To: a@b.test" + flood(",\r\n a@b.test", 500_000) + "\r\n",
		"comments":  "To: " + flood("(", 2<<20) + "\r\n",
	} {
		x.calm(t, name, 64<<20, func() {
			c := x.SMTP(t)
			want(t, name, c.Post(world.Letter{From: "a@far.test", To: []string{x.ann}, Text: text + "\r\nbody\r\n"}), "552 5.3.4 ")
			c.Must("250 ", "RSET")
		})
	}
	for name, text := range map[string]string{
		"lines":     flood("X: y\r\n", 4000),
		"one line":  "X: " + flood("y", 1<<20-100) + "\r\n",
		"addresses": "To: a@b.test" + flood(", a@b.test", 100_000) + "\r\n",
		"comments":  "To: " + flood("(", 1<<20-100) + "\r\n",
		"words":     "Subject: " + flood("=?utf-8?q?x?= ", 70_000) + "\r\n",
		"params":    "Content-Type: text/plain" + flood("; name*0*=x", 90_000) + "\r\n",
		"parts":     "Content-Type: multipart/mixed; boundary=a\r\n\r\n" + flood("--a\r\n\r\n", 200_000),
		"depth":     flood("Content-Type: message/rfc822\r\n\r\n", 100_000),
	} {
		x.calm(t, name, 96<<20, func() {
			want(t, name, x.SMTP(t).Post(world.Letter{From: "a@far.test", To: []string{x.eve}, Text: text + "\r\nbody\r\n"}), "250 ")
		})
	}
	c := x.IMAP(t, x.eve)
	c.IMAPOK("SELECT INBOX")
	lines := c.IMAPOK("FETCH 1:* (ENVELOPE BODYSTRUCTURE RFC822.SIZE)")
	if len(lines) != 9 {
		t.Errorf("FETCH gave %d lines", len(lines))
	}
	x.works(t)
}

// TestEarlyTalker: threat S6. Who talks before the greeting, or behind a
// command that must come last, is closed; the groups of RFC 2920 are not.
func TestEarlyTalker(t *testing.T) {
	t.Parallel()
	x := newTarget(t, "127.80.124", nil)
	early := x.World.Address()
	parts := strings.Split(early, ".")
	// The greeting waits for the client's name: time enough for what it sends.
	x.World.DNS.Fail(fmt.Sprintf("%s.%s.%s.%s.in-addr.arpa", parts[3], parts[2], parts[1], parts[0]), dnstest.Silent)
	c := x.World.Dial(t, early, x.Address+":25", x.Host)
	c.Send("EHLO early\r\nMAIL FROM:<a@far.test>\r\n")
	want(t, "early", c.Rest(), "554 5.5.1 ")

	for _, group := range []string{"EHLO x\r\nMAIL FROM:<a@far.test>\r\n", "HELO x\r\nNOOP\r\n"} {
		c = x.Dial(t, 25)
		c.Want("220 ")
		c.Send(group)
		if said := c.Rest(); !strings.HasPrefix(said, "554 5.5.0 ") || strings.Contains(said, "250") {
			t.Errorf("%q: %q", group, said)
		}
	}
	c = x.SMTP(t)
	c.Envelope(world.Letter{From: "a@far.test", To: []string{x.ann}})
	c.Send("DATA\r\nSubject: x\r\n\r\nx\r\n.\r\n")
	if said := c.Rest(); !strings.HasPrefix(said, "554 5.5.0 ") || strings.Contains(said, "250") {
		t.Errorf("DATA and data: %q", said)
	}

	c = x.SMTP(t)
	c.Send("MAIL FROM:<a@far.test>\r\nRCPT TO:<" + x.ann + ">\r\nRCPT TO:<nobody@one.test>\r\nDATA\r\n")
	for _, code := range []string{"250 2.1.0", "250 2.1.5", "550 5.1.1", "354"} {
		c.Want(code)
	}
	// The end of the data and the next group may come together.
	c.Send("Subject: piped\r\n\r\nx\r\n.\r\nMAIL FROM:<a@far.test>\r\nRCPT TO:<" + x.ann + ">\r\nRSET\r\nNOOP\r\nQUIT\r\n")
	for _, code := range []string{"250 2.0.0", "250 2.1.0", "250 2.1.5", "250 ", "250 ", "221 "} {
		c.Want(code)
	}
	x.WaitMail(t, x.ann, "Subject: piped")
	if got := len(x.Inbox(t, x.ann)); got != 1 {
		t.Errorf("%d messages came", got)
	}
}

// TestChunks: threat S7. The conversation stays in step whatever BDAT says.
func TestChunks(t *testing.T) {
	t.Parallel()
	x := newTarget(t, "127.80.125", map[string]string{"smtp.error_delay": `"0s"`})
	begin := func() *world.Conn {
		c := x.SMTP(t)
		c.Envelope(world.Letter{From: "a@far.test", To: []string{x.ann}})
		return c
	}
	c := begin()
	c.Send("BDAT 0 LAST\r\n")
	c.Want("250 ")
	c.Must("250 ", "NOOP")
	for _, size := range []string{"9223372036854775807", "9223372036854775807 LAST", "18446744073709551616", "-1", "-9223372036854775808 LAST", "0x10", "1e3", "", "5 FIRST", "5 LAST LAST", "5LAST"} {
		c = begin()
		c.Send("BDAT " + size + "\r\nMAIL FROM:<evil@far.test>\r\n")
		if said := c.Rest(); said[0] != '5' || strings.Count(said, "\r\n") != 1 {
			t.Errorf("BDAT %s: %q", size, said)
		}
	}
	// DATA within BDAT, and BDAT where there is nobody to get it.
	c = begin()
	c.Send("BDAT 4\r\nab\r\n")
	c.Want("250 ")
	c.Must("503 ", "DATA")
	c.Must("503 ", "RCPT TO:<%s>", x.ann)
	c.Must("503 ", "MAIL FROM:<a@far.test>")
	c.Must("250 ", "RSET")
	c.Must("250 ", "MAIL FROM:<a@far.test>")
	c.Must("550 ", "RCPT TO:<nobody@one.test>")
	evil := "RSET\r\nMAIL FROM:<evil@far.test>\r\n"
	c.Send(fmt.Sprintf("BDAT %d\r\n%s", len(evil), evil))
	c.Want("503 ")
	c.Send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(evil), evil))
	c.Want("503 ")
	c.Must("250 ", "RSET")
	c.Send("BDAT 6 LAST\r\nQUIT\r\n") // without MAIL
	c.Want("503 ")
	c.Must("250 ", "NOOP")
	// A lone dot is content.
	c.Envelope(world.Letter{From: "a@far.test", To: []string{x.ann}})
	dots := "Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n.\r\n"
	c.Send(fmt.Sprintf("BDAT %d\r\n%sBDAT %d LAST\r\n%s", len(dots)-1, dots[:len(dots)-1], 1, dots[len(dots)-1:]))
	c.Want("250 ")
	c.Want("250 ")
	if got := x.WaitMail(t, x.ann, "Subject: dots"); !strings.HasSuffix(got, dots) {
		t.Errorf("stored: %q", got)
	}
	// An end within a chunk leaves nothing.
	c = begin()
	c.Send("BDAT 1000 LAST\r\nSubject: half\r\n\r\n")
	c.Close()
	x.works(t)
	for _, m := range x.Inbox(t, x.ann) {
		no(t, "what is stored", m, "half", "evil")
	}
}

// TestIMAPLimits: threats I1, I2, I3. Literals, brackets and searches without
// measure are refused at once.
func TestIMAPLimits(t *testing.T) {
	t.Parallel()
	x := newTarget(t, "127.80.126", nil)
	for _, literal := range []string{"{4294967295}", "{100000000+}", "{18446744073709551616}", "{99999999999999999999999+}", "{1000000}", "{-1}"} {
		c := x.Dial(t, 143)
		c.Line()
		c.Send("a LOGIN " + literal + "\r\n")
		if line := c.Line(); !strings.HasPrefix(line, "a BAD") && !strings.HasPrefix(line, "* BYE") {
			t.Errorf("%s before login: %q", literal, line)
		}
		c.Close()
	}
	x.calm(t, "brackets", 24<<20, func() {
		for _, head := range []string{"a ", "a LOGIN ", "a LIST ", "a ID ", "a AUTHENTICATE PLAIN "} {
			c := x.Dial(t, 143)
			c.Line()
			said := pour(t, c, []byte(head+strings.Repeat("(", 1<<16)), 10_000_000)
			if !strings.HasPrefix(said, "a BAD") && !strings.HasPrefix(said, "* BYE") {
				t.Errorf("%s(((: %.200q", head, said)
			}
		}
	})
	c := x.IMAP(t, x.ann)
	c.IMAPOK("SELECT INBOX")
	for name, command := range map[string]string{
		"NOT":        "SEARCH " + strings.Repeat("NOT ", 15_000) + "ALL",
		"long NOT":   "SEARCH " + strings.Repeat("NOT ", 100_000) + "ALL",
		"OR":         "SEARCH " + strings.Repeat("OR ", 20_000) + strings.Repeat("ALL ", 20_000) + "ALL",
		"brackets":   "SEARCH " + strings.Repeat("(", 30_000) + "ALL" + strings.Repeat(")", 30_000),
		"LIST":       "LIST " + strings.Repeat("(", 30_000),
		"FETCH":      "FETCH 1 (" + strings.Repeat("(", 30_000),
		"set":        "FETCH " + strings.Repeat("1,", 100_000) + "1 FLAGS",
		"wild cards": "LIST \"\" " + strings.Repeat("*", 60_000),
		"literals":   "SEARCH" + strings.Repeat(" SUBJECT {1+}\r\nx", 10_000),
	} {
		lines := c.IMAP("%s", command) // within world.Patience
		answer := lines[len(lines)-1]
		if name == "wild cards" && strings.HasPrefix(answer, "OK") {
			answer = "BAD"
		}
		if !strings.HasPrefix(answer, "BAD") && !strings.HasPrefix(answer, "NO") {
			t.Errorf("%s: %.200q", name, answer)
		}
		c.IMAPOK("NOOP")
	}
	c.IMAPOK("SEARCH %sALL", strings.Repeat("NOT ", 20))
	x.works(t)
}

// TestSlowClients: threat L1. Two hundred clients that hold their connections
// in every state do not keep a good one from its work.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	x := newTarget(t, "127.80.127", nil)
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	for i := range 200 {
		state := []struct {
			port int
			text string
		}{
			{25, ""}, {25, "EH"}, {25, "EHLO x\r\n"}, {25, "HELO x"}, {587, "EHLO x\r\n"}, {465, ""}, {465, "\x16\x03\x01"},
			{143, "a LOG"}, {143, "a LOGIN {5}\r\n"}, {993, ""}, {110, "USER x\r\n"}, {995, "\x16"}, {24, "LHLO x\r\n"}, {80, "GET /"},
		}[i%14]
		c, err := net.Dial("tcp", net.JoinHostPort(x.Address, strconv.Itoa(state.port)))
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		if _, err := io.WriteString(c, state.text); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 { // and some within their messages
		c := x.SMTP(t)
		c.Envelope(world.Letter{From: "a@far.test", To: []string{x.ann}})
		c.Must("354", "DATA")
		c.Send("Subject: slow\r\n\r\n.")
		held = append(held, c)
	}
	for range 5 {
		x.works(t)
	}
	id := x.Submission(t, x.eve).Deliver(world.Letter{From: x.eve, To: []string{"carl@far.test"}, Text: text(x.eve, "carl@far.test", "quick")})
	x.far.Wait(t, 1)
	x.WaitJournal(t, id, "relayed")
}
