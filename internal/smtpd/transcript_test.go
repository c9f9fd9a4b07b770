package smtpd

import (
	"crypto/tls"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// TestTranscripts plays the dialogues of testdata/*.smtp. Lines:
//
//	= kind mx|submission|submissions|lmtp   = from ADDR:PORT   = tls   = limit NAME N
//	C: a line of the client; lines with no answer between them go in one piece
//	R: "octets as Go writes them", likewise
//	S: a line of the server, * stands for anything
//	TLS          the handshake
//	END          the server has closed
//	I: sender > recipients | "body"        the next message taken, * as above
//	T: a line of the next message's trace, * as above; before its I
func TestTranscripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/*.smtp")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".smtp"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			play(t, file, string(text))
		})
	}
}

type player struct {
	t       *testing.T
	kind    Kind
	from    string
	tls     bool
	limits  Limits
	house   *house
	client  *client
	waiting strings.Builder // to be sent
	where   string
	taken   int
	trace   []string
}

func play(t *testing.T, file, text string) {
	p := &player{t: t, from: "198.51.100.7:4000"}
	n := 0
	for line := range strings.Lines(text) {
		n++
		p.where = fmt.Sprintf("%s:%d", file, n)
		line = strings.TrimRight(line, "\n")
		if line != "" && !strings.HasPrefix(line, "#") {
			p.line(line)
		}
		if t.Failed() {
			return
		}
	}
	p.send()
	p.client.c.Close()
	p.house.close()
	if got := p.house.o.messages(); len(got) != p.taken {
		t.Errorf("%s: %d messages were taken, %d named", file, len(got), p.taken)
	}
}

func (p *player) line(line string) {
	word, rest, _ := strings.Cut(line, " ")
	if word == "=" {
		p.set(rest)
		return
	}
	p.start()
	switch word {
	case "C:":
		p.waiting.WriteString(rest + "\r\n")
	case "R:":
		octets, err := strconv.Unquote(rest)
		if err != nil {
			p.t.Fatalf("%s: %v", p.where, err)
		}
		p.waiting.WriteString(octets)
	case "S:":
		p.send()
		if got := p.client.next(); !like(rest, got) {
			p.t.Errorf("%s: got %q, want %q", p.where, got, rest)
		}
	case "TLS":
		if err := p.client.secure(&tls.Config{InsecureSkipVerify: true}); err != nil {
			p.t.Errorf("%s: %v", p.where, err)
		}
	case "END":
		p.send()
		if line, ok := <-p.client.lines; ok {
			p.t.Errorf("%s: got %q, want the end", p.where, line)
		}
	case "T:":
		p.trace = append(p.trace, rest)
	case "I:":
		p.message(rest)
	default:
		p.t.Fatalf("%s: what is %q?", p.where, word)
	}
}

func (p *player) set(setting string) {
	words := strings.Fields(setting)
	switch words[0] {
	case "kind":
		p.kind = map[string]Kind{"mx": MX, "submission": Submission, "submissions": Submissions, "lmtp": LMTP}[words[1]]
	case "from":
		p.from = words[1]
	case "tls":
		p.tls = true
	case "limit":
		n, err := strconv.Atoi(words[2])
		if err != nil {
			p.t.Fatal(err)
		}
		switch words[1] {
		case "message":
			p.limits.Message = int64(n)
		case "recipients":
			p.limits.Recipients = n
		case "hops":
			p.limits.Hops = n
		case "header":
			p.limits.Header = n
		case "headerlines":
			p.limits.HeaderLines = n
		default:
			p.t.Fatalf("%s: which limit?", p.where)
		}
	default:
		p.t.Fatalf("%s: which setting?", p.where)
	}
}

func (p *player) start() {
	if p.house != nil {
		return
	}
	p.house = open(p.t, p.kind, func(o *Options) {
		o.Limits = p.limits
		o.XClient = []netip.Prefix{netip.MustParsePrefix("203.0.113.5/32")}
		if p.tls {
			withTLS(o)
		}
	})
	c := p.house.ring(p.from)
	if p.kind == Submissions {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	p.client = newClient(p.t, c)
}

func (p *player) send() {
	if p.waiting.Len() > 0 {
		p.client.send(p.waiting.String())
		p.waiting.Reset()
	}
}

func (p *player) message(want string) {
	p.send()
	got := p.house.o.messages()
	if p.taken >= len(got) {
		p.t.Errorf("%s: no such message was taken", p.where)
		return
	}
	m := got[p.taken]
	p.taken++
	var to []string
	for _, r := range m.env.To {
		to = append(to, r.Address.String())
	}
	text := fmt.Sprintf("%s > %s | %q", m.env.From.Path(), strings.Join(to, " "), m.body)
	if !like(want, text) {
		p.t.Errorf("%s: took %s\nwant %s", p.where, text, want)
	}
	if p.trace != nil {
		lines := strings.Split(strings.TrimSuffix(m.trace, "\r\n"), "\r\n")
		if len(lines) != len(p.trace) {
			p.t.Errorf("%s: trace is %q", p.where, lines)
			return
		}
		for i, line := range lines {
			if !like(p.trace[i], strings.ReplaceAll(line, "\t", "    ")) {
				p.t.Errorf("%s: trace has %q, want %q", p.where, line, p.trace[i])
			}
		}
		p.trace = nil
	}
}

// like compares with a pattern in which * stands for anything.
func like(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == text
	}
	rest, ok := strings.CutPrefix(text, parts[0])
	if !ok {
		return false
	}
	for _, part := range parts[1 : len(parts)-1] {
		_, after, ok := strings.Cut(rest, part)
		if !ok {
			return false
		}
		rest = after
	}
	return strings.HasSuffix(rest, parts[len(parts)-1])
}
