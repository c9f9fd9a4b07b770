package pipe

import (
	"bufio"
	"bytes"
	"io"
	"time"

	"plic/internal/mail"
)

// message is a message as a program or a file gets it.
type message struct {
	from, to mail.Address
	body     mail.Body
	at       time.Time
	user     mail.Address // to without its detail
	detail   string
}

// fromLine is the line that begins a message in an mbox.
func (m *message) fromLine() string {
	from := m.from.String()
	if from == "" {
		from = "MAILER-DAEMON"
	}
	return "From " + from + " " + m.at.UTC().Format("Mon Jan _2 15:04:05 2006") + "\n"
}

// trace is what final delivery puts before a message: RFC 5321 section 4.4, RFC
// 9228.
func (m *message) trace() string {
	return "Return-Path: " + m.from.Path() + "\nDelivered-To: " + m.to.String() + "\n"
}

// read gives the message with line ends of LF. Quoted, lines that look as the
// beginning of the next one in an mbox get a ">" before them.
func (m *message) read(quote bool) io.Reader {
	return &lines{r: bufio.NewReaderSize(mail.Reader(m.body), 32<<10), quote: quote, start: true}
}

// lines reads line by line, or a piece of one that is too long.
type lines struct {
	r     *bufio.Reader
	quote bool
	start bool // a line begins here
	buf   []byte
	err   error
}

// Read gives what fits.
func (l *lines) Read(p []byte) (int, error) {
	for len(l.buf) == 0 {
		if l.err != nil {
			return 0, l.err
		}
		line, err := l.r.ReadSlice('\n')
		if err == bufio.ErrBufferFull {
			err = nil
		}
		l.err = err
		if l.quote && l.start && bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
			l.buf = append(l.buf, '>')
		}
		switch {
		case bytes.HasSuffix(line, []byte("\r\n")):
			l.buf = append(append(l.buf, line[:len(line)-2]...), '\n')
			l.start = true
		case len(line) > 1 && line[len(line)-1] == '\r' && err == nil: // perhaps of the line end
			l.r.UnreadByte()
			l.buf = append(l.buf, line[:len(line)-1]...)
			l.start = false
		default:
			l.buf = append(l.buf, line...)
			l.start = len(line) > 0 && line[len(line)-1] == '\n'
		}
	}
	n := copy(p, l.buf)
	l.buf = l.buf[n:]
	return n, nil
}
