package imapd

import (
	"io"
	"slices"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// equalFold compares ASCII letters without regard to case, and nothing else.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if upper(a[i]) != upper(b[i]) {
			return false
		}
	}
	return true
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// foldString makes text comparable without regard to case, in the manner of
// i;unicode-casemap (RFC 5051): each character decomposed, and each of those
// the smallest of what differs only in case. It looks at one character at a
// time, so that it does not matter where a text is cut.
func foldString(text string) []byte { return appendFold(nil, []byte(text)) }

func isASCII(text []byte) bool {
	for _, c := range text {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func appendFold(dst, text []byte) []byte {
	dst = slices.Grow(dst, len(text))
	for i := 0; i < len(text); {
		if c := text[i]; c < utf8.RuneSelf {
			dst = append(dst, upper(c))
			i++
			continue
		}
		r, n := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError {
			dst = utf8.AppendRune(dst, r)
			i += n
			continue
		}
		var room [64]byte
		for _, part := range string(norm.NFKD.Append(room[:0], text[i:i+n]...)) {
			dst = utf8.AppendRune(dst, foldRune(part))
		}
		i += n
	}
	return dst
}

func foldRune(r rune) rune {
	least := r
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		least = min(least, f)
	}
	return least
}

// folder folds a text of UTF-8 as it is read.
type folder struct {
	r    io.Reader
	in   [1 << 10]byte
	n    int // octets of in that are a character begun
	room []byte
	out  []byte // what of room was not given yet
	err  error
}

func newFolder(r io.Reader) *folder { return &folder{r: r} }

// Read gives folded text.
func (f *folder) Read(p []byte) (int, error) {
	for len(f.out) == 0 {
		if f.err != nil {
			return 0, f.err
		}
		var got int
		got, f.err = f.r.Read(f.in[f.n:])
		text := f.in[:f.n+got]
		whole := len(text)
		if f.err == nil {
			whole = wholeRunes(text)
		}
		f.room = appendFold(f.room[:0], text[:whole])
		f.out = f.room
		f.n = copy(f.in[:], text[whole:])
	}
	n := copy(p, f.out)
	f.out = f.out[n:]
	return n, nil
}

// wholeRunes is the length of text without a character that is not complete.
func wholeRunes(text []byte) int {
	for back := 1; back < utf8.UTFMax && back <= len(text); back++ {
		if c := text[len(text)-back]; utf8.RuneStart(c) {
			if !utf8.FullRune(text[len(text)-back:]) {
				return len(text) - back
			}
			break
		}
	}
	return len(text)
}
