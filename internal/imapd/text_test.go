package imapd

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
)

func TestFold(t *testing.T) {
	t.Parallel()
	for _, same := range [][2]string{
		{"Hello", "hELLO"}, {"ÄPFEL", "äpfel"}, {"é", "e\u0301"}, {"ΣΑΣ", "σας"}, {"\u212a", "k"}, {"ﬁ", "FI"}, {"ｆｕｌｌ", "full"},
	} {
		if a, b := foldString(same[0]), foldString(same[1]); !bytes.Equal(a, b) {
			t.Errorf("%q folds to %q, %q to %q", same[0], a, same[1], b)
		}
	}
	if bytes.Equal(foldString("a"), foldString("b")) {
		t.Error("a is b")
	}
}

func TestHTMLText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ html, text string }{
		{"plain", "plain"}, {"a<b>b</b>c", "abc"}, {"a<br>b", "a b"}, {"x<!-- <p> -- > no -->y", "xy"}, {"<!---->z", "z"},
		{`<a title="a > b" href='>'>link</a>`, "link"}, {"<script>if (a<b) x('</p>')</script>y", "y"}, {"<STYLE>p{}</style >q", "q"},
		{"&amp;&lt;&uuml;&#65;&#x42;&nosuch; & &", "&<üAB&nosuch; & &"}, {"1 < 2 <3 a<", "1 < 2 <3 a"}, {"&am", "&am"}, {"<p", ""},
	} {
		got, err := io.ReadAll(&htmlText{r: strings.NewReader(c.html)})
		if text := strings.TrimSpace(string(got)); err != nil || text != c.text {
			t.Errorf("%q gives %q, %v, want %q", c.html, text, err, c.text)
		}
	}
}

// What is sought is found wherever the pieces of the text end.
func TestContains(t *testing.T) {
	t.Parallel()
	m := matcher{ctx: context.Background(), pool: New(Options{})}
	for at := pageSize - 12; at < pageSize+3; at++ {
		text := strings.Repeat("x", at) + "Nädel" + strings.Repeat("y", 5)
		if ok, err := m.contains(newFolder(strings.NewReader(text)), foldString("näDEL")); !ok || err != nil {
			t.Errorf("not found at %d: %v", at, err)
		}
	}
	long := strings.Repeat("0123456789", 10000)
	if ok, _ := m.contains(strings.NewReader("ab"+long), []byte("b"+long)); !ok {
		t.Error("a long string is not found")
	}
	if ok, _ := m.contains(strings.NewReader(long), []byte("b"+long)); ok {
		t.Error("found what is not there")
	}
}

func TestPlainHeader(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{
		"A: b\r\n\r\nbody": 8, "A: b\r\n c\r\n\r\n": 12, "\r\n": 2, "\nx": 1, "A: b\n\n": 6,
		"A: b\r\nodd\r\n\r\n": 0, " A: b\r\n\r\n": 0, "A: b\r\n": 0, "": 0, "A: b": 0, ": x\r\n\r\n": 0, "A\r\n\r\n": 0,
	} {
		if got := plainHeader([]byte(text)); got != want {
			t.Errorf("plainHeader(%q) = %d, want %d", text, got, want)
		}
	}
}
