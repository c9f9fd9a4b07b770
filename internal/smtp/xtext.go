package smtp

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

const upperHex = "0123456789ABCDEF"

// errControl keeps control characters, line ends above all, out of the places
// that parameters are written to later.
var errControl = errors.New("control character")

// EncodeXtext writes text as xtext, RFC 3461 section 4: graphic ASCII but for
// "+" and "=" as it is, all else as "+" and two hexadecimal digits.
func EncodeXtext(text string) string {
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		if c > ' ' && c < 0x7f && c != '+' && c != '=' {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('+')
		b.WriteByte(upperHex[c>>4])
		b.WriteByte(upperHex[c&15])
	}
	return b.String()
}

// DecodeXtext reads xtext. As RFC 3461 section 4.4 demands of what ENVID and
// ORCPT hold, the outcome is printable ASCII.
func DecodeXtext(text string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '+':
			var err error
			if c, err = hexPair(text[i+1:]); err != nil {
				return "", err
			}
			i += 2
		case c <= ' ' || c >= 0x7f || c == '=':
			return "", fmt.Errorf("character %q is not xtext", c)
		}
		if c < ' ' || c >= 0x7f {
			return "", errControl
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

// decodeWideXtext reads xtext whose octets are UTF-8.
func decodeWideXtext(text string) (string, error) {
	var octets []byte
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '+':
			var err error
			if c, err = hexPair(text[i+1:]); err != nil {
				return "", err
			}
			i += 2
		case c <= ' ' || c >= 0x7f || c == '=':
			return "", fmt.Errorf("character %q is not xtext", c)
		}
		octets = append(octets, c)
	}
	if !utf8.Valid(octets) {
		return "", errors.New("not UTF-8")
	}
	for _, r := range string(octets) {
		if isControl(r) {
			return "", errControl
		}
	}
	return string(octets), nil
}

// isControl finds what could end or hide a line somewhere.
func isControl(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029'
}

// hexPair reads two upper-case hexadecimal digits, as RFC 3461 has them; lower
// case is understood.
func hexPair(text string) (byte, error) {
	if len(text) < 2 {
		return 0, errors.New(`"+" without two hexadecimal digits`)
	}
	n, err := strconv.ParseUint(text[:2], 16, 8)
	if err != nil {
		return 0, errors.New(`"+" without two hexadecimal digits`)
	}
	return byte(n), nil
}

// EncodeUTF8Xtext writes an address in the seven-bit form utf-8-addr-xtext of
// RFC 6533 section 3: "\x{HEX}" for what is not graphic ASCII.
func EncodeUTF8Xtext(text string) string {
	var b strings.Builder
	for _, r := range text {
		if r > ' ' && r < 0x7f && r != '+' && r != '=' && r != '\\' {
			b.WriteRune(r)
			continue
		}
		fmt.Fprintf(&b, `\x{%02X}`, r)
	}
	return b.String()
}

// DecodeUTF8Xtext reads utf-8-addr-xtext or, where octets above 127 are in it,
// utf-8-addr-unitext. Senders who write "+2B" as in xtext are understood.
func DecodeUTF8Xtext(text string) (string, error) {
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && n == 1:
			return "", errors.New("not UTF-8")
		case r == '\\':
			var err error
			if r, n, err = embedded(text); err != nil {
				return "", err
			}
		case r == '+':
			c, err := hexPair(text[1:])
			if err != nil {
				return "", err
			}
			if c >= utf8.RuneSelf {
				return "", errors.New(`octet above 127 after "+"`)
			}
			r, n = rune(c), 3
		case r <= ' ' || r == 0x7f || r == '=':
			return "", fmt.Errorf("character %q is not xtext", r)
		}
		if isControl(r) {
			return "", errControl
		}
		b.WriteRune(r)
		text = text[n:]
	}
	return b.String(), nil
}

// embedded reads one EmbeddedUnicodeChar, "\x{" HEXPOINT "}".
func embedded(text string) (rune, int, error) {
	end := strings.IndexByte(text, '}')
	if !strings.HasPrefix(text, `\x{`) || end < 5 || end > 9 {
		return 0, 0, errors.New(`"\" without x{HEX}`)
	}
	n, err := strconv.ParseUint(text[3:end], 16, 32)
	if err != nil || !utf8.ValidRune(rune(n)) {
		return 0, 0, errors.New(`"\x{}" holds no character`)
	}
	return rune(n), end + 1, nil
}
