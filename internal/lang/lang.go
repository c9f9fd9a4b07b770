// Package lang says to people in their language what servers say in English:
// the human text of replies, never their codes. What has no translation stays
// English, as i-default (RFC 2277) is.
//
// RFC 5255 (LANGUAGE of IMAP), RFC 6856 (LANG of POP3), RFC 4647 (the choice of
// a language by ranges).
package lang

import "strings"

// Language is one that servers speak. Nil is i-default.
type Language struct {
	Tag   string // as RFC 5646 has it
	Name  string // in the language itself
	texts map[string]string
}

// Text is an English text, or the format of one, in the language.
func (l *Language) Text(english string) string {
	if l == nil {
		return english
	}
	if text, ok := l.texts[english]; ok {
		return text
	}
	return english
}

// IsASCII says that the language's texts are in ASCII.
func (l *Language) IsASCII() bool { return l == nil || l.texts == nil }

// All are the languages there are, the default first.
func All() []*Language {
	return []*Language{
		{Tag: "i-default", Name: "Default"},
		{Tag: "en", Name: "English"},
		{Tag: "ro", Name: "Română", texts: romanian},
	}
}

// Choose finds the language for the ranges that a client prefers, the best
// first: RFC 4647 section 3.4. "*" and "default" stand for the server's choice.
func Choose(ranges ...string) (*Language, bool) {
	all := All()
	for _, r := range ranges {
		if r == "*" || strings.EqualFold(r, "default") {
			return all[0], true
		}
		for r = strings.ToLower(r); r != ""; r = shorter(r) {
			for _, l := range all {
				if r == l.Tag {
					return l, true
				}
			}
		}
	}
	return nil, false
}

// shorter takes the last subtag off, and a single letter before it.
func shorter(r string) string {
	i := strings.LastIndexByte(r, '-')
	if i < 0 {
		return ""
	}
	if r = r[:i]; len(r) > 2 && r[len(r)-2] == '-' {
		r = r[:len(r)-2]
	}
	return r
}
