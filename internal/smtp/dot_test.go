package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// chunks cuts text at the given places.
type chunks struct {
	text string
	at   []int
	done int
}

func (c *chunks) Read(p []byte) (int, error) {
	if c.done == len(c.text) {
		return 0, io.EOF
	}
	end := len(c.text)
	for _, at := range c.at {
		if at > c.done && at < end {
			end = at
		}
	}
	n := copy(p, c.text[c.done:end])
	c.done += n
	return n, nil
}

func readers(text string) map[string]io.Reader {
	return map[string]io.Reader{
		"whole":        strings.NewReader(text),
		"octets":       iotest.OneByteReader(strings.NewReader(text)),
		"halves":       iotest.HalfReader(strings.NewReader(text)),
		"in the midst": &chunks{text: text, at: []int{len(text) / 3, len(text) / 2}},
	}
}

func TestDotReader(t *testing.T) {
	t.Parallel()
	tests := []struct{ wire, content, rest string }{
		{".\r\nNOOP\r\n", "", "NOOP\r\n"},
		{"a\r\n.\r\nQUIT", "a\r\n", "QUIT"},
		{"..\r\n.\r\n", ".\r\n", ""},
		{".a\r\n...b\r\n.\r\n", "a\r\n..b\r\n", ""},
		{"\r\n\r\n.\r\n", "\r\n\r\n", ""},
		// The sequences of smuggling are content.
		{"a\n.\n\r\n.\r\nR", "a\n.\n\r\n", "R"},
		{"a\n.\r\n\r\n.\r\nR", "a\n.\r\n\r\n", "R"},
		{"a\r.\r\n\r\n.\r\nR", "a\r.\r\n\r\n", "R"},
		{"a\r\n.\n\r\n.\r\nR", "a\r\n\n\r\n", "R"},
		{"a\r\n.\r\r\n\r\n.\r\nR", "a\r\n\r\r\n\r\n", "R"},
		{".x\n\r\n.\r\nR", "x\n\r\n", "R"},
		{".\rx\r\n.\r\nR", "\rx\r\n", "R"},
		{"a\r\r\n.\r\nR", "a\r\r\n", "R"},
		{"a\r\n\x00.\r\n\r\n.\r\nR", "a\r\n\x00.\r\n\r\n", "R"},
	}
	for _, test := range tests {
		for how, r := range readers(test.wire) {
			br := bufio.NewReaderSize(r, 16)
			got, err := io.ReadAll(NewDotReader(br))
			if string(got) != test.content || err != nil {
				t.Errorf("%q %s: %q, %v", test.wire, how, got, err)
			}
			if rest, _ := io.ReadAll(br); string(rest) != test.rest {
				t.Errorf("%q %s: %q is left", test.wire, how, rest)
			}
		}
	}
	for _, cut := range []string{"", "a", "a\r\n", "a\r\n.", "a\r\n.\r"} {
		if _, err := io.ReadAll(NewDotReader(bufio.NewReader(strings.NewReader(cut)))); err != io.ErrUnexpectedEOF {
			t.Errorf("%q ends with %v", cut, err)
		}
	}
}

// TestDotReaderEdges moves the end of the data over the edge of the buffer.
func TestDotReaderEdges(t *testing.T) {
	t.Parallel()
	for n := 4080; n < 4110; n++ {
		content := strings.Repeat("x", n) + "\r\n.y\r\n"
		wire := strings.Replace(content, "\r\n.", "\r\n..", 1) + ".\r\nREST"
		br := bufio.NewReaderSize(strings.NewReader(wire), 4096)
		got, err := io.ReadAll(NewDotReader(br))
		rest, _ := io.ReadAll(br)
		if string(got) != content || err != nil || string(rest) != "REST" {
			t.Errorf("%d: %d octets, %v, rest %q", n, len(got), err, rest)
		}
	}
}

func TestLineWriter(t *testing.T) {
	t.Parallel()
	tests := []struct{ in, normal string }{ // normal is "" when in is good
		{"", ""}, {"a", ""}, {"a\r\n", ""}, {"\r\n\r\n", ""}, {"a\r\nb\r\n", ""},
		{"\n", "\r\n"}, {"\r", "\r\n"}, {"a\nb", "a\r\nb"}, {"a\rb", "a\r\nb"}, {"a\r", "a\r\n"},
		{"\r\r\n", "\r\n\r\n"}, {"\n\r\n", "\r\n\r\n"}, {"\r\n\n", "\r\n\r\n"}, {"\n\r", "\r\n\r\n"},
		{"a\x00b\r\n", "ab\r\n"}, {"a\r\x00\nb", "a\r\n\r\nb"}, {"\x00", "\x00"}, {"a\r\nb\r\nc\rd\r\n", "a\r\nb\r\nc\r\nd\r\n"},
		{"a\r\n.\r\r\nb", "a\r\n.\r\n\r\nb"},
	}
	for _, test := range tests {
		want := test.normal
		if want == "" {
			want = test.in
		}
		want = strings.ReplaceAll(want, "\x00", "")
		for how, r := range readers(test.in) {
			var out bytes.Buffer
			w := NewLineWriter(&out, Normalise)
			_, err := io.Copy(onlyWriter{w}, r)
			if err = errors.Join(err, w.Close()); err != nil || out.String() != want {
				t.Errorf("%q %s: %q, %v; want %q", test.in, how, out.String(), err, want)
			}
		}
		for how, r := range readers(test.in) {
			w := NewLineWriter(io.Discard, Refuse)
			_, err := io.Copy(onlyWriter{w}, r)
			if err == nil {
				err = w.Close()
			}
			if good := test.normal == ""; good != (err == nil) || !good && err != ErrLines {
				t.Errorf("%q %s: %v", test.in, how, err)
			}
		}
	}
}

type onlyWriter struct{ io.Writer }

func TestDotWriter(t *testing.T) {
	t.Parallel()
	tests := []struct{ content, wire string }{
		{"", ".\r\n"},
		{"a\r\n", "a\r\n.\r\n"},
		{"a", "a\r\n.\r\n"},
		{".", "..\r\n.\r\n"},
		{".\r\n..\r\n", "..\r\n...\r\n.\r\n"},
		{"a\n.\nb", "a\r\n..\r\nb\r\n.\r\n"},
		{"a\r.\rb\r", "a\r\n..\r\nb\r\n.\r\n"},
		{"a\r\n\x00.\r\n", "a\r\n..\r\n.\r\n"},
	}
	for _, test := range tests {
		for how, r := range readers(test.content) {
			var out bytes.Buffer
			w := NewDotWriter(bufio.NewWriterSize(&out, 16))
			_, err := io.Copy(onlyWriter{w}, r)
			if err = errors.Join(err, w.Close()); err != nil || out.String() != test.wire {
				t.Errorf("%q %s: %q, %v; want %q", test.content, how, out.String(), err, test.wire)
			}
		}
	}
}

// normal is what Normalise does, octet by octet.
func normal(in []byte) []byte {
	var out []byte
	for i := 0; i < len(in); i++ {
		switch {
		case in[i] == 0:
		case in[i] == '\r' && i+1 < len(in) && in[i+1] == '\n':
			out = append(out, "\r\n"...)
			i++
		case in[i] == '\r' || in[i] == '\n':
			out = append(out, "\r\n"...)
		default:
			out = append(out, in[i])
		}
	}
	return out
}

func FuzzDotReader(f *testing.F) {
	for _, seed := range []string{"", ".", "a\r\n.\r\nb", "\n.\n", "\r\n.\r\r\n", "a\x00\r", "\r\n..\r\n.\r\n"} {
		f.Add([]byte(seed), uint16(3))
	}
	f.Fuzz(func(t *testing.T, content []byte, cut uint16) {
		var wire bytes.Buffer
		w := NewDotWriter(bufio.NewWriter(&wire))
		for part := content; len(part) > 0; {
			n := min(len(part), int(cut%64)+1)
			w.Write(part[:n])
			part = part[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if bytes.Count(wire.Bytes(), []byte("\r\n.\r\n")) > 1 {
			t.Fatalf("two ends in %q", wire.Bytes())
		}
		want := normal(content)
		if len(want) > 0 && !bytes.HasSuffix(want, crlf) {
			want = append(want, crlf...)
		}
		br := bufio.NewReaderSize(&chunks{text: wire.String(), at: []int{int(cut), int(cut) + 1, int(cut) + 4}}, 16)
		got, err := io.ReadAll(NewDotReader(br))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%q came back as %q, %v; want %q", content, got, err, want)
		}
		if err := NewLineWriter(io.Discard, Refuse).check(got); err != nil {
			t.Fatalf("%q: %v", got, err)
		}
		if _, err := br.ReadByte(); err != io.EOF {
			t.Fatal("something is left")
		}
		// Anything at all may come in.
		io.Copy(NewLineWriter(io.Discard, Refuse), NewDotReader(bufio.NewReaderSize(bytes.NewReader(content), 16)))
	})
}

func (l *LineWriter) check(p []byte) error {
	if _, err := l.Write(p); err != nil {
		return err
	}
	return l.Close()
}

func BenchmarkDotReader(b *testing.B) {
	for _, size := range []int{2 << 10, 1 << 20} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			wire := strings.Repeat("The quick brown fox jumps over the lazy dog, and then some.\r\n", size/61) + ".\r\n"
			b.SetBytes(int64(len(wire)))
			r := bufio.NewReaderSize(nil, 8192)
			src := strings.NewReader("")
			for b.Loop() {
				src.Reset(wire)
				r.Reset(src)
				d := NewDotReader(r)
				w := NewLineWriter(io.Discard, Refuse)
				for {
					run, err := d.Next()
					if err != nil {
						break
					}
					w.Write(run)
				}
				if w.Close() != nil {
					b.Fatal(w.err)
				}
			}
		})
	}
}

func BenchmarkDotWriter(b *testing.B) {
	content := []byte(strings.Repeat("The quick brown fox jumps over the lazy dog, and then some.\r\n", 1<<20/61))
	b.SetBytes(int64(len(content)))
	w := bufio.NewWriterSize(io.Discard, 8192)
	for b.Loop() {
		d := NewDotWriter(w)
		d.Write(content)
		d.Close()
	}
}
