package store

import (
	"fmt"
	"strings"
	"testing"

	"plic/internal/message"
)

// TestShift: the structure of a body, shifted, is that of prefix and body as
// one, however odd the body begins. One that begins with a folded line is the
// exception: then the shifted one holds, as the summary was made from it.
func TestShift(t *testing.T) {
	t.Parallel()
	prefix := "Return-Path: <x@y>\r\nReceived: from a\r\n\tby b\r\nDelivered-To: ann\r\n"
	for _, body := range []string{
		"", "\r\n", "\r\nhello", "hello world\r\n", "hello world\r\n\r\nfoo", "Subject: x", "Subject: x\r\n", "Subject: x\r\n\r\n",
		"From x y z\r\nSubject: x\r\n\r\nb", ">From x\r\nA: b\r\n\r\nc", "A b\r\nSubject: x\r\n\r\nfoo", ": x\r\n\r\nfoo", "\nSubject: x\n\nb",
		"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n\r\nx\r\n--a\r\nContent-Type: message/rfc822\r\n\r\nA: b\r\n\r\nc\r\n--a--", "--a\r\n\r\nx",
	} {
		alone, err := message.Parse(strings.NewReader(body), message.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		before := outline(alone)
		want, err := message.Parse(strings.NewReader(prefix+body), message.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		if got := outline(shift(alone, []byte(prefix))); got != outline(want) {
			t.Errorf("%q:\n%s\nas one:\n%s", body, got, outline(want))
		}
		if outline(alone) != before {
			t.Errorf("%q: the shared structure was changed", body)
		}
	}
}

func outline(m *message.Message) string {
	var b strings.Builder
	fmt.Fprintln(&b, m.Size, m.Parts)
	m.Walk(func(p *message.Part) bool {
		fmt.Fprintf(&b, "%v %d %d %d %q %d\n", p.Path, p.Offset, p.Body, p.End, p.Header, p.Lines)
		return true
	})
	return b.String()
}
