// Package maildir reads what the names of files in a Maildir say, and the lists
// that Dovecot keeps there: dovecot-uidlist and dovecot-keywords. It opens no file.
package maildir

import (
	"fmt"
	"strconv"
	"strings"
)

// Letters are those of the flags in a name, in the order of Flags.
const Letters = "SRFTD"

// Flags are the flags of IMAP that have a letter.
var Flags = [len(Letters)]string{`\Seen`, `\Answered`, `\Flagged`, `\Deleted`, `\Draft`}

// MaxKeywords is how many keywords a folder has letters for, a to z.
const MaxKeywords = 26

// Cut takes the name of a file apart: a base, which stays, and behind it a colon
// and the flags, which do not: "" in new.
func Cut(name string) (base, info string) {
	if i := strings.IndexByte(name, ':'); i >= 0 {
		return name[:i], name[i:]
	}
	return name, ""
}

// Info gives the letters of an info, and what other programs have behind them,
// with its comma.
func Info(info string) (letters, others string) {
	letters, ok := strings.CutPrefix(info, ":2,")
	if !ok {
		return "", ""
	}
	if i := strings.IndexByte(letters, ','); i >= 0 {
		return letters[:i], letters[i:]
	}
	return letters, ""
}

// Arrived is when a message came, as far as its base tells it: 0 if it does not.
func Arrived(base string) (seconds int64) {
	for i := 0; i < len(base) && i < 18 && base[i] >= '0' && base[i] <= '9'; i++ {
		seconds = seconds*10 + int64(base[i]-'0')
	}
	return seconds
}

// List is what a dovecot-uidlist says: a line "3 V<UIDVALIDITY> N<next UID>
// G<GUID>", then "<UID> [<key><value>...] :<base>" for each message. The first
// kind has "1 <UIDVALIDITY> <next UID>" and "<UID> <base>".
type List struct {
	UIDValidity, UIDNext uint32
	Rest                 []string // other fields of the first line
	Lines                int      // behind it

	begun bool
	kind  byte
}

// Entry is a line of it.
type Entry struct {
	UID   uint32
	Extra string // fields between UID and base
	Base  string
}

// Line reads the next line, without its end. The first one, and those that make no
// sense, give no entry.
func (l *List) Line(line string) (e Entry, ok bool) {
	if !l.begun {
		l.begun = true
		l.first(strings.Fields(line))
		return e, false
	}
	if l.kind == 0 {
		return e, false
	}
	l.Lines++
	if e, ok = l.entry(line); ok {
		l.UIDNext = max(l.UIDNext, e.UID+1)
	}
	return e, ok
}

func (l *List) first(fields []string) {
	switch {
	case len(fields) == 3 && fields[0] == "1":
		l.kind, l.UIDValidity, l.UIDNext = 1, number(fields[1]), number(fields[2])
	case len(fields) > 0 && fields[0] == "3":
		l.kind = 3
		for _, f := range fields[1:] {
			n, err := strconv.ParseUint(f[1:], 10, 32)
			switch {
			case f[0] == 'V' && err == nil:
				l.UIDValidity = uint32(n)
			case f[0] == 'N' && err == nil:
				l.UIDNext = uint32(n)
			default:
				l.Rest = append(l.Rest, f)
			}
		}
	}
}

func (l *List) entry(line string) (e Entry, ok bool) {
	uid, rest, _ := strings.Cut(line, " ")
	e.UID = number(uid)
	if e.UID == 0 || e.UID == 1<<32-1 {
		return e, false
	}
	if l.kind == 1 {
		e.Base = rest
	} else if before, base, found := strings.Cut(rest, ":"); found {
		e.Extra, e.Base = strings.TrimSpace(before), base
	}
	e.Base, _ = Cut(e.Base) // flags of old
	return e, e.Base != "" && !strings.ContainsAny(e.Base, "/\x00")
}

// number is 0 for what is none.
func number(text string) uint32 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// String is the line of the third kind, with its end.
func (e Entry) String() string {
	if e.Extra != "" {
		return fmt.Sprintf("%d %s :%s\n", e.UID, e.Extra, e.Base)
	}
	return fmt.Sprintf("%d :%s\n", e.UID, e.Base)
}

// ParseKeywords reads dovecot-keywords: lines "<number> <keyword>", number 0 being
// the letter a; "" for numbers that have none. A line that is torn does not count.
func ParseKeywords(text string) []string {
	var words []string
	for rest := text; ; {
		line, more, ended := strings.Cut(rest, "\n")
		if rest = more; !ended {
			return words
		}
		number, word, _ := strings.Cut(line, " ")
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n >= MaxKeywords || word == "" {
			continue
		}
		for len(words) <= n {
			words = append(words, "")
		}
		words[n] = word
	}
}
