package pipe

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"plic/internal/mail"
)

// command is a program with its arguments.
type command struct {
	args     []string
	user     string // "" for who runs the server
	dir      string // "" for the user's home
	fromLine bool   // the message begins with a line "From sender date"
}

// CheckCommand says what is wrong with the text of a command.
func CheckCommand(text string) error {
	_, err := parseNamed(text)
	return err
}

// parseNamed reads "user=name dir=path from_line=yes program argument ...".
func parseNamed(text string) (*command, error) {
	c := &command{}
	for {
		text = strings.TrimSpace(text)
		word, rest, _ := strings.Cut(text, " ")
		key, value, ok := strings.Cut(word, "=")
		if !ok || strings.Contains(key, "/") {
			break
		}
		switch key {
		case "user":
			c.user = value
		case "dir":
			c.dir = value
		case "from_line":
			c.fromLine = value == "yes"
		case "argv":
			rest = value + " " + rest
		default:
			return nil, fmt.Errorf("there is no %s=: it may be user=, dir= or from_line=", key)
		}
		text = rest
	}
	parsed, err := parse(text)
	if err != nil {
		return nil, err
	}
	c.args = parsed.args
	return c, nil
}

// parse cuts a command into words, as a shell does with quotes, but for what only
// a shell could do, which is refused.
func parse(text string) (*command, error) {
	var args []string
	var word strings.Builder
	inWord, quote := false, byte(0)
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c < ' ' && c != '\t' || c == 0x7f:
			return nil, fmt.Errorf("character %q in a command", c)
		case c == quote:
			quote = 0
		case quote == '\'':
			word.WriteByte(c)
		case c == '\\' && i+1 < len(text):
			i++
			word.WriteByte(text[i])
			inWord = true
		case quote != 0:
			word.WriteByte(c)
		case c == '"' || c == '\'':
			quote, inWord = c, true
		case c == ' ' || c == '\t':
			if inWord {
				args = append(args, word.String())
				word.Reset()
				inWord = false
			}
		case strings.IndexByte("`;&|<>()*?~#", c) >= 0, c == '$' && !strings.HasPrefix(text[i:], "${"):
			return nil, fmt.Errorf("the character %q means something to a shell only, and no shell reads the command: put it in quotes or a script", c)
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if quote != 0 {
		return nil, errors.New("the quote does not end")
	}
	if inWord {
		args = append(args, word.String())
	}
	if len(args) == 0 {
		return nil, errors.New("it names no program")
	}
	if !path.IsAbs(args[0]) {
		return nil, fmt.Errorf("%q is no absolute path of a program", args[0])
	}
	return &command{args: args}, nil
}

// expand puts the addresses into the arguments. An argument that begins with an
// address must not look like an option.
func (c *command) expand(m *message) ([]string, error) {
	values := strings.NewReplacer("${sender}", m.from.String(), "${recipient}", m.to.String(), "${local}", m.to.Local,
		"${user}", m.user.Local, "${detail}", m.detail, "${extension}", m.detail, "${domain}", m.to.Domain.String())
	args := append([]string(nil), c.args...)
	for i := 1; i < len(args); i++ {
		args[i] = values.Replace(args[i])
		if args[i] != c.args[i] && strings.HasPrefix(args[i], "-") && !strings.HasPrefix(c.args[i], "-") {
			return nil, fmt.Errorf("the argument %q would be an option", args[i])
		}
	}
	return args, nil
}

// environment is what a program finds, beside its arguments.
func (m *message) environment(home, user string) []string {
	return []string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8", "HOME=" + home, "USER=" + user, "LOGNAME=" + user, "SHELL=/bin/sh",
		"SENDER=" + m.from.String(), "RECIPIENT=" + m.to.String(), "ORIGINAL_RECIPIENT=" + m.to.String(),
		"LOCAL=" + m.user.Local, "EXTENSION=" + m.detail, "DOMAIN=" + m.to.Domain.String(),
	}
}

// statusOf is the outcome of a program by what it exited with: the codes of
// <sysexits.h>, and any other for good.
func statusOf(code int) mail.Status {
	switch code {
	case 0:
		return mail.Reply(250, "2.0.0", "the command has taken the message")
	case 64: // EX_USAGE
		return mail.Reply(451, "4.3.5", "the command was used wrongly")
	case 65: // EX_DATAERR
		return mail.Reply(550, "5.6.0", "the command does not understand the message")
	case 66, 71, 74, 75: // EX_NOINPUT, EX_OSERR, EX_IOERR, EX_TEMPFAIL
		return mail.Reply(451, "4.3.0", "the command cannot take the message now")
	case 67: // EX_NOUSER
		return mail.Reply(550, "5.1.1", "the command knows no such user")
	case 68: // EX_NOHOST
		return mail.Reply(550, "5.1.2", "the command knows no such host")
	case 69: // EX_UNAVAILABLE
		return mail.Reply(550, "5.3.0", "the command is not available")
	case 73: // EX_CANTCREAT
		return mail.Reply(550, "5.2.0", "the command cannot keep the message")
	case 76: // EX_PROTOCOL
		return mail.Reply(550, "5.5.0", "the command met an error of protocol")
	case 77: // EX_NOPERM
		return mail.Reply(550, "5.7.0", "the command may not do that")
	case 78: // EX_CONFIG
		return mail.Reply(451, "4.3.5", "the command is not set up right")
	case 126, 127: // a script found no program
		return mail.Reply(451, "4.3.5", "the command lacks a program")
	}
	return mail.Reply(550, "5.3.0", fmt.Sprintf("the command failed with exit code %d", code))
}

// said puts the first line that a program wrote into a status: with an enhanced
// code at its start it decides what kind of failure that is.
func said(s mail.Status, output string) mail.Status {
	line, _, _ := strings.Cut(strings.TrimSpace(output), "\n")
	line = strings.TrimSpace(strings.ToValidUTF8(line, "?"))
	line = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, line)
	var e mail.Enhanced
	first, rest, _ := strings.Cut(line, " ")
	if n, _ := fmt.Sscanf(first, "%d.%d.%d", &e[0], &e[1], &e[2]); n == 3 && e.String() == first && (e[0] == 4 || e[0] == 5) {
		s.Code = map[uint16]int{4: 451, 5: 550}[e[0]]
		s.Enhanced, line = e, strings.TrimSpace(rest)
	}
	if line != "" {
		s.Text = clip(line)
	}
	return s
}

func clip(text string) string {
	if r := []rune(text); len(r) > 200 {
		return string(r[:200]) + "…"
	}
	return text
}
