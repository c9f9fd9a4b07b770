// Package casemap makes text comparable without regard to case, in the manner
// of i;unicode-casemap (RFC 5051), which is what I18NLEVEL=1 of RFC 5255 wants:
// each character decomposed, and each of those the least of what differs only
// in case. Accents stay, so "é" is not "e". It looks at one character at a
// time, so that it does not matter where a text is cut.
package casemap

import (
	"io"
	"slices"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Upper is the capital of an ASCII letter; anything else stays.
func Upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		return c - 'a' + 'A'
	}
	return c
}

// IsASCII says that a text has no octet above 127.
func IsASCII(text []byte) bool {
	for _, c := range text {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// Fold gives a text in the form that is compared.
func Fold(text string) []byte { return Append(nil, []byte(text)) }

// Append appends a text in the form that is compared.
func Append(dst, text []byte) []byte {
	dst = slices.Grow(dst, len(text))
	for i := 0; i < len(text); {
		if c := text[i]; c < utf8.RuneSelf {
			dst = append(dst, Upper(c))
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

// Reader folds a text of UTF-8 as it is read.
type Reader struct {
	r    io.Reader
	in   [1 << 10]byte
	n    int // octets of in that are a character begun
	room []byte
	out  []byte // what of room was not given yet
	err  error
}

// NewReader folds what r gives.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Reset begins anew with another text.
func (f *Reader) Reset(r io.Reader) { *f = Reader{r: r, room: f.room} }

// Read gives folded text.
func (f *Reader) Read(p []byte) (int, error) {
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
		f.room = Append(f.room[:0], text[:whole])
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
