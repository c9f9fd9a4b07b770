package search

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"plic/internal/casemap"
)

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

// FuzzText folds and strips whatever comes, in pieces of any size.
func FuzzText(f *testing.F) {
	f.Add([]byte("<p>Gr&uuml;&szlig;e <!-- no --> a<b c='>'>d</b> &#x41;&bogus; 1 < 2"), 3)
	f.Add([]byte("ÄÖÜ é e\u0301 ß \xff\xfe \xe2\x82"), 1)
	f.Fuzz(func(t *testing.T, text []byte, size int) {
		size = 1 + (size&0xff)%7
		whole, err := io.ReadAll(casemap.NewReader(&htmlText{r: bytes.NewReader(text)}))
		if err != nil {
			t.Fatal(err)
		}
		pieces, err := io.ReadAll(casemap.NewReader(&htmlText{r: &drip{bytes.NewReader(text), size}}))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(whole, pieces) {
			t.Fatalf("%q at once, %q in pieces of %d", whole, pieces, size)
		}
	})
}

// drip gives a few octets at a time.
type drip struct {
	r io.Reader
	n int
}

func (d *drip) Read(p []byte) (int, error) { return d.r.Read(p[:min(len(p), d.n)]) }
