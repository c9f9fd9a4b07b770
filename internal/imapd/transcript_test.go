package imapd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plic/internal/store"
)

// TestTranscripts plays the conversations in testdata. A line is
//
//	# a comment
//	mail MAILBOX FILE [FLAG...]   deliver a message of testdata to alice
//	open N [FROM]                 connect as client N; the greeting is read
//	login N [USER]                open, and log in as alice, or another user
//	hangup N                      close the connection
//	N> text                       client N sends a line; \r \n \0 \xNN are octets, here and below
//	N< pattern                    client N gets a line; "..." is any text
//	                              <uidvalidity> is that which client N was told last
//	N!                            client N's connection has ended
//
// TestJudge plays them to Dovecot, so that the transcripts are judged too; see
// there for the comments that say where it differs.
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.imap")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			play(t, strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"))
		})
	}
}

func play(t *testing.T, lines []string) {
	h := newHouse(t, func(o *Options) {
		o.MaxMessage = 1 << 20
		o.PerUserIP = 5
		o.Shared = func(string) string { return "team" }
		o.Admin = func(account string) bool { return account == "team" }
	})
	clients := map[string]*client{}
	for i, line := range lines {
		if line == "" || line[0] == '#' {
			continue
		}
		step(t, h, clients, i+1, line)
		if t.Failed() {
			t.Fatalf("line %d: %s", i+1, line)
		}
	}
}

// stage is the server that a transcript is played to.
type stage interface {
	deliver(mailbox string, flags store.Flags, texts ...string)
	dial(from string) *client
	open(user string) *client
}

func step(t *testing.T, h stage, clients map[string]*client, n int, line string) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("at line %d: %s", n, line)
		}
	}()
	words := strings.Fields(line)
	switch words[0] {
	case "mail":
		flags, err := flagsOf(words[3:])
		if err != nil {
			t.Fatal(err)
		}
		h.deliver(words[1], store.Flags(flags), eml(t, words[2]))
		return
	case "text": // a mailbox, and a message with \r\n in it
		h.deliver(words[1], store.Flags{}, octets(strings.SplitN(line, " ", 3)[2]))
		return
	case "open":
		from := "127.0.0.1:4000"
		if len(words) > 2 {
			from = words[2]
		}
		clients[words[1]] = h.dial(from)
		clients[words[1]].expect("* OK [CAPABILITY ...")
		return
	case "login":
		user := "alice"
		if len(words) > 2 {
			user = words[2]
		}
		clients[words[1]] = h.open(user)
		return
	case "hangup":
		clients[words[1]].nc.Close()
		return
	}
	who, rest := line[:1], line[1:]
	c := clients[who]
	if c == nil {
		t.Fatalf("line %d: no client %q", n, who)
	}
	switch {
	case strings.HasPrefix(rest, "> "):
		c.send(strings.ReplaceAll(octets(rest[2:]), "<uidvalidity>", c.uidValidity) + "\r\n")
	case rest == ">":
		c.send("\r\n")
	case strings.HasPrefix(rest, "< "):
		c.expect(octets(rest[2:]))
	case rest == "<":
		c.expect("")
	case rest == "!":
		c.closed()
	default:
		t.Fatalf("line %d: what is %q?", n, line)
	}
}

// octets resolves \r, \n, \0 and \xNN; other backslashes stay.
func octets(text string) string {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		rest := text[i:]
		switch {
		case strings.HasPrefix(rest, `\r`):
			b.WriteByte('\r')
			i++
		case strings.HasPrefix(rest, `\n`):
			b.WriteByte('\n')
			i++
		case strings.HasPrefix(rest, `\0`):
			b.WriteByte(0)
			i++
		case strings.HasPrefix(rest, `\x`) && len(rest) >= 4:
			const digits = "0123456789abcdef"
			b.WriteByte(byte(strings.IndexByte(digits, rest[2])<<4 | strings.IndexByte(digits, rest[3])))
			i += 3
		default:
			b.WriteByte(text[i])
		}
	}
	return b.String()
}
