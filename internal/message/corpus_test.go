package message_test

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"plic/internal/message"
	"plic/internal/message/messagetest"
)

var update = flag.Bool("update", false, "write testdata/corpus.golden anew")

// describe says what a reader would see of a message, and what IMAP would tell.
func describe(name string, raw []byte) string {
	var b strings.Builder
	m, err := message.Parse(bytes.NewReader(raw), message.Limits{})
	if err != nil {
		return err.Error()
	}
	e := m.Root.Envelope()
	fmt.Fprintf(&b, "== %s\nsubject: %s\n", name, message.DecodeHeaderAs(e.Subject, m.Root.Param("charset")))
	lists := []struct {
		name string
		list []message.Mailbox
	}{{"from", e.From}, {"sender", e.Sender}, {"reply-to", e.ReplyTo}, {"to", e.To}, {"cc", e.Cc}}
	for _, l := range lists {
		if len(l.list) > 0 {
			fmt.Fprintf(&b, "%s: %s\n", l.name, clip(mailboxes(l.list)))
		}
	}
	if at, err := message.ParseDate(e.Date); err == nil {
		fmt.Fprintf(&b, "date: %s\n", at.Format("2006-01-02 15:04:05 -0700"))
	} else {
		fmt.Fprintf(&b, "date: none\n")
	}
	fmt.Fprintf(&b, "text: %s\n", clip(m.Text))
	m.Walk(func(p *message.Part) bool {
		if name := p.Filename(); name != "" {
			fmt.Fprintf(&b, "file: %s\n", name)
		}
		if s := contentOf(p); s != "" && m.Parts < 50 {
			fmt.Fprintf(&b, "part %v:%s\n", p.Path, clip(s))
		}
		return true
	})
	var tree strings.Builder
	writeTree(&tree, m.Root)
	fmt.Fprintf(&b, "tree: %s\n", clip(tree.String()))
	if m.Truncated {
		fmt.Fprintf(&b, "truncated\n")
	}
	return b.String()
}

// contentOf gives what the Content fields of a part say beside its type.
func contentOf(p *message.Part) (s string) {
	for _, param := range p.Params {
		s += fmt.Sprintf(" %s=%q", param.Name, param.Value)
	}
	if p.Encoding != "7bit" {
		s += " " + p.Encoding
	}
	for _, f := range []struct{ name, value string }{
		{"id", p.ID}, {"description", p.Description}, {"md5", p.MD5}, {"location", p.Location},
		{"language", strings.Join(p.Language, ",")}, {"disposition", p.Disposition},
	} {
		if f.value != "" {
			s += " " + f.name + ":" + f.value
		}
	}
	for _, param := range p.DispositionParams {
		s += fmt.Sprintf(" %s=%q", param.Name, param.Value)
	}
	return s
}

func mailboxes(list []message.Mailbox) string {
	var all []string
	for _, m := range list {
		switch {
		case m.Group && m.Local == "":
			all = append(all, ";")
		case m.Group:
			all = append(all, m.Local+":")
		default:
			s := m.Route + "<" + m.Local + "|" + m.Host + ">"
			if m.Name != "" {
				s = "[" + message.DecodeHeader(m.Name) + "] " + s
			}
			all = append(all, s)
		}
	}
	return strings.Join(all, " ")
}

func writeTree(b *strings.Builder, p *message.Part) {
	fmt.Fprintf(b, "%s/%s", p.Type, p.Subtype)
	if p.Children == nil {
		fmt.Fprintf(b, " %d+%d", p.Size(), p.Lines)
	}
	if p.Embedded != nil {
		b.WriteString(" <")
		writeTree(b, p.Embedded)
		b.WriteString(">")
	}
	for i, c := range p.Children {
		if i == 0 {
			b.WriteString(" (")
		} else {
			b.WriteString(", ")
		}
		writeTree(b, c)
	}
	if p.Children != nil {
		b.WriteString(")")
	}
}

func clip(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if r := []rune(s); len(r) > 600 {
		return string(r[:600]) + "..."
	}
	return s
}

// TestCorpus compares what is read of every sample with what a person checked.
func TestCorpus(t *testing.T) {
	var got strings.Builder
	samples := messagetest.All()
	if len(samples) < 60 {
		t.Fatalf("only %d samples", len(samples))
	}
	for _, s := range samples {
		got.WriteString(describe(s.Name, s.Raw) + "\n")
	}
	const golden = "testdata/corpus.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	have, wanted := strings.Split(got.String(), "\n"), strings.Split(string(want), "\n")
	section := ""
	for i, line := range have {
		if strings.HasPrefix(line, "== ") {
			section = line
		}
		if i >= len(wanted) || line != wanted[i] {
			t.Fatalf("%s line %d:\nhave %s\nwant %s", section, i+1, line, append(wanted, "nothing")[min(i, len(wanted))])
		}
	}
}

// TestOffsets checks what IMAP relies on: parts lie in their parents in order,
// Find gives them by their number, and reading in small pieces gives the same.
func TestOffsets(t *testing.T) {
	for _, s := range messagetest.All() {
		m, err := message.Parse(bytes.NewReader(s.Raw), message.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		checkTree(t, s.Name, s.Raw, m)
		if len(s.Raw) > 1<<20 {
			continue
		}
		same := func(how string, again *message.Message) {
			t.Helper()
			var a, b strings.Builder
			writeTree(&a, m.Root)
			writeTree(&b, again.Root)
			if a.String() != b.String() || again.Text != m.Text || again.Size != m.Size {
				t.Errorf("%s: %s it is\n%s, whole\n%s %s", s.Name, how, b.String(), a.String(), describe(s.Name, s.Raw))
			}
		}
		for _, r := range []io.Reader{
			io.MultiReader(bytes.NewReader(s.Raw[:len(s.Raw)/2]), bytes.NewReader(s.Raw[len(s.Raw)/2:])),
			oneByOne{bytes.NewReader(s.Raw)},
		} {
			again, err := message.Parse(r, message.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			same("in pieces", again)
		}
		same("in memory", message.ParseBytes(s.Raw, message.Limits{}))
	}
}

type oneByOne struct{ r io.Reader }

func (o oneByOne) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

// checkTree checks the invariants of a parsed message.
func checkTree(t testing.TB, name string, raw []byte, m *message.Message) {
	t.Helper()
	if m.Size != int64(len(raw)) || m.Root.Offset != 0 || m.Root.End != m.Size || m.Root.Path != nil {
		t.Errorf("%s: root is %d..%d of %d", name, m.Root.Offset, m.Root.End, len(raw))
	}
	count := 0
	m.Walk(func(p *message.Part) bool {
		count++
		if p.Offset > p.Body || p.Body > p.End || p.End > m.Size || p.Offset < 0 {
			t.Errorf("%s %v: offsets %d %d %d", name, p.Path, p.Offset, p.Body, p.End)
			return false
		}
		body := raw[p.Body:p.End]
		if n := bytes.Count(body, []byte("\n")); n != p.Lines {
			t.Errorf("%s %v: %d lines, counted %d", name, p.Path, p.Lines, n)
		}
		last := p.Body
		for _, c := range p.Children {
			if c.Offset < last || c.End > p.End {
				t.Errorf("%s %v: child %d..%d outside", name, p.Path, c.Offset, c.End)
			}
			last = c.End
			if m.Find(c.Path) != c {
				t.Errorf("%s: Find(%v) gives another part", name, c.Path)
			}
		}
		if e := p.Embedded; e != nil && (e.Offset != p.Body || e.End != p.End) {
			t.Errorf("%s %v: embedded %d..%d of %d..%d", name, p.Path, e.Offset, e.End, p.Body, p.End)
		}
		if multi := p.Type == "multipart"; multi != (len(p.Children) > 0) {
			t.Errorf("%s %v: %s with %d children", name, p.Path, p.Type, len(p.Children))
		}
		message := p.Type == "message" && (p.Subtype == "rfc822" || p.Subtype == "global")
		if message != (p.Embedded != nil) || p.Type == "" || p.Subtype == "" || p.Encoding == "" {
			t.Errorf("%s %v: %s/%s %q", name, p.Path, p.Type, p.Subtype, p.Encoding)
		}
		return true
	})
	if count != m.Parts {
		t.Errorf("%s: %d parts, counted %d", name, m.Parts, count)
	}
	if utf8.RuneCountInString(m.Text) > 200 || strings.ToValidUTF8(m.Text, "") != m.Text {
		t.Errorf("%s: text %q", name, m.Text)
	}
}
