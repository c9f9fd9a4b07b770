package message

import (
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/encoding/unicode/utf32"
	"golang.org/x/text/transform"
)

// DecodeText turns text of a charset into UTF-8 as it is read. It never fails
// on content: octets that are wrong in the charset become U+FFFD, and text
// whose charset is unknown or not given is taken as UTF-8, with each octet that
// is not as windows-1252.
func DecodeText(r io.Reader, charset string) io.Reader {
	return transform.NewReader(r, charsetDecoder(charset))
}

// decodeCharset is DecodeText for a short text.
func decodeCharset(text []byte, charset string) string {
	t := charsetDecoder(charset)
	if _, mixed := t.(mixedUTF8); mixed && utf8.Valid(text) {
		return string(text)
	}
	out, _, err := transform.Bytes(t, text)
	if err != nil { // no decoder of ours ends in one
		return strings.ToValidUTF8(string(text), "\uFFFD")
	}
	return string(out)
}

// charsetDecoder finds the decoder to UTF-8 of a charset.
func charsetDecoder(charset string) transform.Transformer {
	name := canonicalCharset(charset)
	switch name {
	case "", "us-ascii", "ascii", "utf-8", "unknown-8bit", "x-unknown", "binary":
		return mixedUTF8{}
	case "utf-7":
		return new(utf7Decoder)
	}
	if e := otherCharset(name); e != nil {
		return forgiving{e.NewDecoder()}
	}
	if e, err := htmlindex.Get(name); err == nil && e != encoding.Replacement {
		return forgiving{e.NewDecoder()}
	}
	return mixedUTF8{}
}

// forgiving puts U+FFFD where a decoder would give up.
type forgiving struct{ transform.Transformer }

// Transform decodes src.
func (f forgiving) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	nDst, nSrc, err = f.Transformer.Transform(dst, src, atEOF)
	if err == nil || err == transform.ErrShortDst || err == transform.ErrShortSrc && !atEOF {
		return nDst, nSrc, err
	}
	if nDst+len("\uFFFD") > len(dst) {
		return nDst, nSrc, transform.ErrShortDst
	}
	nDst += copy(dst[nDst:], "\uFFFD")
	if err == transform.ErrShortSrc {
		return nDst, len(src), nil // half a character at the end
	}
	return nDst, min(nSrc+1, len(src)), transform.ErrShortDst // go on behind it
}

// canonicalCharset gives the name that is looked up for the many that are
// written.
func canonicalCharset(charset string) string {
	name := strings.ToLower(strings.Trim(charset, " \t\r\n\"'"))
	if i := strings.IndexByte(name, '*'); i >= 0 { // RFC 2231 section 5: a language
		name = name[:i]
	}
	name = strings.ReplaceAll(name, "_", "-")
	switch name {
	case "utf8", "utf8mb4", "unicode-1-1-utf-8", "us-ascii//translit", "ansi-x3.4-1968", "646", "iso646-us":
		return "utf-8"
	case "utf7", "unicode-1-1-utf-7", "unicode-2-0-utf-7", "x-unicode-2-0-utf-7":
		return "utf-7"
	case "cp936", "ms936", "x-gbk", "gb2312-80", "euc-cn", "gb-2312":
		return "gbk"
	case "cp932", "ms932", "windows-932", "shift-jis", "sjis", "x-sjis":
		return "shift_jis"
	case "cp949", "ms949", "uhc", "ksc5601", "ks-c-5601", "ks-c-5601-1987", "ks-c-5601-1989":
		return "euc-kr"
	case "cp950", "ms950", "big-5", "x-x-big5":
		return "big5"
	case "latin1", "latin-1", "iso8859", "8859-1", "iso-8859-1-windows-1252-euro":
		return "windows-1252"
	case "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874":
		return "windows-" + name[2:]
	case "x-mac-roman", "macroman", "mac":
		return "macintosh"
	}
	if n, ok := strings.CutPrefix(name, "iso8859"); ok {
		return "iso-8859-" + strings.TrimPrefix(n, "-")
	}
	if n, ok := strings.CutPrefix(name, "ansi-"); ok {
		return "windows-" + n
	}
	return name
}

// otherCharset knows charsets that mail has and the web has not, or reads
// otherwise.
func otherCharset(name string) encoding.Encoding {
	if n, ok := strings.CutPrefix(name, "ibm"); ok {
		name = "cp" + n
	}
	switch name {
	case "cp437":
		return charmap.CodePage437
	case "cp850", "cp00858", "cp858":
		return charmap.CodePage858
	case "cp852":
		return charmap.CodePage852
	case "cp855":
		return charmap.CodePage855
	case "cp860":
		return charmap.CodePage860
	case "cp862":
		return charmap.CodePage862
	case "cp863":
		return charmap.CodePage863
	case "cp865":
		return charmap.CodePage865
	case "hz-gb-2312":
		return simplifiedchinese.HZGB2312
	case "utf-16", "utf-16be": // RFC 2781 section 4.3
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	case "utf-16le":
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	case "utf-32", "utf-32be":
		return utf32.UTF32(utf32.BigEndian, utf32.UseBOM)
	case "utf-32le":
		return utf32.UTF32(utf32.LittleEndian, utf32.UseBOM)
	}
	return nil
}

// mixedUTF8 passes UTF-8, and reads each octet that is none as windows-1252.
type mixedUTF8 struct{ transform.NopResetter }

func (mixedUTF8) Transform(dst, src []byte, atEOF bool) (nDst, nSrc int, err error) {
	for nSrc < len(src) {
		c := src[nSrc]
		if c < utf8.RuneSelf {
			if nDst == len(dst) {
				return nDst, nSrc, transform.ErrShortDst
			}
			dst[nDst] = c
			nDst++
			nSrc++
			continue
		}
		if !atEOF && !utf8.FullRune(src[nSrc:]) {
			return nDst, nSrc, transform.ErrShortSrc
		}
		r, size := utf8.DecodeRune(src[nSrc:])
		if r == utf8.RuneError && size == 1 {
			r = charmap.Windows1252.DecodeByte(c)
		}
		if nDst+utf8.RuneLen(r) > len(dst) {
			return nDst, nSrc, transform.ErrShortDst
		}
		nDst += utf8.EncodeRune(dst[nDst:], r)
		nSrc += size
	}
	return nDst, nSrc, nil
}

// KnowsCharset says that text of a charset can be decoded as that.
func KnowsCharset(charset string) bool {
	switch name := canonicalCharset(charset); name {
	case "us-ascii", "ascii", "utf-8", "utf-7":
		return true
	case "":
		return false
	default:
		if otherCharset(name) != nil {
			return true
		}
		e, err := htmlindex.Get(name)
		return err == nil && e != encoding.Replacement
	}
}

// DecodeString is DecodeText for a short text.
func DecodeString(text, charset string) string { return decodeCharset([]byte(text), charset) }
