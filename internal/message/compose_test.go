package message_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"plic/internal/message"
)

// bodyOf decodes the body of a part.
func bodyOf(t *testing.T, raw []byte, p *message.Part) string {
	t.Helper()
	r := message.DecodeBody(bytes.NewReader(raw[p.Body:p.End]), p.Encoding)
	if p.Type == "text" {
		r = message.DecodeText(r, p.Param("charset"))
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// checkLines checks what RFC 5322 section 2.1.1 says of lines.
func checkLines(t testing.TB, raw []byte, ascii bool) {
	t.Helper()
	for line := range bytes.SplitSeq(raw, []byte("\r\n")) {
		if len(line) > 998 || bytes.ContainsAny(line, "\r\n\x00") {
			t.Errorf("bad line %.100q", line)
		}
		for _, c := range line {
			if ascii && c >= 0x80 {
				t.Errorf("line is not ASCII: %q", line)
				break
			}
		}
	}
}

// TestCompose reads back what was written.
func TestCompose(t *testing.T) {
	inner := []byte("Subject: inner\r\n\r\nWörter\r\n")
	text := "Grüße,\n\n" + strings.Repeat("ein langer Satz mit Umlauten wie ü ", 20) + "\nFrom here = there \n.\n"
	e := &message.Entity{
		Header: []message.Field{
			{Name: "From", Value: `"Größe, Die" <mail@example.org>, plain@example.org`},
			{Name: "To", Value: message.FormatAddress(`Jörg "J" Müller`, "j@example.org", false)},
			{Name: "Subject", Value: strings.Repeat("Zustellung fehlgeschlagen: Wörter über Wörter ", 8) + "=?utf-8?q?x?="},
			{Name: "Message-ID", Value: "<1@example.org>"},
			{Name: "X-Long", Value: strings.Repeat("word ", 100) + strings.Repeat("x", 2000)},
			{Name: "Content-Type", Value: "multipart/mixed"},
		},
		Parts: []message.Entity{
			{Text: text},
			{Text: "ASCII\r\nonly\n"},
			{Header: []message.Field{
				{Name: "Content-Type", Value: "application/octet-stream" + message.FormatParam("name", "Überweisung.pdf")},
				{Name: "Content-Disposition", Value: "attachment" + message.FormatParam("filename", `a "b" c.pdf`)},
			}, Data: bytes.Repeat([]byte{0, 1, 2, 255}, 100)},
			{Header: []message.Field{{Name: "Content-Type", Value: "message/rfc822"}}, Raw: inner},
			{Header: []message.Field{{Name: "Content-Type", Value: "multipart/alternative"}}, Parts: []message.Entity{{Text: "a"}, {Text: "b"}}},
		},
	}
	for _, a := range []message.Allow{{}, {EightBit: true}, {UTF8: true, EightBit: true}} {
		raw := message.Compose(e, a)
		checkLines(t, raw, false)
		m, err := message.Parse(bytes.NewReader(raw), message.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		checkTree(t, "composed", raw, m)
		var tree strings.Builder
		writeTree(&tree, m.Root)
		if got := len(m.Root.Children); got != 5 || len(m.Root.Children[4].Children) != 2 {
			t.Fatalf("%+v: %s\n%s", a, tree.String(), raw)
		}
		env := m.Root.Envelope()
		if got := mailboxes(env.From); got != "[Größe, Die] <mail|example.org> <plain|example.org>" {
			t.Errorf("from %s", got)
		}
		if got := mailboxes(env.To); got != `[Jörg "J" Müller] <j|example.org>` {
			t.Errorf("to %s", got)
		}
		if got := message.DecodeHeader(env.Subject); got != strings.Join(strings.Fields(e.Header[2].Value), " ") {
			t.Errorf("subject %q", got)
		}
		if got := message.DecodeHeader(m.Root.Get("x-long")); got != e.Header[4].Value {
			t.Errorf("x-long %q", got)
		}
		if m.Root.Get("mime-version") != "1.0" {
			t.Error("no MIME-Version")
		}
		parts := m.Root.Children
		if got := bodyOf(t, raw, parts[0]); got != strings.ReplaceAll(text, "\n", "\r\n") {
			t.Errorf("text %q", got)
		}
		want := map[bool]string{false: "quoted-printable", true: "8bit"}[a.EightBit]
		if parts[0].Encoding != want || parts[1].Encoding != "7bit" {
			t.Errorf("%+v: encodings %s %s", a, parts[0].Encoding, parts[1].Encoding)
		}
		if got := bodyOf(t, raw, parts[2]); got != string(e.Parts[2].Data) {
			t.Errorf("data %q", got)
		}
		if parts[2].Param("name") != "Überweisung.pdf" || parts[2].Filename() != `a "b" c.pdf` {
			t.Errorf("names %q %q", parts[2].Param("name"), parts[2].Filename())
		}
		if got := string(raw[parts[3].Body:parts[3].End]); got != string(inner) || parts[3].Encoding != "8bit" {
			t.Errorf("message %q %s", got, parts[3].Encoding)
		}
		header := raw[:m.Root.Body]
		checkLines(t, header, !a.UTF8)
		for line := range bytes.SplitSeq(header, []byte("\r\n")) {
			if len(line) > 78 && !bytes.Contains(line, []byte("boundary")) {
				t.Errorf("header line of %d: %s", len(line), line)
			}
		}
	}
	if !bytes.Equal(message.Compose(e, message.Allow{}), message.Compose(e, message.Allow{})) {
		t.Error("not the same twice")
	}
}

// TestComposeInjection: no value adds a field or a line (P7).
func TestComposeInjection(t *testing.T) {
	evil := []string{
		"a\r\nBcc: x@example.org", "a\nBcc: x", "a\rBcc: x", "a\r\n\r\nbody", "a\u2028Bcc: x", "a\u2029Bcc: x", "a\u0085Bcc: x",
		"=?utf-8?Q?a=0D=0ABcc:_x?=", "\r\n", "a\x00b", "ü\r\nBcc: x", "\xff\xfe\r\nX: y", strings.Repeat("a", 5000) + "\r\nX: y",
	}
	for _, a := range []message.Allow{{}, {UTF8: true, EightBit: true}} {
		for _, v := range evil {
			e := &message.Entity{Header: []message.Field{
				{Name: "From", Value: message.FormatAddress(v, v, a.UTF8)},
				{Name: "To", Value: v},
				{Name: "Subject", Value: v},
				{Name: "References", Value: v},
				{Name: "X-Other", Value: v},
				{Name: "Bad: name\r\nX", Value: "dropped"},
				{Name: "", Value: "dropped"},
				{Name: "Content-Type", Value: "text/plain" + message.FormatParam("name", v)},
			}, Text: "body"}
			raw := message.Compose(e, a)
			m, err := message.Parse(bytes.NewReader(raw), message.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			checkLines(t, raw, false)
			if n := len(m.Root.Header); n != 8 || strings.TrimSpace(string(raw[m.Root.Body:])) != "body" {
				t.Errorf("%.40q: %d fields, body %q\n%s", v, n, raw[m.Root.Body:], raw)
			}
			if s := message.DecodeHeader(m.Root.Get("Subject")); strings.ContainsAny(s, "\r\n\x00\u2028\u2029\u0085") {
				t.Errorf("%.40q: subject %q", v, s)
			}
		}
	}
}

// TestBoundaryUnknown: a part that holds the boundary of another message ends
// nothing.
func TestBoundaryUnknown(t *testing.T) {
	inner := message.Compose(&message.Entity{
		Header: []message.Field{{Name: "Content-Type", Value: "multipart/mixed"}}, Parts: []message.Entity{{Text: "x"}},
	}, message.Allow{})
	raw := message.Compose(&message.Entity{
		Header: []message.Field{{Name: "Content-Type", Value: "multipart/mixed"}}, Parts: []message.Entity{{Raw: inner}, {Text: "last"}},
	}, message.Allow{})
	m, err := message.Parse(bytes.NewReader(raw), message.Limits{})
	if err != nil || len(m.Root.Children) != 2 || bodyOf(t, raw, m.Root.Children[0]) != string(inner) {
		t.Errorf("%v\n%s", err, raw)
	}
}
