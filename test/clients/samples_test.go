package clients

import (
	"bufio"
	"bytes"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/message/messagetest"
	"plic/test/trial"
)

// save writes samples into files and gives the word by which curl uploads them
// all in their order.
func save(t *testing.T, samples []messagetest.Sample) string {
	t.Helper()
	dir := t.TempDir()
	var names []string
	for _, m := range samples {
		write(t, filepath.Join(dir, m.Name), string(m.Raw))
		names = append(names, m.Name)
	}
	return filepath.Join(dir, "{"+strings.Join(names, ",")+"}")
}

// fetch downloads so many messages from the second on, which follow the
// welcome, each by its number in the path.
func fetch(t *testing.T, s *trial.Server, who trial.Account, scheme, path string, n int) [][]byte {
	t.Helper()
	dir := t.TempDir()
	curl(t, s, who, scheme, path+fmt.Sprintf("[2-%d]", n+1), "-o", filepath.Join(dir, "#1")).ok(t)
	all := make([][]byte, n)
	for i := range all {
		all[i], _ = os.ReadFile(filepath.Join(dir, fmt.Sprint(i+2))) // an empty message makes no file
	}
	return all
}

func same(t *testing.T, what, name string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	t.Errorf("%s: %s came with %d octets, not %d, and differs at %d: %.60q, not %.60q", what, name, len(got), len(want), at, got[at:], want[at:])
}

// All that is put into a mailbox comes out of it, by every way, as it was.
func TestSamplesByAppend(t *testing.T) {
	t.Parallel()
	trial.Need(t, "curl", "mbsync")
	s := trial.Start(t, program, ann)
	// Nothing at all takes an APPEND back, RFC 3502, and curl knows no literal8.
	samples := slices.DeleteFunc(messagetest.All(), func(m messagetest.Sample) bool {
		return len(m.Raw) == 0 || bytes.IndexByte(m.Raw, 0) >= 0
	})
	if len(samples) < 100 {
		t.Fatalf("%d samples", len(samples))
	}
	curl(t, s, ann, "imaps", "/INBOX", "-T", save(t, samples)).ok(t)

	byIMAP := fetch(t, s, ann, "imaps", "/INBOX;UID=", len(samples))
	byPOP3 := fetch(t, s, ann, "pop3s", "/", len(samples))
	for i, m := range samples {
		same(t, "IMAP", m.Name, byIMAP[i], m.Raw)
		same(t, "POP3", m.Name, byPOP3[i], asLines(m.Raw))
	}

	// mbsync leaves out messages whose header does not end.
	here := newReplica(t, s, ann)
	here.sync("has incomplete header; skipping")
	left := map[string]string{}
	for _, m := range samples {
		left[asFile(m.Raw)] = m.Name
	}
	for _, name := range here.mail("INBOX") {
		text := tuid.ReplaceAllString(read(t, name), "")
		if _, ok := left[text]; !ok && !strings.Contains(text, "Welcome to plic") {
			t.Errorf("mbsync got what was not sent: %.300q", text)
		}
		delete(left, text)
	}
	want := "half-header only-header"
	if got := strings.Join(slices.Sorted(maps.Values(left)), " "); got != want {
		t.Errorf("mbsync left out %s, not %s", got, want)
	}
}

// asLines is a message as curl writes what POP3 tells: in lines, each with CRLF,
// and at least one.
func asLines(raw []byte) []byte {
	raw = regexp.MustCompile(`\r?\n`).ReplaceAll(raw, []byte("\r\n"))
	if !bytes.HasSuffix(raw, []byte("\r\n")) {
		raw = append(raw, "\r\n"...)
	}
	return raw
}

// tuid is the field that mbsync adds to a message to find it again.
var tuid = regexp.MustCompile(`(?m)^X-TUID: .*\n`)

// asFile is a message as mbsync writes it: without any carriage return.
func asFile(raw []byte) string { return strings.ReplaceAll(string(raw), "\r", "") }

// What comes by SMTP stays as it is behind the fields that the way adds.
func TestSamplesBySMTP(t *testing.T) {
	t.Parallel()
	trial.Need(t, "curl")
	s := trial.Start(t, program, bob)
	var clean, other []messagetest.Sample
	for _, m := range messagetest.All() {
		if m.Clean() && m.Name != "many-received" {
			clean = append(clean, m)
		} else {
			other = append(other, m)
		}
	}
	run(t, "curl", "-sS", "--cacert", s.CA(), "--ssl-reqd", "smtp://"+s.At(trial.SMTP)+"/client.example",
		"--mail-from", "stranger@example.org", "--mail-rcpt", bob.Name, "-T", save(t, clean)).ok(t)

	sent := slices.Clone(clean)
	in := dialSMTP(t, s)
	for _, m := range other {
		want := "250 2.0.0 "
		text := m.Raw
		switch {
		case m.Name == "many-received":
			want = "554 5.4.6 "
		case bytes.IndexByte(text, 0) >= 0, bareLine.Match(text):
			want = "550 5.6.0 "
		case !bytes.HasSuffix(text, []byte("\r\n")) && len(text) > 0:
			text = append(slices.Clip(text), "\r\n"...) // as every client must
		}
		got := in.send(text)
		if !strings.HasPrefix(got, want) {
			t.Errorf("%s is answered %q, not %q", m.Name, got, want)
		}
		if strings.HasPrefix(got, "250") {
			sent = append(sent, messagetest.Sample{Name: m.Name, Raw: text})
		}
	}
	if len(sent) < 90 || len(sent) > len(clean)+len(other)-4 {
		t.Errorf("%d samples were taken", len(sent))
	}

	trace := regexp.MustCompile(`^Return-Path: <stranger@example\.org>\r\nDelivered-To: bob@plic\.test\r\nReceived: from [^\n]*\r\n(?:\t[^\n]*\r\n)*(?:\r\n)?$`)
	for i, got := range fetch(t, s, bob, "imaps", "/INBOX;UID=", len(sent)) {
		head, ok := bytes.CutSuffix(got, sent[i].Raw)
		if !ok || !trace.Match(head) {
			t.Errorf("%s came as %.600q", sent[i].Name, got)
		}
	}
	for i, got := range fetch(t, s, bob, "pop3s", "/", len(sent)) {
		if head, ok := bytes.CutSuffix(got, sent[i].Raw); !ok || !trace.Match(head) {
			t.Errorf("%s came by POP3 as %.600q", sent[i].Name, got)
		}
	}
}

// bareLine finds a line feed or a carriage return that stands alone.
var bareLine = regexp.MustCompile(`(?:^|[^\r])\n|\r(?:[^\n]|$)`)

// client is an SMTP session without the good manners of a real client.
type client struct {
	t *testing.T
	c net.Conn
	r *bufio.Reader
}

func dialSMTP(t *testing.T, s *trial.Server) *client {
	t.Helper()
	conn, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", s.Port(trial.SMTP)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(60 * time.Second))
	c := &client{t, conn, bufio.NewReader(conn)}
	c.reply("220")
	c.say("EHLO client.example", "250")
	return c
}

// say sends a line and gives the last line of the answer, which must begin with
// a code.
func (c *client) say(line, code string) string {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.c, "%s\r\n", line); err != nil {
		c.t.Fatal(err)
	}
	return c.reply(code)
}

func (c *client) reply(code string) string {
	c.t.Helper()
	for {
		line, err := c.r.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, code) {
			c.t.Fatalf("answered %q, %v", line, err)
		}
		if len(line) < 4 || line[3] != '-' {
			return line
		}
	}
}

// send sends a message as it is, with dots, and gives the answer.
func (c *client) send(raw []byte) string {
	c.t.Helper()
	c.say("MAIL FROM:<stranger@example.org>", "250")
	c.say("RCPT TO:<"+bob.Name+">", "250")
	c.say("DATA", "354")
	text := regexp.MustCompile(`(?m)^\.`).ReplaceAll(raw, []byte(".."))
	if len(text) > 0 && !bytes.HasSuffix(text, []byte("\r\n")) {
		text = append(text, "\r\n"...)
	}
	return c.say(string(text)+".", "")
}
