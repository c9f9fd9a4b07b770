package imap

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Delimiter is the hierarchy delimiter of every mailbox name.
const Delimiter = '/'

// The limits of a mailbox name, in octets of UTF-8 and in levels.
const (
	MaxName   = 1000
	MaxLevels = 32
)

// ValidMailboxName says whether a mailbox may be made under the name (UTF-8,
// "/" between levels), and why not. Names that mean something to LIST, to a
// shell or to a directory of files are refused, so that no storage format can
// ever be led astray by one.
func ValidMailboxName(name string) error {
	switch {
	case name == "":
		return errors.New("the name is empty")
	case len(name) > MaxName:
		return fmt.Errorf("the name is longer than %d octets", MaxName)
	case !utf8.ValidString(name):
		return errors.New("the name is not UTF-8")
	case !norm.NFC.IsNormalString(name):
		return errors.New("the name is not in Unicode normalization form C")
	case strings.Count(name, string(Delimiter)) >= MaxLevels:
		return fmt.Errorf("the name has more than %d levels", MaxLevels)
	}
	for _, r := range name {
		if r == '*' || r == '%' || r == '\\' || r == utf8.RuneError {
			return fmt.Errorf("the name holds %q", r)
		}
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return errors.New("the name holds a control character")
		}
	}
	for level := range strings.SplitSeq(name, string(Delimiter)) {
		if err := validLevel(level); err != nil {
			return err
		}
	}
	return nil
}

func validLevel(level string) error {
	switch {
	case level == "":
		return errors.New("the name has an empty level")
	case level[0] == '.' || level[0] == '~' || level[0] == '#':
		return fmt.Errorf("a level of the name begins with %q", level[0])
	case level == "cur" || level == "new" || level == "tmp":
		return fmt.Errorf("%q is a name that maildirs keep for themselves", level)
	case strings.TrimSpace(level) != level:
		return errors.New("a level of the name begins or ends with a space")
	}
	return nil
}

// IsInbox says whether a name is INBOX, whose case does not matter.
func IsInbox(name string) bool { return equalFold(name, "INBOX") }

// CanonicalName gives the one spelling of a name: in Unicode normalization form
// C as RFC 5198 has it, INBOX, also as first level, in upper case.
func CanonicalName(name string) string {
	name = NormalName(name)
	first, rest, found := strings.Cut(name, string(Delimiter))
	if !equalFold(first, "INBOX") {
		return name
	}
	if !found {
		return "INBOX"
	}
	return "INBOX" + string(Delimiter) + rest
}

// NormalName gives a name, or a pattern of names, in NFC.
func NormalName(name string) string { return norm.NFC.String(name) }

// equalFold compares ASCII letters without regard to case, and nothing else:
// "ı" is no "I" in a protocol.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// MatchName says whether a name matches a LIST pattern: "*" is any text, "%"
// any text without delimiter. INBOX matches in any case. The time is bounded by
// the product of the lengths, whatever the pattern.
func MatchName(pattern, name string) bool {
	if len(pattern) > MaxName {
		return false
	}
	// at[i] says that pattern[:i] matches the name so far.
	at := make([]bool, len(pattern)+1)
	at[0] = true
	skipWild(pattern, at)
	first, _, _ := strings.Cut(name, string(Delimiter))
	for i := range len(name) {
		stepMatch(pattern, at, name[i], first == "INBOX" && i < len(first))
	}
	return at[len(pattern)]
}

// stepMatch takes one more octet of the name, in place from the right; with
// fold its case does not matter.
func stepMatch(pattern string, at []bool, c byte, fold bool) {
	for j := len(pattern); j > 0; j-- {
		switch p := pattern[j-1]; p {
		case '*':
			// stays true if it was; also reached from the left below
		case '%':
			at[j] = at[j] && c != Delimiter
		default:
			at[j] = at[j-1] && (p == c || fold && lower(p) == lower(c))
		}
	}
	at[0] = false
	skipWild(pattern, at)
}

// skipWild lets wildcards match nothing.
func skipWild(pattern string, at []bool) {
	for j := range len(pattern) {
		if at[j] && (pattern[j] == '*' || pattern[j] == '%') {
			at[j+1] = true
		}
	}
}
