package imap

import (
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// base64 with "," for "/" and without padding, RFC 3501 section 5.1.3.
var utf7Base64 = base64.NewEncoding("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+,").
	WithPadding(base64.NoPadding).Strict()

// EncodeUTF7 gives the modified UTF-7 of a UTF-8 mailbox name.
func EncodeUTF7(name string) string {
	plain := true
	for i := range len(name) {
		if c := name[i]; c == '&' || c < 0x20 || c >= 0x7f {
			plain = false
			break
		}
	}
	if plain {
		return name
	}
	var b strings.Builder
	var run []byte
	flush := func() {
		if len(run) > 0 {
			b.WriteByte('&')
			b.WriteString(utf7Base64.EncodeToString(run))
			b.WriteByte('-')
			run = run[:0]
		}
	}
	for _, r := range name {
		if r >= 0x20 && r < 0x7f {
			flush()
			b.WriteRune(r)
			if r == '&' {
				b.WriteByte('-')
			}
			continue
		}
		for _, u := range utf16.AppendRune(nil, r) {
			run = append(run, byte(u>>8), byte(u))
		}
	}
	flush()
	return b.String()
}

// DecodeUTF7 reads modified UTF-7 and takes only what EncodeUTF7 would write,
// so that a mailbox has one name: no encoded printable ASCII, no null shift, no
// spare bits, no lone surrogate, no raw 8-bit octets.
func DecodeUTF7(text string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(text); {
		c := text[i]
		if c < 0x20 || c >= 0x7f {
			return "", errors.New("mailbox name holds octets that modified UTF-7 does not allow")
		}
		if c != '&' {
			b.WriteByte(c)
			i++
			continue
		}
		end := strings.IndexByte(text[i:], '-')
		if end < 0 {
			return "", errors.New("mailbox name in modified UTF-7 does not end its shift")
		}
		shifted := text[i+1 : i+end]
		i += end + 1
		if shifted == "" {
			b.WriteByte('&')
			continue
		}
		if err := decodeShift(&b, shifted); err != nil {
			return "", err
		}
		if i+1 < len(text) && text[i] == '&' && text[i+1] != '-' {
			return "", errors.New("mailbox name in modified UTF-7 holds a null shift")
		}
	}
	return b.String(), nil
}

// decodeMixed reads modified UTF-7 in which what is not ASCII may stand as it is,
// in UTF-8, as go-imap writes names before it enables IMAP4rev2.
func decodeMixed(text string) (string, error) {
	if !utf8.ValidString(text) {
		return "", errors.New("mailbox name is not UTF-8")
	}
	var b strings.Builder
	for len(text) > 0 {
		end := strings.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf })
		if end < 0 {
			end = len(text)
		}
		name, err := DecodeUTF7(text[:end])
		if err != nil {
			return "", err
		}
		b.WriteString(name)
		text = text[end:]
		if end = strings.IndexFunc(text, func(r rune) bool { return r < utf8.RuneSelf }); end < 0 {
			end = len(text)
		}
		b.WriteString(text[:end])
		text = text[end:]
	}
	return b.String(), nil
}

func decodeShift(b *strings.Builder, shifted string) error {
	if strings.ContainsAny(shifted, "\r\n") {
		return errors.New("mailbox name in modified UTF-7 holds a line end") // base64 would pass over it
	}
	raw, err := utf7Base64.DecodeString(shifted)
	if err != nil || len(raw)%2 != 0 || len(raw) == 0 {
		return errors.New("mailbox name in modified UTF-7 holds bad base64")
	}
	for i := 0; i < len(raw); i += 2 {
		r := rune(raw[i])<<8 | rune(raw[i+1])
		if utf16.IsSurrogate(r) {
			if i+3 >= len(raw) {
				return errors.New("mailbox name in modified UTF-7 holds half a surrogate pair")
			}
			r = utf16.DecodeRune(r, rune(raw[i+2])<<8|rune(raw[i+3]))
			if r == utf8.RuneError {
				return errors.New("mailbox name in modified UTF-7 holds half a surrogate pair")
			}
			i += 2
		}
		if r >= 0x20 && r < 0x7f {
			return errors.New("mailbox name in modified UTF-7 encodes what needs no encoding")
		}
		b.WriteRune(r)
	}
	return nil
}
