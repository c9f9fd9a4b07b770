package managesieved

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// command is a line of the client: a name and its arguments, RFC 5804 section
// 4. Strings are told from numbers.
type command struct {
	name string
	args []argument
}

type argument struct {
	text   string
	number bool
}

// syntaxError ends a session: what follows cannot be told apart from text.
type syntaxError string

// Error says what was wrong.
func (e syntaxError) Error() string { return string(e) }

// The bounds of a command in octets. Before login nobody needs more than SASL
// does.
const (
	maxLine    = 4 << 10
	maxQuoted  = 1024 // RFC 5804 section 4
	maxArgs    = 4
	maxPreAuth = 17 << 10
)

func (c *session) maxLiteral() int64 {
	if c.account == nil {
		return maxPreAuth
	}
	return c.server.o.MaxScript + 1 // so that one octet too many is told as such
}

// read reads a command.
func (c *session) read() (command, error) {
	var cmd command
	name, err := c.atom()
	if err != nil {
		return cmd, err
	}
	cmd.name = strings.ToUpper(name)
	for {
		b, err := c.in.ReadByte()
		if err != nil {
			return cmd, err
		}
		switch b {
		case '\n':
			return cmd, nil
		case '\r':
			if b, err = c.in.ReadByte(); err == nil && b != '\n' {
				err = syntaxError("a carriage return within a line")
			}
			return cmd, err
		case ' ':
			if len(cmd.args) == maxArgs {
				return cmd, syntaxError("too many arguments")
			}
			a, err := c.argument()
			if err != nil {
				return cmd, err
			}
			cmd.args = append(cmd.args, a)
		default:
			return cmd, syntaxError("a space or the end of the line is expected")
		}
	}
}

// atom reads letters and digits.
func (c *session) atom() (string, error) {
	var b []byte
	for {
		next, err := c.in.Peek(1)
		if err != nil {
			return "", err
		}
		if x := next[0]; (x|0x20 < 'a' || x|0x20 > 'z') && (x < '0' || x > '9') && x != '_' && x != '-' {
			return string(b), nil
		}
		if len(b) == 64 {
			return "", syntaxError("that is no command")
		}
		b = append(b, next[0])
		c.in.Discard(1)
	}
}

func (c *session) argument() (argument, error) {
	next, err := c.in.Peek(1)
	if err != nil {
		return argument{}, err
	}
	switch next[0] {
	case '"':
		text, err := c.quoted()
		return argument{text: text}, err
	case '{':
		text, err := c.literal()
		return argument{text: text}, err
	}
	text, err := c.atom()
	if err == nil && (text == "" || strings.Trim(text, "0123456789") != "") {
		err = syntaxError("a string or a number is expected")
	}
	return argument{text, true}, err
}

// quoted reads a quoted string, RFC 5804 section 4.
func (c *session) quoted() (string, error) {
	c.in.Discard(1)
	var b []byte
	for escaped := false; ; {
		x, err := c.in.ReadByte()
		if err != nil {
			return "", err
		}
		switch {
		case !escaped && x == '"':
			if !utf8.Valid(b) {
				return "", syntaxError("a string is not UTF-8")
			}
			return string(b), nil
		case !escaped && x == '\\':
			escaped = true
			continue
		case escaped && x != '"' && x != '\\':
			return "", syntaxError("a backslash stands before a quote or a backslash only")
		case x == 0 || x == '\r' || x == '\n':
			return "", syntaxError("a quoted string ends on its line")
		case len(b) == maxQuoted && c.account != nil, len(b) == maxPreAuth:
			return "", syntaxError("the quoted string is too long, send a literal")
		}
		escaped = false
		b = append(b, x)
	}
}

// literal reads {n+} and n octets. What is too long is not read: it may never
// end.
func (c *session) literal() (string, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil || len(line) > 24 {
		return "", syntaxError("that is no literal")
	}
	digits, ok := strings.CutPrefix(strings.TrimRight(string(line), "\r\n"), "{")
	digits, ok2 := strings.CutSuffix(digits, "+}")
	n, err := strconv.ParseUint(digits, 10, 63)
	if !ok || !ok2 || err != nil {
		return "", syntaxError("a literal begins with {octets+}")
	}
	if int64(n) > c.maxLiteral() {
		return "", syntaxError("the literal is too long")
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(c.in, b); err != nil {
		return "", err
	}
	if !utf8.Valid(b) {
		return "", syntaxError("a literal is not UTF-8")
	}
	return string(b), nil
}

// reply is the end of an answer, RFC 5804 section 1.3.
type reply struct {
	word string // OK, NO or BYE
	code string
	text string
}

func ok(text string) reply        { return reply{word: "OK", text: text} }
func no(code, text string) reply  { return reply{"NO", code, text} }
func bye(code, text string) reply { return reply{"BYE", code, text} }

// answer writes a reply, and all that was written before it goes out.
func (c *session) answer(r reply) error {
	c.out.WriteString(r.word)
	if r.code != "" {
		c.out.WriteString(" (" + r.code + ")")
	}
	if r.text != "" {
		c.out.WriteString(" " + str(r.text))
	}
	c.out.WriteString("\r\n")
	return c.flush()
}

func (c *session) flush() error { return c.out.Flush() }

// patient gives the client its time for each piece of output, also for those that
// are written before an answer has ended.
type patient struct{ c *session }

// Write writes to the connection as it is now, in TLS or not.
func (w patient) Write(p []byte) (int, error) {
	w.c.nc.SetWriteDeadline(time.Now().Add(w.c.server.o.WriteTimeout))
	return w.c.nc.Write(p)
}

// str writes a string: quoted where it can be, else as a literal.
func str(s string) string {
	if len(s) > maxQuoted || strings.ContainsAny(s, "\r\n\x00") {
		return fmt.Sprintf("{%d}\r\n%s", len(s), s)
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
