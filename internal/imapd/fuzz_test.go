package imapd

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"plic/internal/auth"
	"plic/internal/store"
	"plic/internal/store/memory"
)

// script is a connection on which the client has sent all it will, and gone.
type script struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (s *script) Read(p []byte) (int, error)       { return s.in.Read(p) }
func (s *script) Write(p []byte) (int, error)      { return s.out.Write(p) }
func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return memAddr("127.0.0.1:143") }
func (s *script) RemoteAddr() net.Addr             { return memAddr("127.0.0.1:9") }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

var (
	announced = regexp.MustCompile(`\{([0-9]+)\}$`)
	response  = regexp.MustCompile(`^(\*|\+|[!-~]+ (OK|NO|BAD)) `)
)

// checkOutput reads what a server has sent as a client would: every response
// begins as one and ends with its line, whatever literals are in it.
func checkOutput(t *testing.T, out []byte) {
	t.Helper()
	if bytes.Contains(out, []byte("SERVERBUG")) {
		t.Fatalf("internal error:\n%q", out)
	}
	for len(out) > 0 {
		begun := false
		for more := true; more; begun = true {
			end := bytes.Index(out, []byte("\r\n"))
			if end < 0 {
				t.Fatalf("a response does not end: %q", out)
			}
			line := out[:end]
			out = out[end+2:]
			if !begun && !response.Match(line) {
				t.Fatalf("no response: %q", line)
			}
			m := announced.FindSubmatch(line)
			if more = m != nil && !bytes.HasPrefix(line, []byte("+ ")); more {
				n, _ := strconv.Atoi(string(m[1]))
				if n > len(out) {
					t.Fatalf("a literal of %d octets is cut: %q", n, out)
				}
				out = out[n:]
			}
		}
	}
}

// FuzzSession lets a logged-in client send anything.
func FuzzSession(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.imap")
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		var wire strings.Builder
		for line := range strings.SplitSeq(string(text), "\n") {
			if rest, ok := strings.CutPrefix(line, "1> "); ok {
				wire.WriteString(octets(rest) + "\r\n")
			}
		}
		f.Add([]byte(wire.String()))
	}
	f.Add([]byte("a SELECT INBOX\r\nb FETCH 1:* (BODY[1.1.1.1] BINARY[1]<5.5> BODY[HEADER.FIELDS.NOT (a)])\r\nc IDLE\r\nDONE\r\nd MOVE 1 Sent\r\n"))
	var messages []string
	for _, name := range []string{"simple.eml", "multi.eml", "odd.eml"} {
		messages = append(messages, eml(f, name))
	}
	login := auth.New(auth.Options{
		Directory: users{secretOnce()}, Cost: cheap(),
		Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	f.Fuzz(func(t *testing.T, wire []byte) {
		s := store.New(store.Options{Engine: memory.New(time.Now)})
		defer s.Close()
		h := &house{t: t, store: s, server: New(Options{Store: s, Auth: login, Log: slog.New(slog.DiscardHandler), MaxMessage: 1 << 20})}
		h.deliver("INBOX", store.Flags{System: store.Deleted}, messages...)
		conn := &script{in: bytes.NewReader(append([]byte("x LOGIN alice secret\r\nx SELECT INBOX\r\n"), wire...))}
		h.server.serve(context.Background(), context.Background(), conn, false)
		checkOutput(t, conn.out.Bytes())
		if n := h.server.sessions.Len(); n != 0 {
			t.Fatalf("%d sessions left behind", n)
		}
	})
}

// FuzzPreAuth lets anybody send anything.
func FuzzPreAuth(f *testing.F) {
	for _, s := range []string{
		"a CAPABILITY\r\n", "a LOGIN {5}\r\nalice {6}\r\nsecret\r\n", "a AUTHENTICATE PLAIN AGFsaWNlAHNlY3JldA==\r\nb LIST \"\" *\r\n",
		"a AUTHENTICATE LOGIN\r\nYWxpY2U=\r\nc2VjcmV0\r\n", "a ID (\"x\" NIL)\r\n", "a AUTHENTICATE SCRAM-SHA-256 biwsbj1hbGljZSxyPWFiYw==\r\n*\r\n",
		"a APPEND x {3+}\r\nabc\r\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	s := store.New(store.Options{Engine: memory.New(time.Now)})
	login := auth.New(auth.Options{
		Directory: users{secretOnce()}, Cost: cheap(),
		Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
	f.Fuzz(func(t *testing.T, wire []byte) {
		server := New(Options{Store: s, Auth: login, Log: slog.New(slog.DiscardHandler)})
		conn := &script{in: bytes.NewReader(wire)}
		server.serve(context.Background(), context.Background(), conn, false)
		checkOutput(t, conn.out.Bytes())
	})
}
