package files

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"plic/internal/vfs"
)

// ErrNoPlace says that an account's mail is not where it should be. It may be
// on a disk that is not mounted: it is never taken for mail that was removed.
var ErrNoPlace = errors.New("there is no mail at this place")

// Location says where an account's mail is, as it is written in settings.
type Location struct {
	// Text is "native", or a format, its path and options: "maildir:~/Maildir",
	// "maildir:/var/vmail/%d/%n:LAYOUT=fs", "mbox:~/mail:INBOX=/var/mail/%u".
	Text string
	Home string // what ~ and %h stand for
	// UID and GID own new files, if they are above 0.
	UID, GID int
}

// Native is the location of mail in the store's own engine.
const Native = "native"

// Place is a location with everything filled in.
type Place struct {
	Format  string
	Path    string
	Options map[string]string // names in capitals
	FS      vfs.FS            // nil for the disk
	Owner   vfs.Owner
	Make    bool // what is missing
}

// Resolve fills an account's name into a location.
func (l Location) Resolve(account string) (Place, error) {
	format, rest, ok := strings.Cut(l.Text, ":")
	if !ok || rest == "" {
		return Place{}, fmt.Errorf("mailboxes %q: want a format and a path, as \"maildir:~/Maildir\"", l.Text)
	}
	p := Place{Format: strings.ToLower(format), Options: map[string]string{}, Owner: vfs.Owner{UID: l.UID, GID: l.GID}}
	for i, part := range strings.Split(rest, ":") {
		name, value, _ := strings.Cut(part, "=")
		if i == 0 {
			value = part
		}
		value, err := l.expand(value, account)
		if err != nil {
			return Place{}, fmt.Errorf("mailboxes %q: %w", l.Text, err)
		}
		if i == 0 {
			if p.Path = path.Clean(value); !path.IsAbs(p.Path) || p.Path == "/" {
				return Place{}, fmt.Errorf("mailboxes %q: %q is no absolute path", l.Text, value)
			}
			continue
		}
		p.Options[strings.ToUpper(name)] = value
	}
	return p, nil
}

// expand fills in ~ and the variables that Dovecot knows too: %u the account,
// %n its name and %d its domain, %h its home, %% a percent sign; L and U before
// the letter make it small or capital, numbers take a part, as in %1n or %2.1n.
func (l Location) expand(text, account string) (string, error) {
	if text == "~" || strings.HasPrefix(text, "~/") {
		text = "%h" + text[1:]
	}
	var b strings.Builder
	for {
		before, rest, ok := strings.Cut(text, "%")
		b.WriteString(before)
		if !ok {
			return b.String(), nil
		}
		value, rest, err := l.variable(rest, account)
		if err != nil {
			return "", err
		}
		b.WriteString(value)
		text = rest
	}
}

func (l Location) variable(text, account string) (value, rest string, err error) {
	m := modifiers{width: -1}
	i := m.read(text)
	if i == len(text) {
		return "", "", errors.New("a percent sign without a letter")
	}
	name, domain := account, ""
	if at := strings.LastIndexByte(account, '@'); at >= 0 {
		name, domain = account[:at], account[at+1:]
	}
	switch text[i] {
	case '%':
		return "%", text[i+1:], nil
	case 'u':
		value = account
	case 'n':
		value = name
	case 'd':
		value = domain
	case 'h':
		if l.Home == "" {
			return "", "", fmt.Errorf("account %s has no home directory", account)
		}
		return l.Home, text[i+1:], nil
	default:
		return "", "", fmt.Errorf("%%%c is unknown: use %%u, %%n, %%d or %%h", text[i])
	}
	value = m.apply(value)
	if value == "" || value == "." || value == ".." || strings.ContainsAny(value, "/\x00") {
		return "", "", fmt.Errorf("%q, from account %s, cannot be in a path", value, account)
	}
	return value, text[i+1:], nil
}

// modifiers of a variable.
type modifiers struct {
	lower, upper  bool
	offset, width int // width -1: all
}

func (m *modifiers) read(text string) (n int) {
	number, digits := 0, false
	for ; n < len(text); n++ {
		switch c := text[n]; {
		case c == 'L':
			m.lower = true
		case c == 'U':
			m.upper = true
		case c >= '0' && c <= '9' && number < 1000:
			number, digits = number*10+int(c-'0'), true
		case c == '.':
			m.offset, number, digits = number, 0, false
		default:
			if digits {
				m.width = number
			}
			return n
		}
	}
	return n
}

func (m *modifiers) apply(s string) string {
	s = s[min(m.offset, len(s)):]
	if m.width >= 0 {
		s = s[:min(m.width, len(s))]
	}
	if m.lower {
		s = strings.ToLower(s)
	}
	if m.upper {
		s = strings.ToUpper(s)
	}
	return s
}
