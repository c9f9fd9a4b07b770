package message_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"plic/internal/message"
	"plic/internal/message/messagetest"
)

// counting counts what is asked of a reader.
type counting struct {
	r     io.Reader
	reads int
	bytes int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.reads++
	c.bytes += n
	return n, err
}

// allocated gives the octets that f allocates.
func allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

const from = "From: a@example.org\r\nSubject: s\r\n"

// hostileMessages grow with n; each is about n times a few octets.
func hostileMessages() map[string]func(n int) string {
	rep := strings.Repeat
	return map[string]func(n int) string{
		"deep multipart":    func(n int) string { return string(messagetest.Nested(n / 64)) },
		"deep messages":     func(n int) string { return string(messagetest.NestedMessages(n / 64)) },
		"many parts":        func(n int) string { return string(messagetest.ManyParts(n / 16)) },
		"boundaries only":   func(n int) string { return multi("x") + rep("--x\r\n", n/5) },
		"dashes":            func(n int) string { return multi("x") + rep("--\r\n", n/4) },
		"near boundaries":   func(n int) string { return multi("xxxxxxxx") + rep("--xxxxxxxy\n", n/11) },
		"header lines":      func(n int) string { return from + rep("X: y\r\n", n/6) + "\r\nbody\r\n" },
		"one field":         func(n int) string { return from + "X: " + rep("y", n) + "\r\n\r\nbody\r\n" },
		"folded field":      func(n int) string { return from + "X: " + rep("y\r\n ", n/4) + "\r\n\r\nbody\r\n" },
		"stray lines":       func(n int) string { return from + rep("junk\r\nA: b\r\n", n/12) + "\r\nbody\r\n" },
		"long stray line":   func(n int) string { return from + rep("x", n) + "\r\nA: b\r\n\r\n" },
		"newlines":          func(n int) string { return from + rep("\n", n) },
		"parameters":        func(n int) string { return "Content-Type: text/plain" + rep(";name*1*=x", n/10) + "\r\n\r\n" },
		"type comment":      func(n int) string { return "Content-Type: " + rep("(", n) + "\r\n\r\n" },
		"type comments":     func(n int) string { return "Content-Type: text" + rep("()", n/2) + "/plain\r\n\r\n" },
		"open quotes":       func(n int) string { return "Content-Type: text/plain; x=\"" + rep("\\\"", n/2) + "\r\n\r\n" },
		"long boundary":     func(n int) string { return multi(rep("b", n)) + "--" + rep("b", n) + "\r\n" },
		"html":              func(n int) string { return "Content-Type: text/html\r\n\r\n" + rep("<style></", n/9) },
		"html comments":     func(n int) string { return "Content-Type: text/html\r\n\r\n" + rep("<!--", n/4) },
		"digests":           func(n int) string { return digests(n / 64) },
		"deep, then dashes": func(n int) string { return strings.TrimSuffix(openNested(99), "") + rep("--b98x\r\n", n/8) },
	}
}

func multi(boundary string) string {
	return from + "Content-Type: multipart/mixed; boundary=\"" + boundary + "\"\r\n\r\n"
}

func openNested(depth int) string {
	var b strings.Builder
	for i := range depth {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	return b.String() + "\r\n"
}

func digests(depth int) string {
	var b strings.Builder
	for i := range depth {
		fmt.Fprintf(&b, "Content-Type: multipart/digest; boundary=d%d\r\n\r\n--d%d\r\n\r\n", i, i)
	}
	return b.String()
}

// TestHostile bounds the work for messages made to exhaust: the reader is read
// once and in large pieces, memory has a bound, the tree its limits, and all
// invariants of checkTree hold (P2, P3). Sizes are such that a quadratic step
// would not end within the time a test may take.
func TestHostile(t *testing.T) {
	const size = 2 << 20
	for name, build := range hostileMessages() {
		raw := build(size)
		if name == "deep multipart" || name == "digests" || name == "long boundary" {
			raw = build(size / 4)
		}
		r := &counting{r: strings.NewReader(raw)}
		var m *message.Message
		memory := allocated(func() {
			var err error
			if m, err = message.Parse(r, message.Limits{}); err != nil {
				t.Fatal(err)
			}
			m.Root.Envelope()
		})
		if r.bytes != len(raw) || r.reads > 16+len(raw)/(16<<10) {
			t.Errorf("%s: %d octets read in %d pieces as %d", name, len(raw), r.reads, r.bytes)
		}
		if memory > 48<<20 {
			t.Errorf("%s: %d MiB allocated for %d MiB", name, memory>>20, len(raw)>>20)
		}
		if m.Parts > 10000 || depth(m.Root) > 101 {
			t.Errorf("%s: %d parts, %d deep", name, m.Parts, depth(m.Root))
		}
		checkTree(t, name, []byte(raw), m)
	}
}

func depth(p *message.Part) int {
	type item struct {
		p *message.Part
		d int
	}
	deepest := 0
	for stack := []item{{p, 1}}; len(stack) > 0; {
		top := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		deepest = max(deepest, top.d)
		if top.p.Embedded != nil {
			stack = append(stack, item{top.p.Embedded, top.d + 1})
		}
		for _, c := range top.p.Children {
			stack = append(stack, item{c, top.d + 1})
		}
	}
	return deepest
}

// TestLimits sets each limit low and sees it kept, said, and the offsets right.
func TestLimits(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits message.Limits
		raw    string
		tree   string
	}{
		{"parts", message.Limits{Parts: 3}, multi("x") + "--x\r\n\r\n1\r\n--x\r\n\r\n2\r\n--x\r\n\r\n3\r\n--x--\r\n",
			"multipart/mixed (text/plain 1+0, text/plain 1+0)"},
		{"depth", message.Limits{Depth: 2}, multi("x") + "--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y\r\n\r\n1\r\n--y--\r\n--x--\r\n",
			"multipart/mixed (application/octet-stream 15+3)"},
		{"depth of messages", message.Limits{Depth: 1}, "Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nx\r\n",
			"application/octet-stream 17+3"},
		{"boundary", message.Limits{Boundary: 3}, multi("xxxx") + "--xxxx\r\n\r\n1\r\n--xxxx--\r\n",
			"application/octet-stream 23+4"},
		{"header octets", message.Limits{Header: 40}, from + "X: 123456789\r\nContent-Type: text/html\r\n\r\nx\r\n",
			"application/octet-stream 3+1"},
		{"header lines", message.Limits{HeaderLines: 2}, from + "Content-Type: text/html\r\n\r\nx\r\n",
			"application/octet-stream 3+1"},
		{"headers together", message.Limits{HeaderLines: 1}, multi("x") + strings.Repeat("--x\r\nContent-Type: text/html\r\n\r\n1\r\n", 20) + "--x--\r\n", ""},
	} {
		m, err := message.Parse(strings.NewReader(c.raw), c.limits)
		if err != nil {
			t.Fatal(err)
		}
		if !m.Truncated {
			t.Errorf("%s: not said to be truncated", c.name)
		}
		var tree strings.Builder
		writeTree(&tree, m.Root)
		if c.tree != "" && tree.String() != c.tree {
			t.Errorf("%s: %s, want %s", c.name, tree.String(), c.tree)
		}
		checkTree(t, c.name, []byte(c.raw), m)
	}
}

// hostileFields are for the parsers of single fields (P1, P4).
func hostileFields() map[string]func(n int) string {
	rep := strings.Repeat
	return map[string]func(n int) string{
		"nested comment":   func(n int) string { return rep("(", n/2) + rep(")", n/2) + " a@b" },
		"open comment":     func(n int) string { return rep("(", n) },
		"comments":         func(n int) string { return rep("()", n/2) + "a@b" },
		"comment escape":   func(n int) string { return "(" + rep("\\", n) },
		"domain literal":   func(n int) string { return "a@[" + rep("[", n) },
		"phrase":           func(n int) string { return rep("word ", n/5) + "<a@b>" },
		"at signs":         func(n int) string { return rep("a@", n/2) },
		"at in angle":      func(n int) string { return "<" + rep("a@", n/2) },
		"angles":           func(n int) string { return rep("<", n) },
		"angles closed":    func(n int) string { return rep("<>", n/2) },
		"routes":           func(n int) string { return "<" + rep("@a,", n/3) + ":b@c>" },
		"commas":           func(n int) string { return rep(",", n) + "x <a@b>" },
		"bare words":       func(n int) string { return rep("a,", n/2) + "x <a@b>" },
		"groups":           func(n int) string { return rep("g:", n/2) },
		"group ends":       func(n int) string { return rep("g:;", n/3) },
		"addresses":        func(n int) string { return rep("a@b,", n/4) },
		"open quote":       func(n int) string { return rep("\"", n|1) },
		"quotes":           func(n int) string { return rep("\"\"", n/2) },
		"open words":       func(n int) string { return rep("=?a?q?", n/6) },
		"word ends":        func(n int) string { return rep("=?a?q??=", n/8) },
		"word starts":      func(n int) string { return rep("=?", n/2) },
		"words of spaces":  func(n int) string { return "=?a?q?x?=" + rep(" ", n) + "=?a?q?x?=" },
		"words, charsets":  func(n int) string { return rep("=?utf-8?q?x?= =?gbk?b?xOM?= ", n/28) },
		"long charset":     func(n int) string { return "=?" + rep("a", n) + "?q?x?=" },
		"UTF-7":            func(n int) string { return "=?utf-7?q?" + rep("+AGE-", n/5) + "?=" },
		"spaces and dots":  func(n int) string { return rep(" .", n/2) + "@b" },
		"octets above 127": func(n int) string { return rep("\xff", n) },
	}
}

// TestHostileFields bounds what a field of 1 MiB may cost, and what it gives.
func TestHostileFields(t *testing.T) {
	const size = 1 << 20
	for name, build := range hostileFields() {
		value := build(size)
		var list []message.Mailbox
		memory := allocated(func() { list = message.ParseAddressList(value) })
		if len(list) > 10001 || memory > 16*size {
			t.Errorf("%s: %d addresses, %d MiB allocated", name, len(list), memory>>20)
		}
		var text string
		memory = allocated(func() { text = message.DecodeHeader(value) })
		if len(text) > 4*len(value) || memory > 80*size {
			t.Errorf("%s: %d octets of text, %d MiB allocated", name, len(text), memory>>20)
		}
		if strings.ContainsAny(text, "\r\n\x00") && !strings.ContainsAny(value, "\r\n\x00") {
			t.Errorf("%s: control characters came out", name)
		}
		_, _ = message.ParseDate(value)
	}
}

func TestManyParams(t *testing.T) {
	var b strings.Builder
	b.WriteString("Content-Type: text/plain")
	for i := range 100000 {
		fmt.Fprintf(&b, "; name*%d*=x", i)
	}
	m, err := message.Parse(strings.NewReader(b.String()+"\r\n\r\n"), message.Limits{Header: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if !m.Truncated || len(m.Root.Params) != 128 || len(m.Root.Param("name")) != 128 {
		t.Errorf("truncated %v, %d parameters, name %q", m.Truncated, len(m.Root.Params), m.Root.Param("name"))
	}
}

// TestReadError: what the reader says is what Parse says.
func TestReadError(t *testing.T) {
	r := io.MultiReader(strings.NewReader(from), errReader{})
	if _, err := message.Parse(r, message.Limits{}); err != io.ErrClosedPipe {
		t.Errorf("got %v", err)
	}
	if _, err := message.Parse(stuck{}, message.Limits{}); err != io.ErrNoProgress {
		t.Errorf("got %v", err)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

func BenchmarkParse(b *testing.B) {
	for _, c := range []struct {
		name string
		raw  []byte
	}{
		{"2KiB", small()},
		{"big", sample("big-attachment")},
		{"many-parts", messagetest.ManyParts(10000)},
		{"newlines", []byte(from + strings.Repeat("\n", 10<<20))},
		{"short-lines", []byte(multi("x") + "--x\r\n\r\n" + strings.Repeat("abc\r\n", 2<<20))},
		{"dashes", []byte(multi("x") + "--x\r\n\r\n" + strings.Repeat("--\r\n", 2<<20))},
		{"deep-dashes", []byte(openNested(99) + strings.Repeat("--b9\n", 2<<20))},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := message.Parse(bytes.NewReader(c.raw), message.Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkHostile shows that time grows as the input does: compare 1MiB with
// 2MiB.
func BenchmarkHostile(b *testing.B) {
	for name, build := range hostileFields() {
		for _, size := range []int{1 << 20, 2 << 20} {
			value := build(size)
			b.Run(fmt.Sprintf("%s/%dMiB", name, size>>20), func(b *testing.B) {
				for b.Loop() {
					message.ParseAddressList(value)
					message.DecodeHeader(value)
				}
			})
		}
	}
}

func sample(name string) []byte {
	for _, s := range messagetest.All() {
		if s.Name == name {
			return s.Raw
		}
	}
	return nil
}

// small is an ordinary message of 2 KiB as it comes from another server.
func small() []byte {
	head := "Received: from mx.example.org (mx.example.org [192.0.2.1])\r\n\tby mail.example.net (plic) with ESMTPS id 0123456789;\r\n\tMon, 2 Mar 2026 10:15:31 +0100\r\n" +
		"DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=s1;\r\n h=from:to:subject:date; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB4nujc7YopdG5dWLSdNg6x\r\n" +
		"From: Alice Example <alice@example.org>\r\nTo: Bob <bob@example.net>\r\nSubject: =?utf-8?Q?Gr=C3=BC=C3=9Fe?=\r\nDate: Mon, 02 Mar 2026 10:15:30 +0100\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
	return []byte(head + strings.Repeat("The quick brown fox jumps over the lazy dog, again and again and again.\r\n", 18))
}

func BenchmarkEnvelope(b *testing.B) {
	m, err := message.Parse(bytes.NewReader(small()), message.Limits{})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Root.Envelope()
	}
}
