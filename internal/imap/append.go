package imap

import (
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// isQuotable says that a string can stand in quotes for every client: plain
// ASCII without CR, LF and NUL, and not so long that a line would burst.
func isQuotable(s string) bool {
	if len(s) > 1000 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c >= 0x80 || c == '\r' || c == '\n' || c == 0 {
			return false
		}
	}
	return true
}

// AppendString writes a string as every client reads it: in quotes when it is
// plain ASCII without CR, LF and NUL, else as a literal. NUL has no place in a
// string at all, RFC 9051 section 4.3, and is left out.
func AppendString(dst []byte, s string) []byte {
	if isQuotable(s) {
		return AppendQuoted(dst, s)
	}
	n := 0
	for i := range len(s) {
		if s[i] != 0 {
			n++
		}
	}
	dst = AppendLiteral(dst, int64(n))
	for i := range len(s) {
		if s[i] != 0 {
			dst = append(dst, s[i])
		}
	}
	return dst
}

// AppendQuoted writes a quoted string as it is; the caller knows that it holds
// no CR, LF or NUL, and no 8-bit octets unless the client reads UTF-8.
func AppendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := range len(s) {
		if s[i] == '"' || s[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, s[i])
	}
	return append(dst, '"')
}

// AppendNString is AppendString with NIL for the empty string.
func AppendNString(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "NIL"...)
	}
	return AppendString(dst, s)
}

// AppendAString writes a string without quotes where an atom can carry it.
func AppendAString(dst []byte, s string) []byte {
	if s == "" || len(s) > 200 {
		return AppendString(dst, s)
	}
	for i := range len(s) {
		if !isAStringChar(s[i]) {
			return AppendString(dst, s)
		}
	}
	if equalFold(s, "NIL") {
		return AppendQuoted(dst, s)
	}
	return append(dst, s...)
}

// AppendMailbox writes a mailbox name: UTF-8 for a client that has enabled
// IMAP4rev2 or UTF8=ACCEPT, else the modified UTF-7 of RFC 3501 section 5.1.3.
func AppendMailbox(dst []byte, name string, utf8 bool) []byte {
	if utf8 {
		for i := range len(name) {
			if c := name[i]; c == '\r' || c == '\n' || c == 0 {
				return AppendString(dst, name)
			}
		}
		if isQuotable(name) {
			return AppendAString(dst, name)
		}
		return AppendQuoted(dst, name)
	}
	return AppendAString(dst, EncodeUTF7(name))
}

// AppendLiteral announces a literal of n octets, which the caller writes next.
func AppendLiteral(dst []byte, n int64) []byte {
	dst = append(dst, '{')
	dst = strconv.AppendInt(dst, n, 10)
	return append(dst, "}\r\n"...)
}

// AppendDateTime writes the date-time of RFC 9051 section 9, for INTERNALDATE.
func AppendDateTime(dst []byte, t time.Time) []byte {
	return t.AppendFormat(dst, `"_2-Jan-2006 15:04:05 -0700"`)
}

// AppendFlags writes flags in parentheses.
func AppendFlags(dst []byte, flags ...string) []byte {
	dst = append(dst, '(')
	for i, f := range flags {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = append(dst, f...)
	}
	return append(dst, ')')
}

// AppendText writes human-readable text of a response or response code: what
// is not printable ASCII becomes a question mark, and it is cut at 200 octets,
// so that no stranger's bytes form a line of their own.
func AppendText(dst []byte, text string) []byte {
	if len(text) > 200 {
		text = text[:200]
	}
	for i := range len(text) {
		c := text[i]
		if c < ' ' || c >= 0x7f {
			c = '?'
		}
		dst = append(dst, c)
	}
	return dst
}

// AppendUTF8Text is AppendText for a client that reads UTF-8: what can be
// printed stays.
func AppendUTF8Text(dst []byte, text string) []byte {
	from := len(dst)
	for _, r := range text {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			r = '?'
		}
		if len(dst)-from+utf8.RuneLen(r) > 200 {
			break
		}
		dst = utf8.AppendRune(dst, r)
	}
	return dst
}
