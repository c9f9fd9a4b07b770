package message_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"plic/internal/message"
	"plic/internal/message/messagetest"
)

// FuzzParse: any octets have a structure that is whole, the same in whatever
// pieces they come, and whose fields and bodies can all be decoded.
func FuzzParse(f *testing.F) {
	for _, s := range messagetest.All() {
		if len(s.Raw) < 8<<10 {
			f.Add(s.Raw)
		}
	}
	low := message.Limits{Header: 200, HeaderLines: 8, Depth: 4, Parts: 8, Boundary: 8}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, limits := range []message.Limits{{}, low} {
			m, err := message.Parse(bytes.NewReader(raw), limits)
			if err != nil {
				t.Fatal(err)
			}
			checkTree(t, "fuzz", raw, m)
			again, err := message.Parse(oneByOne{bytes.NewReader(raw)}, limits)
			if err != nil {
				t.Fatal(err)
			}
			var a, b strings.Builder
			writeTree(&a, m.Root)
			writeTree(&b, again.Root)
			if a.String() != b.String() || m.Text != again.Text {
				t.Fatalf("whole %s %q\nin pieces %s %q", a.String(), m.Text, b.String(), again.Text)
			}
			b.Reset()
			inMemory := message.ParseBytes(raw, limits)
			if writeTree(&b, inMemory.Root); a.String() != b.String() || m.Text != inMemory.Text {
				t.Fatalf("read %s %q\nin memory %s %q", a.String(), m.Text, b.String(), inMemory.Text)
			}
			m.Walk(func(p *message.Part) bool {
				if name := p.Filename(); !utf8.ValidString(name) || strings.ContainsAny(name, "\r\n") {
					t.Fatalf("file name %q", name)
				}
				p.Envelope()
				r := message.DecodeText(message.DecodeBody(bytes.NewReader(raw[p.Body:p.End]), p.Encoding), p.Param("charset"))
				text, err := io.ReadAll(r)
				if err != nil || !utf8.Valid(text) {
					t.Fatalf("text %q %v", text, err)
				}
				return true
			})
			n := 0
			for name := range message.Fields(raw[:m.Root.Body]) {
				if name != "" {
					n++
				}
			}
			if !m.Truncated && n != len(m.Root.Header) {
				t.Fatalf("%d fields, listed %d", len(m.Root.Header), n)
			}
		}
	})
}

// FuzzAddressList: what is read can be written, and is then read the same.
func FuzzAddressList(f *testing.F) {
	for _, s := range []string{
		"John Doe <john@example.com>", `"a, b" <c@d>, g: x@y;`, "(c(c)) a@b (n)", "<@r,@s:u@v>", "Doe, John <j@x>", "a . b @ c . d", "a@[1.2.3.4]",
		`"q\"q"@x`, "=?utf-8?q?x?= <a@b>", "a@b@c", "a <b@c> <d@e>", "(\\", "\"", "<", "a@[",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, m := range message.ParseAddressList(value) {
			if m.Group || m.Local == "" || m.Host == "" || strings.ContainsAny(m.Local+m.Host, "\r\n\x00") || !utf8.ValidString(m.Name+m.Local+m.Host) {
				continue
			}
			out := message.AppendField(nil, "To", message.FormatAddress(m.Name, m.Address(), true), true)
			if bytes.Count(out, []byte("\r\n")) != bytes.Count(out, []byte("\r\n "))+1 {
				t.Fatalf("%q gives the lines %q", value, out)
			}
			message.ParseAddressList(string(out[3:]))
		}
	})
}

// FuzzDecodeHeader: whatever comes in, what comes out is UTF-8 on one line.
// Text that is encoded is read as it was.
func FuzzDecodeHeader(f *testing.F) {
	for _, s := range []string{
		"=?utf-8?q?J=C3=B6rg?=", "=?iso-2022-jp?B?GyRCJDMbKEI=?=", "=?utf-7?q?+AGE-?=", "=?a?b?c?=", "=? =?= ?=", "caf\xe9", "=?utf-8?Q?=0D=0A?=",
		"ein Wort über 200 €", strings.Repeat("ü", 200), strings.Repeat("x", 1000),
	} {
		f.Add(s, "utf-8")
	}
	f.Fuzz(func(t *testing.T, value, charset string) {
		for _, out := range []string{message.DecodeHeader(value), message.DecodeHeaderAs(value, charset)} {
			if !utf8.ValidString(out) {
				t.Fatalf("%q gives %q", value, out)
			}
		}
		text := strings.Join(strings.Fields(message.DecodeHeader(strings.ReplaceAll(value, "=?", "="))), " ")
		field := message.AppendField(nil, "Subject", text, false)
		if got := message.DecodeHeader(string(field[len("Subject:"):])); got != clean(text) {
			t.Fatalf("%q written %q read %q", text, field, got)
		}
		for line := range strings.SplitSeq(string(field), "\r\n") {
			if len(line) > 78 && strings.Contains(line, "=?") && !strings.Contains(text, "=?") && longest(text) < 70 {
				t.Fatalf("%q has a line of %d: %q", text, len(line), line)
			}
		}
	})
}

// clean gives what may stand in a header of a text.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\u0085' || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

func longest(s string) (n int) {
	for _, w := range strings.Fields(s) {
		n = max(n, len(w))
	}
	return n
}

// FuzzDecodeBody: decoding does not depend on the pieces, and undoes encoding.
func FuzzDecodeBody(f *testing.F) {
	f.Add([]byte("a=3Db=\r\nc \r\n=ZZ"), uint8(3))
	f.Add([]byte("SGVs*bG8=\r\nIQ=="), uint8(1))
	f.Add([]byte("\x1b$B\x1b(B+AGE-\xff\xfe"), uint8(2))
	charsets := []string{"", "utf-7", "iso-2022-jp", "gb18030", "hz-gb-2312", "utf-16", "utf-32", "euc-kr", "big5", "windows-1253"}
	f.Fuzz(func(t *testing.T, in []byte, n uint8) {
		pieces := func() io.Reader { return &chunks{in, int(n)%7 + 1} }
		for _, encoding := range []string{"base64", "quoted-printable"} {
			whole, err1 := io.ReadAll(message.DecodeBody(bytes.NewReader(in), encoding))
			parts, err2 := io.ReadAll(message.DecodeBody(pieces(), encoding))
			if err1 != nil || err2 != nil || !bytes.Equal(whole, parts) || len(whole) > len(in) {
				t.Fatalf("%s %q: %q %v, in pieces %q %v", encoding, in, whole, err1, parts, err2)
			}
		}
		charset := charsets[int(n)%len(charsets)]
		whole, err1 := io.ReadAll(message.DecodeText(bytes.NewReader(in), charset))
		parts, err2 := io.ReadAll(message.DecodeText(pieces(), charset))
		if err1 != nil || err2 != nil || !bytes.Equal(whole, parts) || !utf8.Valid(whole) {
			t.Fatalf("%s %q: %q %v, in pieces %q %v", charset, in, whole, err1, parts, err2)
		}
		for _, a := range []message.Allow{{}, {EightBit: true}} {
			raw := message.Compose(&message.Entity{Parts: []message.Entity{{Data: append([]byte{}, in...)}, {Text: string(whole)}},
				Header: []message.Field{{Name: "Content-Type", Value: "multipart/mixed"}}}, a)
			m, err := message.Parse(bytes.NewReader(raw), message.Limits{})
			if err != nil || len(m.Root.Children) != 2 {
				t.Fatalf("%v\n%s", err, raw)
			}
			data, text := m.Root.Children[0], m.Root.Children[1]
			if got := bodyOf(t, raw, data); got != string(in) {
				t.Fatalf("data %q, want %q", got, in)
			}
			want := strings.ReplaceAll(strings.ReplaceAll(strings.ReplaceAll(string(whole), "\r\n", "\n"), "\r", "\n"), "\n", "\r\n")
			if got := bodyOf(t, raw, text); strings.TrimSuffix(got, "\r\n") != strings.TrimSuffix(want, "\r\n") {
				t.Fatalf("text %q, want %q", got, want)
			}
		}
	})
}

// chunks gives so many octets at a time.
type chunks struct {
	b []byte
	n int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.b) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.n)], c.b)
	c.b = c.b[n:]
	return n, nil
}

// FuzzDate: a date that is read is a date, and reads the same when written.
func FuzzDate(f *testing.F) {
	for _, s := range []string{"Fri, 21 Nov 1997 09:55:06 -0600", "1 Jan 49 00:00 EST", "Mon Mar  2 10:15:30 CET 2026", "2-Mar-26 1.2+01:00", "(x) 1 May 99999 1:2 Z", "-", "+", "1 Jan 1 1:1 -9999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		at, err := message.ParseDate(value)
		if err != nil {
			return
		}
		if at.Year() > 9999 {
			return
		}
		again, err := message.ParseDate(at.Format("Mon, 02 Jan 2006 15:04:05 -0700"))
		if err != nil || !again.Equal(at) {
			t.Fatalf("%q is %v, then %v %v", value, at, again, err)
		}
	})
}
