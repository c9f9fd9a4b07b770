package crash

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	inbox    = "INBOX"
	domain   = "local.test"
	password = "crash-ledger"
	patience = time.Minute // for one answer
)

// link is a client's connection. Every method fails once the server is gone.
type link struct {
	net.Conn
	r   *bufio.Reader
	tag int
}

func dial(address string) (*link, error) {
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return nil, err
	}
	return &link{Conn: conn, r: bufio.NewReader(conn)}, nil
}

func (c *link) send(parts ...[]byte) error {
	c.SetWriteDeadline(time.Now().Add(patience))
	for _, p := range parts {
		if _, err := c.Write(p); err != nil {
			return err
		}
	}
	return nil
}

func (c *link) line() (string, error) {
	c.SetReadDeadline(time.Now().Add(patience))
	text, err := c.r.ReadString('\n')
	return strings.TrimSuffix(text, "\r\n"), err
}

// reply reads a reply of SMTP, giving its last line.
func (c *link) reply() (string, error) {
	for {
		line, err := c.line()
		if err != nil || len(line) < 4 || line[3] != '-' {
			return line, err
		}
	}
}

// ask sends a line and reads the reply of SMTP or POP3.
func (c *link) ask(format string, args ...any) (string, error) {
	if err := c.send(fmt.Appendf(nil, format+"\r\n", args...)); err != nil {
		return "", err
	}
	return c.reply()
}

// refusal is an answer that is not the one hoped for.
type refusal struct{ command, answer string }

func (r *refusal) Error() string { return fmt.Sprintf("%q was answered %q", r.command, r.answer) }

// must asks, and makes any reply that does not begin as wanted a refusal.
func (c *link) must(want, format string, args ...any) error {
	answer, err := c.ask(format, args...)
	if err == nil && !strings.HasPrefix(answer, want) {
		err = &refusal{fmt.Sprintf(format, args...), answer}
	}
	return err
}

// smtp opens a session of SMTP or LMTP.
func smtp(address, hello string) (*link, error) {
	c, err := dial(address)
	if err != nil {
		return nil, err
	}
	greeting, err := c.reply()
	if err == nil && !strings.HasPrefix(greeting, "220") {
		err = &refusal{"connect", greeting}
	}
	if err == nil {
		err = c.must("250", "%s client.test", hello)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *link) login(user string) error {
	return c.must("235", "AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password)))
}

// response is an answer of IMAP: lines with literals cut out, the last of them
// tagged, without its tag.
type response struct {
	lines []imapLine
	last  string
}

type imapLine struct {
	text    string
	literal []byte
}

// find gives the submatches of an expression in the first line that has it.
func (r *response) find(x *regexp.Regexp) []string {
	for _, line := range r.lines {
		if m := x.FindStringSubmatch(line.text); m != nil {
			return m
		}
	}
	return x.FindStringSubmatch(r.last)
}

func (r *response) number(x *regexp.Regexp) uint64 {
	m := r.find(x)
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseUint(m[1], 10, 64)
	return n
}

var literalEnd = regexp.MustCompile(`\{(\d+)\}$`)

// imap opens a session of an account.
func imap(address, user string) (*link, error) {
	c, err := dial(address)
	if err != nil {
		return nil, err
	}
	greeting, err := c.line()
	if err == nil && !strings.HasPrefix(greeting, "* OK") {
		err = &refusal{"connect", greeting}
	}
	if err == nil {
		_, err = c.do("LOGIN %s %s", user, password)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// do sends a command that must succeed.
func (c *link) do(format string, args ...any) (*response, error) {
	return c.command(fmt.Sprintf(format, args...), nil)
}

// command sends a command, with a literal at its end unless that is nil. NO and
// BAD are a refusal; BYE before the answer leaves open what happened.
func (c *link) command(text string, literal []byte) (*response, error) {
	c.tag++
	tag := "t" + strconv.Itoa(c.tag)
	whole := tag + " " + text
	if literal != nil {
		whole += fmt.Sprintf(" {%d}", len(literal))
	}
	if err := c.send([]byte(whole + "\r\n")); err != nil {
		return nil, err
	}
	r := &response{}
	for {
		line, err := c.imapLine()
		if err != nil {
			return nil, fmt.Errorf("%.60q: %w", text, err)
		}
		if literal != nil && strings.HasPrefix(line.text, "+") {
			if err := c.send(literal, []byte("\r\n")); err != nil {
				return nil, err
			}
			continue
		}
		if last, ok := strings.CutPrefix(line.text, tag+" "); ok {
			r.last = last
			if !strings.HasPrefix(last, "OK") {
				return r, &refusal{text, last}
			}
			return r, nil
		}
		r.lines = append(r.lines, line)
	}
}

func (c *link) imapLine() (imapLine, error) {
	var all imapLine
	for {
		part, err := c.line()
		all.text += part
		m := literalEnd.FindStringSubmatch(part)
		if err != nil || m == nil {
			return all, err
		}
		n, _ := strconv.Atoi(m[1])
		all.literal = make([]byte, n)
		if _, err := io.ReadFull(c.r, all.literal); err != nil {
			return all, err
		}
	}
}

// message is what FETCH says of one.
type message struct {
	uid    uint32
	modseq uint64
	flags  string
	size   int
	token  string
	text   []byte // what was fetched of it
}

var (
	uidItem    = regexp.MustCompile(`UID (\d+)`)
	modseqItem = regexp.MustCompile(`MODSEQ \((\d+)\)`)
	sizeItem   = regexp.MustCompile(`RFC822\.SIZE (\d+)`)
	flagsItem  = regexp.MustCompile(`FLAGS \(([^)]*)\)`)

	existsLine   = regexp.MustCompile(`^\* (\d+) EXISTS`)
	validityCode = regexp.MustCompile(`UIDVALIDITY (\d+)`)
	nextCode     = regexp.MustCompile(`UIDNEXT (\d+)`)
	modseqCode   = regexp.MustCompile(`HIGHESTMODSEQ (\d+)`)
	appendCode   = regexp.MustCompile(`\[APPENDUID (\d+) (\d+)\]`)
	copyCode     = regexp.MustCompile(`\[COPYUID (\d+) (\S+) (\S+)\]`)
)

// messages are those of the FETCH responses.
func (r *response) messages() []message {
	var all []message
	for _, line := range r.lines {
		if !strings.Contains(line.text, " FETCH (") {
			continue
		}
		item := func(x *regexp.Regexp) string {
			if m := x.FindStringSubmatch(line.text); m != nil {
				return m[1]
			}
			return ""
		}
		uid, _ := strconv.ParseUint(item(uidItem), 10, 32)
		modseq, _ := strconv.ParseUint(item(modseqItem), 10, 64)
		size, _ := strconv.Atoi(item(sizeItem))
		all = append(all, message{uint32(uid), modseq, flagList(strings.Fields(item(flagsItem))), size, tokenOf(line.literal), line.literal})
	}
	return all
}

// flagList is the usual way to write flags here.
func flagList(flags []string) string {
	flags = slices.DeleteFunc(slices.Clone(flags), func(f string) bool { return f == `\Recent` })
	slices.Sort(flags)
	return strings.Join(slices.Compact(flags), " ")
}

// numbers reads a sequence set.
func numbers(set string) []uint32 {
	var all []uint32
	for part := range strings.SplitSeq(set, ",") {
		from, to, ok := strings.Cut(part, ":")
		if !ok {
			to = from
		}
		a, _ := strconv.ParseUint(from, 10, 32)
		b, _ := strconv.ParseUint(to, 10, 32)
		if a > b {
			a, b = b, a
		}
		for n := a; n <= b; n++ {
			all = append(all, uint32(n))
		}
	}
	return all
}

// The field that names a message, the first of its own.
const tokenField = "X-Ledger: "

// tokenOf is the token of a message or its header, "" if it has none.
func tokenOf(text []byte) string {
	rest := text
	if !bytes.HasPrefix(rest, []byte(tokenField)) {
		_, after, ok := bytes.Cut(text, []byte("\r\n"+tokenField))
		if !ok {
			return ""
		}
		if end := bytes.Index(text, []byte("\r\n\r\n")); end >= 0 && end < len(text)-len(after) {
			return "" // of a message within
		}
		rest = after
	} else {
		rest = rest[len(tokenField):]
	}
	token, _, _ := bytes.Cut(rest, []byte("\r\n"))
	return string(token)
}

// digest is the SHA-256 of a message without what was put before it.
func digest(text []byte) string {
	if i := bytes.Index(text, []byte("\r\n"+tokenField)); i >= 0 && !bytes.HasPrefix(text, []byte(tokenField)) {
		text = text[i+2:]
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// compose makes a message: mostly small, some up to a mebibyte, with lines that
// begin with dots.
func compose(rng *rand.Rand, token, from string) []byte {
	size := 1<<10 + rng.IntN(19<<10)
	if rng.IntN(30) == 0 {
		size = 200<<10 + rng.IntN(824<<10)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, tokenField+"%s\r\nFrom: <%s>\r\nTo: <somebody@%s>\r\nDate: Thu, 1 Jan 2026 00:00:00 +0000\r\n"+
		"Message-ID: <%s@client.test>\r\nSubject: %s\r\n\r\n", token, from, domain, token, token)
	raw := make([]byte, 48)
	for b.Len() < size {
		for i := range raw {
			raw[i] = byte(rng.Uint32())
		}
		if raw[0] < 32 {
			b.WriteByte('.')
		}
		b.WriteString(base64.StdEncoding.EncodeToString(raw))
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// stuffed is a message as DATA carries it.
func stuffed(text []byte) []byte {
	out := bytes.ReplaceAll(text, []byte("\r\n."), []byte("\r\n.."))
	return append(out, ".\r\n"...)
}
