package pop3d

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plic/internal/store"
)

// Transcripts are in testdata: "C: " is sent, "S: " must come, in which "%"
// stands for anything; "!" lines are done between:
//
//	!stls, !tls     take TLS up here, or dial the TLS port anew
//	!dial           a new connection
//	!second         a second connection; "2C: " and "2S: " are its lines
//	!deliver        a message whose lines are indented below
//	!expunge N      another program removes UID N
//	!raw TEXT       sends TEXT with \r and \n in it, at once
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.pop3")
	if err != nil || len(files) < 6 {
		t.Fatalf("transcripts: %v %v", files, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p := &play{house: newHouse(t, nil), file: filepath.Base(file)}
			p.first = p.dial()
			lines := strings.Split(string(text), "\n")
			for p.at = 0; p.at < len(lines); p.at++ {
				p.step(t, lines)
			}
		})
	}
}

type play struct {
	*house
	file          string
	at            int
	first, second *client
}

func (p *play) step(t *testing.T, lines []string) {
	t.Helper()
	line := lines[p.at]
	c := p.first
	if rest, ok := strings.CutPrefix(line, "2"); ok {
		c, line = p.second, rest
	}
	switch {
	case line == "" || line[0] == '#':
	case strings.HasPrefix(line, "C: "):
		c.send(line[3:] + "\r\n")
	case strings.HasPrefix(line, "S: "):
		if got := c.line(); !like(got, line[3:]) {
			t.Fatalf("%s:%d: got %q, want %q", p.file, p.at+1, got, line[3:])
		}
	case line == "!stls":
		c.secure(c.nc)
	case line == "!tls":
		nc, err := net.Dial("tcp", p.tlsAddr)
		if err != nil {
			t.Fatal(err)
		}
		p.first = p.client(nc)
		p.first.secure(nc)
	case line == "!dial":
		p.first.nc.Close()
		p.first = p.dial()
	case line == "!second":
		p.second = p.dial()
	case line == "!deliver":
		var text strings.Builder
		for p.at+1 < len(lines) && strings.HasPrefix(lines[p.at+1], "  ") {
			p.at++
			text.WriteString(lines[p.at][2:] + "\r\n")
		}
		p.deliver(text.String())
	case strings.HasPrefix(line, "!expunge "):
		if gone, err := p.inbox().Expunge(context.Background(), []store.UID{store.UID(line[9] - '0')}, false); err != nil || len(gone) != 1 {
			t.Fatalf("expunge: %v %v", gone, err)
		}
	case strings.HasPrefix(line, "!raw "):
		c.send(strings.NewReplacer(`\r`, "\r", `\n`, "\n").Replace(line[5:]))
	default:
		t.Fatalf("%s:%d: %q is no step", p.file, p.at+1, line)
	}
}

// like compares with a pattern in which "%" is any text.
func like(text, pattern string) bool {
	parts := strings.Split(pattern, "%")
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok || len(parts) == 1 {
		return ok && rest == ""
	}
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(rest, part)
		if i < 0 {
			return false
		}
		rest = rest[i+len(part):]
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}
