package imapd

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"plic/internal/imap"
	"plic/internal/store"
	"plic/test/peers"
)

// judgeSettings give Dovecot the mailboxes that an account has here.
const judgeSettings = `auth_failure_delay = 0
imap_idle_notify_interval = 1 hours
mailbox_idle_check_interval = 1 secs
namespace inbox {
  separator = /
  mailbox Drafts {
    auto = subscribe
    special_use = \Drafts
  }
  mailbox Sent {
    auto = subscribe
    special_use = \Sent
  }
  mailbox Junk {
    auto = subscribe
    special_use = \Junk
  }
  mailbox Trash {
    auto = subscribe
    special_use = \Trash
  }
  mailbox Archive {
    auto = subscribe
    special_use = \Archive
  }
}
`

// TestJudge plays the transcripts of TestTranscripts to Dovecot from Debian, as
// root. Its mod-sequences are other numbers, but must be the same ones in the
// same places. A command that it does not know ends the judgment of a transcript.
// Comments say what else is not judged, and why:
//
//	# dovecot differs: why        the answer to the next command
//	# dovecot ends: why           all from here on
func TestJudge(t *testing.T) {
	if testing.Short() {
		t.Skip("needs Dovecot")
	}
	dir, err := os.MkdirTemp("", "plic-judge-") // short, as Dovecot's sockets want it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	address := fmt.Sprintf("127.74.%d.%d", os.Getpid()>>8&0xff, 1+os.Getpid()%250) // beside those of other runs
	d := &peers.Dovecot{Dir: dir, Address: address, Password: "secret", Format: "sdbox", Settings: judgeSettings}
	t.Cleanup(func() {
		d.Stop()
		if t.Failed() {
			t.Log(d.Log())
		}
	})
	peers.Started(t, d.Start(t.Context()))
	files, err := filepath.Glob("testdata/*.imap")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			j := &judge{t: t, d: d, user: strings.TrimSuffix(filepath.Base(name), ".imap"), modSeqs: map[uint64]uint64{}}
			j.play(strings.Split(strings.TrimSuffix(string(text), "\n"), "\n"))
		})
	}
}

// judge is the stage of a transcript at Dovecot, with a user of its own.
type judge struct {
	t       *testing.T
	d       *peers.Dovecot
	user    string
	post    *client           // delivers
	modSeqs map[uint64]uint64 // Dovecot's for ours
	differs map[string]string // tag of the command whose answer is not judged, by client
}

func (j *judge) dial(string) *client {
	var d net.Dialer
	nc, err := d.DialContext(context.Background(), "tcp", j.d.Address+":143")
	if err != nil {
		j.t.Fatal(err)
	}
	return newClient(j.t, nc)
}

func (j *judge) open(user string) *client {
	c := j.dial("")
	c.expect("* OK [CAPABILITY ...")
	c.ok("LOGIN " + j.name(user) + " secret")
	return c
}

func (j *judge) name(user string) string {
	if user == "alice" {
		return j.user
	}
	return j.user + "-" + user
}

func (j *judge) deliver(mailbox string, flags store.Flags, texts ...string) {
	j.t.Helper()
	var names []string
	for _, f := range systemFlags {
		if flags.System&f.bit != 0 {
			names = append(names, f.name)
		}
	}
	b := imap.AppendFlags(nil, append(names, flags.Keywords...)...)
	for i, text := range texts {
		at := time.Date(2024, 2, 29, 12, 0, i, 0, time.UTC)
		j.keep(mailbox)
		j.post.ok(fmt.Sprintf("APPEND %s %s \"%s\" {%d+}\r\n%s", mailbox, b, at.Format("_2-Jan-2006 15:04:05 -0700"), len(text), text))
	}
}

// keep makes Dovecot keep mod-sequences of a mailbox, which it does once somebody
// has asked for them.
func (j *judge) keep(mailbox string) {
	j.t.Helper()
	if j.post == nil {
		j.post = j.open("alice")
	}
	j.post.ok("EXAMINE " + mailbox + " (CONDSTORE)")
	j.post.ok("UNSELECT")
}

func (j *judge) play(lines []string) {
	clients := map[string]*client{}
	j.differs = map[string]string{}
	differs := false
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		switch {
		case strings.HasPrefix(line, "# dovecot ends: "):
			return
		case strings.HasPrefix(line, "# dovecot differs: "):
			differs = true
		case line == "" || line[0] == '#':
		case differs && len(line) > 3 && line[1:3] == "> ":
			differs = false
			tag, _, _ := strings.Cut(line[3:], " ")
			j.differs[line[:1]] = tag
			step(j.t, j, clients, i+1, j.ours(line))
		case j.differs[line[:1]] != "" && (line[1] == '<' || line[1] == '>'):
			j.pass(clients[line[:1]], line)
		case len(line) > 3 && line[1:3] == "< ":
			from := i
			for i+1 < len(lines) && strings.HasPrefix(lines[i+1], line[:3]) {
				i++
			}
			if !j.compare(clients[line[:1]], from+1, lines[from:i+1]) {
				j.t.Logf("Dovecot does not know what comes before line %d", i+1)
				return
			}
		default:
			step(j.t, j, clients, i+1, j.ours(line))
		}
		if j.t.Failed() {
			j.t.Fatalf("line %d: %s", i+1, line)
		}
	}
}

// pass goes on in an exchange that is not judged.
func (j *judge) pass(c *client, line string) {
	tag := j.differs[line[:1]]
	switch {
	case strings.HasPrefix(line[1:], "< + "):
		for tag[0] != 0 {
			got, ok := c.line()
			if !ok || strings.HasPrefix(got, "+") {
				return
			}
			if strings.HasPrefix(got, tag+" ") { // it does not want what follows
				tag = "\x00" + tag
				j.differs[line[:1]] = tag
			}
		}
	case line[1] == '>' && tag[0] != 0:
		c.send(octets(strings.TrimPrefix(line[2:], " ")) + "\r\n")
	case strings.HasPrefix(line[1:], "< "+strings.TrimPrefix(tag, "\x00")+" "):
		j.differs[line[:1]] = ""
		for tag[0] != 0 {
			if got, ok := c.line(); !ok || strings.HasPrefix(got, tag+" ") {
				return
			}
		}
	}
}

// What stands where in lines.
var (
	modSeqSent = regexp.MustCompile(`((?:CHANGEDSINCE|MODSEQ|QRESYNC \(<uidvalidity>) )(\d+)`)
	modSeqTold = regexp.MustCompile(`(MODSEQ \(?)(\d+)`)
	notKnown   = regexp.MustCompile(`^\S+ BAD Error in IMAP command (received by server|\S+: Unknown command)`)
	taggedLine = regexp.MustCompile(`^([A-Za-z0-9]+ (?:OK|NO|BAD))( \[[^\]]*\])?`)
	parenLine  = regexp.MustCompile(`^(\* (?:\d+ FETCH|STATUS \S+)) \((.*)\)$`)
	uidItem    = regexp.MustCompile(`\(UID \d+ `)
	fixedDay   = regexp.MustCompile(`" (\d-)`)
	flagList   = regexp.MustCompile(`FLAGS \(([^)]*)\)`)
)

// ours puts Dovecot's names and mod-sequences into a line.
func (j *judge) ours(line string) string {
	if len(line) < 3 || line[1:3] != "> " {
		return line
	}
	line = strings.ReplaceAll(line, "LOGIN alice ", "LOGIN "+j.user+" ")
	return modSeqSent.ReplaceAllStringFunc(line, func(text string) string {
		m := modSeqSent.FindStringSubmatch(text)
		n, _ := strconv.ParseUint(m[2], 10, 64)
		best := uint64(0)
		for ours := range j.modSeqs {
			if ours <= n {
				best = max(best, ours)
			}
		}
		if best == 0 {
			return text
		}
		return m[1] + strconv.FormatUint(j.modSeqs[best], 10)
	})
}

// compare reads what a client is answered, and compares it with what is expected.
// It gives false if Dovecot does not know the command.
func (j *judge) compare(c *client, n int, lines []string) bool {
	j.t.Helper()
	var want, codes []string
	for _, line := range lines {
		if p := octets(line[3:]); isAside(p) {
			codes = append(codes, p)
		} else {
			want = append(want, p)
		}
	}
	last := octets(lines[len(lines)-1][3:])
	ended := func(got string) bool {
		tag, _, _ := strings.Cut(last, " ")
		return strings.HasPrefix(got, tag+" ")
	}
	closes := strings.HasPrefix(last, "+ ") || taggedLine.MatchString(last)
	var got, asides []string
	for closes || len(got) < len(want) {
		line, ok := c.line()
		if !ok {
			j.t.Fatalf("line %d: the connection ended; expected %q after %q", n, want, got)
		}
		if rest, ok := strings.CutPrefix(line, "* OK [UIDVALIDITY "); ok {
			c.uidValidity, _, _ = strings.Cut(rest, "]")
		}
		if isAside(line) {
			asides = append(asides, line)
			continue
		}
		if got = append(got, line); closes && ended(line) {
			break
		}
	}
	if k := len(got); closes && notKnown.MatchString(got[k-1]) && !strings.Contains(last, " BAD") {
		return false
	}
	if len(got) != len(want) {
		j.t.Fatalf("line %d: Dovecot said\n%q\nexpected\n%q", n, got, want)
	}
	for i := range want {
		j.same(n, want[i], got[i])
	}
	for _, code := range codes {
		if at := strings.IndexByte(code, ']'); at > 0 {
			code = code[:at+1] + "..."
		}
		if strings.HasPrefix(code, "* OK [") && !strings.Contains(code, "HIGHESTMODSEQ") && !strings.Contains(code, "PERMANENTFLAGS") &&
			!slices.ContainsFunc(asides, func(a string) bool { return match(code, a) }) {
			j.t.Fatalf("line %d: Dovecot said\n%q\nexpected among them\n%q", n, asides, code)
		}
	}
	return true
}

// isAside says that a line may come at various times, or not at all: what is said
// of all messages as a whole.
func isAside(line string) bool {
	return strings.HasPrefix(line, "* OK ") || strings.HasPrefix(line, "* FLAGS ") || strings.HasSuffix(line, " RECENT")
}

// same compares two lines, but for mod-sequences, which must only be consistent,
// the order of items and flags, \Recent, and texts for people.
func (j *judge) same(n int, pattern, line string) {
	j.t.Helper()
	if strings.HasPrefix(pattern, "+ ") {
		pattern = "+ ..."
	}
	if f := taggedLine.FindStringSubmatch(pattern); f != nil {
		g := taggedLine.FindStringSubmatch(line)
		if pattern = f[0] + "..."; g != nil && (g[2] == "" || strings.Contains(pattern, "[HIGHESTMODSEQ")) {
			pattern = f[1] + "..." // it gives no code
		}
	}
	want := modSeqTold.FindAllStringSubmatch(pattern, -1)
	got := modSeqTold.FindAllStringSubmatch(line, -1)
	for i := range min(len(want), len(got)) {
		ours, _ := strconv.ParseUint(want[i][2], 10, 64)
		theirs, _ := strconv.ParseUint(got[i][2], 10, 64)
		if known, ok := j.modSeqs[ours]; ok && known != theirs {
			j.t.Fatalf("line %d: mod-sequence %d was Dovecot's %d, now %d\nin       %q\nexpected %q", n, ours, known, theirs, line, pattern)
		}
		j.modSeqs[ours] = theirs
	}
	if uidItem.MatchString(pattern) != uidItem.MatchString(line) { // it is more than was asked for
		pattern, line = uidItem.ReplaceAllString(pattern, "("), uidItem.ReplaceAllString(line, "(")
	}
	if a, b := inOrder(pattern), inOrder(line); !match(a, b) {
		j.t.Fatalf("line %d: Dovecot said\n%q\nexpected\n%q", n, b, a)
	}
}

// inOrder sorts what may be in any order, and takes mod-sequences out.
func inOrder(line string) string {
	line = modSeqTold.ReplaceAllString(line, "${1}#")
	line = fixedDay.ReplaceAllString(line, `"0$1`)
	line = flagList.ReplaceAllStringFunc(line, func(text string) string {
		return "FLAGS (" + sortedFlags(flagList.FindStringSubmatch(text)[1]) + ")"
	})
	m := parenLine.FindStringSubmatch(line)
	if m == nil || strings.Contains(m[2], "...") {
		return line
	}
	items := topLevel(m[2])
	if len(items)%2 != 0 {
		return line
	}
	var pairs []string
	for i := 0; i < len(items); i += 2 {
		pairs = append(pairs, items[i]+" "+items[i+1])
	}
	slices.Sort(pairs)
	return m[1] + " (" + strings.Join(pairs, " ") + ")"
}

// topLevel splits a list at the spaces that are in no parentheses or quotes.
func topLevel(text string) (out []string) {
	depth, quoted, from := 0, false, 0
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '(' || c == '[':
			depth++
		case c == ')' || c == ']':
			depth--
		case c == ' ' && depth == 0:
			out = append(out, text[from:i])
			from = i + 1
		}
	}
	return append(out, text[from:])
}
