package smtp

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"plic/internal/mail"
)

// MaxCommand is the longest command line that we read, line end included; RFC
// 5321 section 4.5.3.1.4 asks for 512 and the extensions for more.
const MaxCommand = 4096

// Verb is a command's name in upper case.
type Verb string

// The verbs that we know.
const (
	EHLO     Verb = "EHLO"
	HELO     Verb = "HELO"
	LHLO     Verb = "LHLO"
	STARTTLS Verb = "STARTTLS"
	AUTH     Verb = "AUTH"
	MAIL     Verb = "MAIL"
	RCPT     Verb = "RCPT"
	DATA     Verb = "DATA"
	BDAT     Verb = "BDAT"
	RSET     Verb = "RSET"
	NOOP     Verb = "NOOP"
	VRFY     Verb = "VRFY"
	EXPN     Verb = "EXPN"
	HELP     Verb = "HELP"
	QUIT     Verb = "QUIT"
	XCLIENT  Verb = "XCLIENT" // of Postfix
)

// Command is one command line.
type Command struct {
	Verb Verb   // "" for a verb that we do not know
	Args string // what follows the verb, without white space at either end
}

// errLine answers a line that is no command at all.
var errLine = mail.Reply(500, "5.5.2", "a command line is printable text")

// ParseCommand reads a command line whose line end is taken off, RFC 5321
// section 4.1.1. White space at the end is tolerated; a control character or
// broken UTF-8 anywhere is a mail.Status of 500.
func ParseCommand(line []byte) (Command, error) {
	if !printable(line) {
		return Command{}, errLine
	}
	name, args := line, []byte(nil)
	if i := bytes.IndexByte(line, ' '); i >= 0 {
		name, args = line[:i], line[i:]
	}
	return Command{parseVerb(name), string(bytes.Trim(args, " \t"))}, nil
}

// parseVerb makes a constant of a name, so that it costs no memory.
func parseVerb(name []byte) Verb {
	var upper [8]byte
	if len(name) > len(upper) {
		return ""
	}
	for i, c := range name {
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		upper[i] = c
	}
	switch string(upper[:len(name)]) {
	case "EHLO":
		return EHLO
	case "HELO":
		return HELO
	case "LHLO":
		return LHLO
	case "STARTTLS":
		return STARTTLS
	case "AUTH":
		return AUTH
	case "MAIL":
		return MAIL
	case "RCPT":
		return RCPT
	case "DATA":
		return DATA
	case "BDAT":
		return BDAT
	case "RSET":
		return RSET
	case "NOOP":
		return NOOP
	case "VRFY":
		return VRFY
	case "EXPN":
		return EXPN
	case "HELP":
		return HELP
	case "QUIT":
		return QUIT
	case "XCLIENT":
		return XCLIENT
	}
	return ""
}

// printable says that a line is UTF-8 without control characters but for tabs.
func printable(line []byte) bool {
	ascii := true
	for _, c := range line {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	return ascii || utf8.Valid(line) && !hasC1(line)
}

// hasC1 finds the control characters that UTF-8 hides in two octets.
func hasC1(text []byte) bool {
	for i := 0; i+1 < len(text); i++ {
		if text[i] == 0xc2 && text[i+1] < 0xa0 {
			return true
		}
	}
	return false
}

// ParseHelo reads the argument of EHLO, HELO or LHLO. RFC 5321 wants a domain
// or an address literal; as names with underscores and the like are common
// and nothing hangs on them, any graphic ASCII word of at most 255 octets will
// do.
func ParseHelo(args string) (string, error) {
	if args == "" || len(args) > mail.MaxDomain {
		return "", errHelo
	}
	for i := range len(args) {
		if args[i] <= ' ' || args[i] >= 0x7f {
			return "", errHelo
		}
	}
	return args, nil
}

// MendHello gives the line of an EHLO or HELO without what no name may have: spaces
// and octets of other scripts, each of which becomes a hyphen. Phones and Windows
// call themselves by what their owner has called them.
func MendHello(line []byte) []byte {
	if len(line) < 5 || line[4] != ' ' {
		return line
	}
	if v := parseVerb(line[:4]); v != EHLO && v != HELO {
		return line
	}
	out := slices.Clone(line[:5])
	for _, c := range bytes.Trim(line[5:], " \t") {
		if c == ' ' || c >= utf8.RuneSelf {
			c = '-'
		}
		out = append(out, c)
	}
	return out
}

var errHelo = mail.Reply(501, "5.5.4", "name yourself by a domain or an address literal")
