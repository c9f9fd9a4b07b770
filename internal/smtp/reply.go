package smtp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"plic/internal/mail"
)

// Limits of what we read from a server. RFC 5321 section 4.5.3.1.5 has 512
// octets a line; servers write longer ones.
const (
	MaxReplyLine = 4096
	MaxReply     = 64 << 10
)

// maxWrite is how long our own reply lines are, line end included.
const maxWrite = 512

// Reply is an answer as it stands on the wire: the text of each line, with its
// enhanced code if it has one.
type Reply struct {
	Code  int
	Lines []string
}

// ErrReply is wrapped by the errors of a reply that is no SMTP.
var ErrReply = errors.New("bad SMTP reply")

// ReadReply reads one reply, RFC 5321 section 4.2. It is strict where the two
// sides could come to disagree (each line has the same code, nothing is cut)
// and bounded. Control characters and broken UTF-8 come out as "?". At the end
// of the stream it returns io.EOF before a reply, io.ErrUnexpectedEOF in one.
func ReadReply(r *bufio.Reader) (Reply, error) {
	var reply Reply
	total := 0
	for {
		line, err := readLine(r)
		if err == io.EOF && len(reply.Lines) > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return reply, err
		}
		if total += len(line) + 2; total > MaxReply {
			return reply, fmt.Errorf("%w: longer than %d octets", ErrReply, MaxReply)
		}
		code, last, text, err := parseReplyLine(line)
		if err != nil {
			return reply, err
		}
		if len(reply.Lines) > 0 && code != reply.Code {
			return reply, fmt.Errorf("%w: code %d after %d in one reply", ErrReply, code, reply.Code)
		}
		reply.Code = code
		reply.Lines = append(reply.Lines, text)
		if last {
			return reply, nil
		}
	}
}

// readLine reads up to LF and takes the line end off.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		if len(line)+len(part) > MaxReplyLine {
			return nil, fmt.Errorf("%w: line longer than %d octets", ErrReply, MaxReplyLine)
		}
		switch {
		case err == bufio.ErrBufferFull:
			line = append(line, part...)
			continue
		case err == io.EOF && len(line)+len(part) > 0:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		}
		if line != nil {
			part = append(line, part...)
		}
		return bytes.TrimSuffix(part[:len(part)-1], []byte{'\r'}), nil
	}
}

func parseReplyLine(line []byte) (code int, last bool, text string, err error) {
	if len(line) < 3 || !digits(line[:3]) || line[0] < '2' || line[0] > '5' || len(line) > 3 && line[3] != ' ' && line[3] != '-' {
		return 0, false, "", fmt.Errorf("%w: %q", ErrReply, line[:min(len(line), 64)])
	}
	code = int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
	if len(line) == 3 {
		return code, true, "", nil
	}
	return code, line[3] == ' ', cleanText(line[4:]), nil
}

func digits(text []byte) bool {
	for _, c := range text {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// cleanText makes a stranger's text fit for logs and reports.
func cleanText(text []byte) string {
	if printable(text) {
		return string(text)
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(string(text), "?"))
}

// Class is the class of the reply's code, 2 to 5.
func (r Reply) Class() mail.Class { return mail.Class(r.Code / 100) }

// Status is the reply as one status: the enhanced code is that of the first line
// that has one, if its class is the code's. All should have it, RFC 2034 section
// 4; Cyrus gives it to the last. The lines are joined by spaces.
func (r Reply) Status() mail.Status {
	s := mail.Status{Code: r.Code}
	for _, line := range r.Lines {
		enhanced, rest, ok := cutEnhanced(line)
		if ok && int(enhanced[0]) == r.Code/100 {
			if s.Enhanced == (mail.Enhanced{}) {
				s.Enhanced = enhanced
			}
			if enhanced == s.Enhanced {
				line = rest
			}
		}
		if s.Text != "" && line != "" {
			s.Text += " "
		}
		s.Text += line
	}
	return s
}

// String is the reply on one line.
func (r Reply) String() string { return strconv.Itoa(r.Code) + " " + strings.Join(r.Lines, " ") }

// cutEnhanced takes "class.subject.detail" off the front, RFC 3463 section 2.
func cutEnhanced(line string) (e mail.Enhanced, rest string, ok bool) {
	word, rest, _ := strings.Cut(line, " ")
	if len(word) < 5 || len(word) > 9 {
		return e, line, false
	}
	i := 0
	for part := range strings.SplitSeq(word, ".") {
		if i == 3 || len(part) < 1 || len(part) > 3 || !digits([]byte(part)) {
			return mail.Enhanced{}, line, false
		}
		n, _ := strconv.ParseUint(part, 10, 16) // digits, three at most
		e[i] = uint16(n)
		i++
	}
	if i != 3 || e[0] != 2 && e[0] != 4 && e[0] != 5 {
		return mail.Enhanced{}, line, false
	}
	return e, rest, true
}

// Append writes the reply with its line ends: a line per element, no line at
// all becoming one that is empty.
func (r Reply) Append(dst []byte) []byte {
	if len(r.Lines) == 0 {
		return append(strconv.AppendInt(dst, int64(r.Code), 10), " \r\n"...)
	}
	for i, line := range r.Lines {
		dst = appendLine(dst, r.Code, mail.Enhanced{}, line, i == len(r.Lines)-1)
	}
	return dst
}

// AppendStatus writes a status as a reply. Text with line feeds, or too long
// for one line, becomes several lines, each with the enhanced code as RFC 2034
// section 4 has it.
func AppendStatus(dst []byte, s mail.Status) []byte {
	room := maxWrite - len("250-5.999.999 \r\n")
	text := s.Text
	for {
		line, rest, more := strings.Cut(text, "\n")
		if len(line) > room {
			cut := strings.LastIndexByte(line[:room], ' ')
			if cut <= 0 {
				cut = room
			}
			line, rest, more = text[:cut], strings.TrimPrefix(text[cut:], " "), true
		}
		dst = appendLine(dst, s.Code, s.Enhanced, line, !more)
		if !more {
			return dst
		}
		text = rest
	}
}

func appendLine(dst []byte, code int, e mail.Enhanced, text string, last bool) []byte {
	dst = strconv.AppendInt(dst, int64(code), 10)
	if last {
		dst = append(dst, ' ')
	} else {
		dst = append(dst, '-')
	}
	if e != (mail.Enhanced{}) {
		dst = strconv.AppendUint(dst, uint64(e[0]), 10)
		dst = strconv.AppendUint(append(dst, '.'), uint64(e[1]), 10)
		dst = strconv.AppendUint(append(dst, '.'), uint64(e[2]), 10)
		dst = append(dst, ' ')
	}
	// Whatever found its way into the text cannot end the line or leave ASCII.
	for i := range len(text) {
		c := text[i]
		if c < ' ' || c >= 0x7f {
			c = '?'
		}
		dst = append(dst, c)
	}
	return append(dst, "\r\n"...)
}
