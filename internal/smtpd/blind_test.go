package smtpd

import (
	"strings"
	"testing"
)

func TestBlind(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"To: a\r\nBcc: b\r\nSubject: c\r\n\r\nBcc: in the body\r\n", "To: a\r\nSubject: c\r\n\r\nBcc: in the body\r\n"},
		{"BCC : b,\r\n c,\r\n\td\r\nTo: a\r\n folded\r\n\r\nx", "To: a\r\n folded\r\n\r\nx"},
		{"Resent-Bcc: b\r\nResent-To: c\r\n\r\n", "Resent-To: c\r\n\r\n"},
		{"Bccx: b\r\nBc: c\r\nB: d\r\nbcc d\r\n\r\n", "Bccx: b\r\nBc: c\r\nB: d\r\nbcc d\r\n\r\n"},
		{"\r\nBcc: b\r\n", "\r\nBcc: b\r\n"},
		{"bcc" + strings.Repeat(" ", 40) + ": b\r\n\r\n", "bcc" + strings.Repeat(" ", 40) + ": b\r\n\r\n"},
		{"To: a\r\nBcc", "To: a\r\nBcc"},
		{"To: a\r\nBcc: only", "To: a\r\n"},
		{"", ""},
		{"b\r\n\r\nc", "b\r\n\r\nc"},
	} {
		for size := 1; size <= len(c.in)+1; size++ {
			b := &blind{}
			var got strings.Builder
			for rest := c.in; rest != ""; {
				n := min(size, len(rest))
				got.Write(b.filter([]byte(rest[:n])))
				rest = rest[n:]
			}
			got.Write(b.finish())
			if got.String() != c.want {
				t.Fatalf("%q by %d octets goes on as %q, want %q", c.in, size, got.String(), c.want)
			}
		}
	}
}

func FuzzBlind(f *testing.F) {
	f.Add("To: a\r\nBcc: b\r\n c\r\n\r\nx", 3)
	f.Fuzz(func(t *testing.T, in string, size int) {
		if size <= 0 {
			size = 1
		}
		whole, pieces := &blind{}, &blind{}
		want := string(whole.filter([]byte(in))) + string(whole.finish())
		var got strings.Builder
		for rest := in; rest != ""; {
			n := min(size, len(rest))
			got.Write(pieces.filter([]byte(rest[:n])))
			rest = rest[n:]
		}
		got.Write(pieces.finish())
		if got.String() != want {
			t.Errorf("by %d octets it is %q, whole %q", size, got.String(), want)
		}
		if strings.HasPrefix(strings.ToLower(want), "bcc:") {
			t.Errorf("%q goes on as %q", in, want)
		}
	})
}
