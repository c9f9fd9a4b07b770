package sieve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"plic/internal/message"
)

// scenario is one case of testdata/*.cases: a script, the name of the message in
// testdata that it meets, and what it comes to. "# dovecot:" in the script's
// first lines says why Pigeonhole comes to something else.
type scenario struct {
	name, message, script, want, differs string
}

// scenarios reads testdata/*.cases: "### name @message", the script, "=> want".
func scenarios(t *testing.T) []scenario {
	t.Helper()
	files, err := filepath.Glob("testdata/*.cases")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	var out []scenario
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for i, part := range strings.Split(string(text), "\n### ") {
			if i == 0 {
				continue
			}
			title, rest, _ := strings.Cut(part, "\n")
			script, want, ok := strings.Cut(rest, "\n=> ")
			if !ok {
				t.Fatalf("%s: %q has no =>", file, title)
			}
			s := scenario{message: "plain", script: script + "\n", want: strings.TrimSpace(want)}
			s.name, _, _ = strings.Cut(title, " @")
			if _, m, ok := strings.Cut(title, " @"); ok {
				s.message = m
			}
			if _, why, ok := strings.Cut(script, "# dovecot:"); ok {
				s.differs, _, _ = strings.Cut(why, "\n")
			}
			out = append(out, s)
		}
	}
	return out
}

func readMessage(t testing.TB, name string) (*message.Message, string) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name + ".eml")
	if err != nil {
		t.Fatal(err)
	}
	raw := strings.ReplaceAll(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n", "\r\n")
	m, err := message.Parse(strings.NewReader(raw), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	return m, raw
}

// mailboxes is an account with a few mailboxes.
type mailboxes struct{}

func (mailboxes) Exists(name string) bool { return name == "INBOX" || name == "Archive" }
func (mailboxes) ByID(id string) (string, bool) {
	return "Archive", id == "M42"
}
func (mailboxes) BySpecialUse(use string) (string, bool) { return "Archive", use == `\Archive` }
func (mailboxes) HasSpecialUse(name, use string) bool    { return name == "Archive" && use == `\Archive` }
func (mailboxes) Metadata(mailbox, name string) (string, bool) {
	switch {
	case mailbox == "INBOX" && name == "/private/comment":
		return "Mine", true
	case mailbox == "" && name == "/shared/admin":
		return "mailto:root@example.com", true
	}
	return "", false
}

// lists has one list.
type lists struct{}

func (lists) Known(list string) bool { return list == "friends" }
func (lists) Contains(list, value string) (bool, error) {
	return list == "friends" && strings.EqualFold(value, "ann@example.org"), nil
}

func input(t testing.TB, name string) (*Input, string) {
	m, raw := readMessage(t, name)
	return &Input{
		Message: m, Body: strings.NewReader(raw), Now: time.Date(2026, 11, 26, 14, 5, 9, 0, time.FixedZone("", 3600)),
		From: "ann+news@example.org", To: "bob@example.com", Remote: netip.MustParseAddr("192.0.2.3"),
		Envelope: map[string]string{"auth": "", "notify": "SUCCESS", "envid": "E1", "bymode": "notify"},
		Environment: map[string]string{"domain": "example.com", "host": "mx.example.com", "location": "MDA", "phase": "during",
			"version": "1", "imap.cause": "APPEND"},
		Mailboxes: mailboxes{}, Lists: lists{}, Spam: &Score{50}, Virus: &Score{100},
		Seen: func(key string) bool { return strings.Contains(key, "again") },
	}, raw
}

// tell writes what a script comes to in the words of the cases.
func tell(r *Result) string {
	var out []string
	flags := func(list []string) string {
		if len(list) == 0 {
			return ""
		}
		list = slices.Clone(list)
		for i := range list {
			list[i] = strings.ToLower(list[i])
		}
		slices.Sort(list)
		return " (" + strings.Join(list, " ") + ")"
	}
	for _, a := range r.Actions {
		switch a := a.(type) {
		case *FileInto:
			text := "file " + a.Mailbox + flags(a.Flags)
			if a.Create {
				text += " create"
			}
			out = append(out, text)
		case *Redirect:
			out = append(out, strings.TrimSpace("redirect "+a.To+" "+a.Notify))
		case *Reject:
			out = append(out, "reject "+strings.TrimSpace(a.Reason))
		case *Vacation:
			out = append(out, fmt.Sprintf("vacation %s %d", a.Reason, int(a.For.Seconds())))
		case *Notify:
			out = append(out, "notify "+strings.Join(append(a.To, a.Cc...), " "))
		case *Pipe:
			out = append(out, "pipe "+a.Program+" "+strings.Join(a.Args, " "))
		}
	}
	if r.Keep {
		out = append(out, "keep"+flags(r.KeepFlags))
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, "; ")
}

func runScenario(t *testing.T, s *scenario) string {
	t.Helper()
	script, err := Compile(s.script, Options{Load: func(_ bool, name string) (string, error) {
		text, err := os.ReadFile("testdata/" + name + ".sieve")
		if errors.Is(err, os.ErrNotExist) {
			err = ErrNoScript
		}
		return string(text), err
	}})
	if err != nil {
		if _, ok := errors.AsType[*Error](err); !ok {
			t.Errorf("not an *Error: %v", err)
		}
		return "fault: " + err.Error()
	}
	in, _ := input(t, s.message)
	r, err := script.Run(in)
	if err != nil {
		if !r.Keep || len(r.Actions) > 0 {
			t.Errorf("a script that fails keeps the message, and nothing else: %+v", r)
		}
		return "error: " + err.Error()
	}
	return tell(r)
}

func TestCases(t *testing.T) {
	all := scenarios(t)
	for i := range all {
		s := &all[i]
		t.Run(s.name, func(t *testing.T) {
			got := runScenario(t, s)
			want, prefix := strings.CutSuffix(s.want, "...")
			if strings.ReplaceAll(got, "\r\n", "\n") != s.want && !(prefix && strings.HasPrefix(got, want)) {
				t.Errorf("comes to  %s\nwanted    %s\n%s", got, s.want, s.script)
			}
		})
	}
}

// TestJudge has Pigeonhole run the same cases.
func TestJudge(t *testing.T) {
	if testing.Short() {
		t.Skip("runs Debian's sieve-test")
	}
	if _, err := exec.LookPath("sieve-test"); err != nil {
		t.Fatal("dovecot-sieve is not installed: make test sees to it")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "dovecot.conf")
	text := "base_dir = DIR\nstate_dir = DIR\nmail_uid = nobody\nmail_gid = nogroup\nmail_location = maildir:DIR/mail\n" +
		"first_valid_uid = 0\nfirst_valid_gid = 0\nssl = no\nlog_path = /dev/stderr\nplugin {\n" +
		"  sieve_extensions = +editheader +vacation-seconds\n  sieve_vacation_min_period = 0\n  sieve_editheader_max_header_size = 2k\n}\n"
	if err := os.WriteFile(config, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o644); err != nil {
		t.Fatal(err)
	}
	// sieve-test lays its privileges down.
	if err := errors.Join(os.Chmod(dir, 0o777), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	all := scenarios(t)
	judged := 0
	for i := range all {
		if s := &all[i]; s.differs == "" {
			t.Run(s.name, func(t *testing.T) { judge(t, dir, config, s) })
			judged++
		}
	}
	t.Logf("%d of %d cases judged", judged, len(all))
}

func judge(t *testing.T, dir, config string, s *scenario) {
	_, raw := readMessage(t, s.message)
	script, letter := filepath.Join(dir, "s.sieve"), filepath.Join(dir, "m.eml")
	if err := errors.Join(os.WriteFile(script, []byte(s.script), 0o644), os.WriteFile(letter, []byte(raw), 0o644)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := exec.CommandContext(ctx, "sieve-test", "-c", config, "-f", "ann+news@example.org", "-r", "bob@example.com", script, letter)
	c.Env = []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "TZ=UTC"}
	out, err := c.CombinedOutput()
	want := s.want
	if strings.HasPrefix(want, "fault") || strings.HasPrefix(want, "error") {
		want = "fault"
	}
	got := judgement(string(out))
	if err != nil || strings.Contains(string(out), "final result: failed") || strings.Contains(string(out), ": error: ") {
		got = "fault"
	}
	if got != want {
		t.Errorf("Pigeonhole comes to  %s\nwanted               %s\n%s%s", got, want, s.script, out)
	}
}

var judgeLine = regexp.MustCompile(`^ \* (store message in folder|redirect message to|reject message with reason|send vacation message|send notification with method 'mailto:')?:? ?(.*)$`)

// judgement reads the report of sieve-test into the words of the cases.
func judgement(report string) string {
	var out []string
	lines := strings.Split(report, "\n")
	for i := 0; i < len(lines); i++ {
		m := judgeLine.FindStringSubmatch(lines[i])
		if m == nil {
			continue
		}
		var detail []string
		for i+1 < len(lines) && strings.HasPrefix(lines[i+1], "  ") || i+1 < len(lines) && strings.HasPrefix(lines[i], "START MESSAGE") {
			i++
			detail = append(detail, strings.TrimSpace(lines[i]))
		}
		all := strings.Join(detail, "\n")
		find := func(expr string) string {
			if m := regexp.MustCompile(expr).FindStringSubmatch(all); m != nil {
				return m[1]
			}
			return ""
		}
		switch {
		case strings.HasPrefix(m[1], "store"):
			text := "file " + m[2]
			if m[2] == "INBOX" {
				text = "keep"
			}
			if f := strings.Fields(find(`\+ add IMAP flags: (.*)`)); len(f) > 0 {
				slices.Sort(f)
				text += " (" + strings.ToLower(strings.Join(f, " ")) + ")"
			}
			if strings.Contains(all, "+ create mailbox") {
				text += " create"
			}
			out = append(out, text)
		case strings.HasPrefix(m[1], "redirect"):
			out = append(out, "redirect "+strings.Trim(m[2], "<>"))
		case strings.HasPrefix(m[1], "reject"):
			out = append(out, "reject "+m[2])
		case strings.HasPrefix(m[1], "send vacation"):
			reason := ""
			if i+2 < len(lines) && lines[i+2] == "START MESSAGE" || i+1 < len(lines) && lines[i+1] == "START MESSAGE" {
				rest := strings.Join(lines[i:], "\n")
				_, rest, _ = strings.Cut(rest, "START MESSAGE\n")
				reason, _, _ = strings.Cut(rest, "\nEND MESSAGE")
			}
			out = append(out, "vacation "+reason+" "+find(`=> seconds : (\d+)`))
		case strings.HasPrefix(m[1], "send notification"):
			var to []string
			for _, m := range regexp.MustCompile(`\+ (?:To|Cc): (\S+)`).FindAllStringSubmatch(all, -1) {
				to = append(to, m[1])
			}
			out = append(out, "notify "+strings.Join(to, " "))
		}
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, "; ")
}

// apply gives the message as the edits change it.
func apply(t testing.TB, raw string, edits []Edit) string {
	t.Helper()
	out, err := Apply(strings.NewReader(raw), int64(len(raw)), edits)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestEdits(t *testing.T) {
	for _, x := range []struct {
		name, message, script string
		has, hasNot           []string
	}{
		{"add first and last", "plain", `require "editheader"; addheader "X-A" "first"; addheader :last "X-Z" "last";`,
			[]string{"X-A: first\r\nReturn-Path:", "X-Uni: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nX-Z: last\r\n\r\nHello Bob"}, nil},
		{"delete", "plain", `require "editheader"; deleteheader "X-Num"; deleteheader "Subject";`,
			[]string{"Cc: carl+x@example.net\r\nDate:", "Message-ID: <1@example.org>\r\nX-Caribe:"}, []string{"X-Num", "Subject"}},
		{"no line can be added", "plain", `require ["editheader", "encoded-character"]; addheader "X-A" "a${hex:0D 0A}X-Evil: yes";`,
			[]string{"X-A: a X-Evil: yes\r\nReturn-Path"}, []string{"\nX-Evil"}},
		{"replace a part", "mime", `require ["foreverypart", "mime", "replace"]; foreverypart { if header :mime :param "filename" :contains "content-disposition" ".exe" { replace "It was a program."; } }`,
			[]string{"It was a program.", "bold", "--b1--"}, []string{"TVqQ"}},
		{"replace the message", "mime", `require "replace"; replace :subject "gone" "All gone.";`,
			[]string{"All gone.", "Subject: gone", "Original-Subject: parts", "From: ann@example.org"}, []string{"multipart", "bold"}},
		{"enclose", "plain", `require "enclose"; enclose :subject "look" :headers "X-Num" "See below.";`,
			[]string{"Subject: look", "See below.", "message/rfc822", "Subject: [staff] Hello World", "X-Num: 42"}, nil},
	} {
		script, err := Compile(x.script, Options{})
		if err != nil {
			t.Fatalf("%s: %v", x.name, err)
		}
		in, raw := input(t, x.message)
		r, err := script.Run(in)
		if err != nil {
			t.Fatalf("%s: %v", x.name, err)
		}
		got := apply(t, raw, r.Edits)
		for _, text := range x.has {
			if !strings.Contains(got, text) {
				t.Errorf("%s: %q is missing in\n%s", x.name, text, got)
			}
		}
		for _, text := range x.hasNot {
			if strings.Contains(got, text) {
				t.Errorf("%s: %q is still in\n%s", x.name, text, got)
			}
		}
		if m, err := message.Parse(strings.NewReader(got), message.Limits{}); err != nil || m.Root.Get("From") == "" {
			t.Errorf("%s: the message cannot be read any more: %v", x.name, err)
		}
	}
}

// TestCost has scripts that would take for ever: they end with an error, and the
// message is kept.
func TestCost(t *testing.T) {
	double := strings.Repeat(`set "a" "${a}${a}";`, 40)
	many := strings.Repeat("--b\r\n\r\nx\r\n", 5000)
	parts, err := message.Parse(strings.NewReader("Content-Type: multipart/mixed; boundary=b\r\n\r\n"+many+"--b--\r\n"), message.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for name, src := range map[string]string{
		"strings that double": `require ["variables"]; set "a" "0123456789"; ` + double + strings.Repeat(`if string :matches "${a}" "*0*1*2*3*4*5*6*7*8*9*x" { keep; }`, 200),
		"loops within loops":  `require ["foreverypart", "mime"]; foreverypart { foreverypart { if header :mime :anychild :contains "x" "y" { keep; } } if header :mime :anychild :contains "x" "y" { stop; } } ` + strings.Repeat(`foreverypart { if header :mime :anychild :contains "x" "y" { stop; } }`, 300),
		"expressions":         `require ["regex", "variables"]; set "a" "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"; ` + double + strings.Repeat(`if string :regex "${a}" "(a+)+b" { keep; }`, 500),
	} {
		s, err := Compile(src, Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		in, _ := input(t, "plain")
		in.Message, in.Body = parts, strings.NewReader("Content-Type: multipart/mixed; boundary=b\r\n\r\n"+many+"--b--\r\n")
		r, err := s.Run(in)
		if err == nil || !strings.Contains(err.Error(), "too long") || !r.Keep || len(r.Actions) > 0 {
			t.Errorf("%s: %v %+v", name, err, r)
		}
	}
}

func TestTrace(t *testing.T) {
	s, err := Compile("require \"fileinto\";\nif header :contains \"subject\" \"hello\" {\n  fileinto \"A\";\n}\n", Options{})
	if err != nil {
		t.Fatal(err)
	}
	in, _ := input(t, "plain")
	var lines []string
	in.Trace = func(line int, text string) { lines = append(lines, fmt.Sprintf("%d: %s", line, text)) }
	if _, err := s.Run(in); err != nil {
		t.Fatal(err)
	}
	if want := []string{"2: the test is true", `3: file into "A"`}; !slices.Equal(lines, want) {
		t.Errorf("%q", lines)
	}
}

func FuzzCompile(f *testing.F) {
	files, err := filepath.Glob("testdata/*.cases")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for part := range strings.SplitSeq(string(text), "\n### ") {
			if _, script, ok := strings.Cut(part, "\n"); ok {
				script, _, _ = strings.Cut(script, "\n=> ")
				f.Add(script)
			}
		}
	}
	m, raw := readMessage(f, "mime")
	f.Fuzz(func(t *testing.T, src string) {
		s, err := Compile(src, Options{Limits: Limits{Steps: 10000}})
		if err != nil {
			return
		}
		r, err := s.Run(&Input{Message: m, Body: strings.NewReader(raw), Now: time.Unix(0, 0).UTC(), From: "a@example.org", To: "b@example.org"})
		if r == nil || err != nil && (!r.Keep || len(r.Actions) > 0) {
			t.Errorf("%v, %+v", err, r)
		}
		apply(t, raw, r.Edits)
	})
}

func FuzzGlob(f *testing.F) {
	f.Add("a*b?c", "axxbyc")
	f.Fuzz(func(t *testing.T, pattern, value string) {
		groups, ok, _ := glob(pattern, value, octet, func(int) error { return nil })
		if ok && groups[0] != value {
			t.Errorf("%q, %q: %q", pattern, value, groups)
		}
		expr := "(?s)^"
		for _, w := range wilds(pattern, octet) {
			switch {
			case w.text != "":
				expr += regexp.QuoteMeta(w.text)
			case w.star:
				expr += "(.*?)"
			default:
				expr += "(.)"
			}
		}
		re, err := regexp.Compile(expr + "$")
		if err != nil || len(value) > 200 || !isClean(pattern) || !isClean(value) {
			return
		}
		if want := re.FindStringSubmatch(value); ok != (want != nil) || ok && !slices.Equal(groups, want) {
			t.Errorf("%q, %q: %v %q, want %q", pattern, value, ok, groups, want)
		}
	})
}

func isClean(s string) bool { return strings.ToValidUTF8(s, "") == s }

func BenchmarkRun(b *testing.B) {
	s, err := Compile(`require ["fileinto", "variables", "envelope", "imap4flags"];
if header :contains "subject" ["offer", "winner"] { fileinto "Junk"; stop; }
if address :domain "to" "lists.example.com" { set "l" "x"; fileinto "Lists.${l}"; addflag "\\Seen"; }
if envelope :is "from" "ann+news@example.org" { keep; }`, Options{})
	if err != nil {
		b.Fatal(err)
	}
	in, _ := input(b, "plain")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Run(in); err != nil {
			b.Fatal(err)
		}
	}
}
