package pop3d

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"strconv"
	"strings"

	"plic/internal/store"
)

// retr is RETR.
func (s *session) retr(ctx context.Context, args string) error {
	i, e, err := s.drop.find(args)
	if err != nil {
		return err
	}
	m, err := s.open(ctx, i, e)
	if err != nil {
		return err
	}
	defer m.Close()
	s.ok("%d octets", e.Size)
	if err := s.send(m, -1); err != nil {
		return err
	}
	s.drop.retrieved++
	if e.Flags&store.Seen == 0 && !s.readOnly {
		s.drop.seen[i] = true
	}
	s.openAhead(ctx, i)
	return nil
}

// top is TOP, RFC 1939 section 7: the header and some lines of the body.
func (s *session) top(ctx context.Context, args string) error {
	number, count, _ := strings.Cut(args, " ")
	lines, err := strconv.ParseUint(strings.TrimSpace(count), 10, 31)
	if err != nil {
		return errorf("a number of lines is wanted")
	}
	i, e, err := s.drop.find(number)
	if err != nil {
		return err
	}
	m, err := s.open(ctx, i, e)
	if err != nil {
		return err
	}
	defer m.Close()
	s.ok("top of message follows")
	return s.send(m, int(lines))
}

// body is what send reads of a message.
type body interface {
	io.ReaderAt
	Size() int64
}

// send writes a message with the dots of RFC 1939 section 3, and its end. After
// a read error the connection is cut: the client would take half a message for
// a whole one.
func (s *session) send(m body, lines int) error {
	chunk := s.server.chunks.Get().(*[]byte)
	defer s.server.chunks.Put(chunk)
	d := dotted{w: s.out, lines: lines}
	for at := int64(0); at < m.Size() && !d.enough; {
		part := (*chunk)[:min(int64(chunkSize), m.Size()-at)]
		n, err := m.ReadAt(part, at)
		if n < len(part) {
			s.server.o.Log.Error("pop3: read a message", "account", s.account, "error", err)
			s.out.Flush()
			return errCut
		}
		if d.write(part) != nil {
			return errCut
		}
		at += int64(n)
		s.drop.sent += int64(n)
	}
	d.end()
	return nil
}

// dotted writes lines that all end with CRLF and of which none is a lone dot.
// A line feed without its carriage return ends a line here, too: clients that
// take it for a line end would otherwise take what stands behind it for our
// reply.
type dotted struct {
	w      *bufio.Writer
	lines  int  // of the body still wanted; negative is all
	body   bool // the header is over
	length int  // of the line so far
	cr     bool // its last octet was a carriage return
	enough bool
}

func (d *dotted) write(p []byte) error {
	from, at := 0, 0 // what is not written yet, and the line at hand
	for at < len(p) && !d.enough {
		if d.length == 0 && p[at] == '.' {
			d.w.Write(p[from:at])
			d.w.WriteByte('.')
			from = at
		}
		i := bytes.IndexByte(p[at:], '\n')
		if i < 0 {
			d.length, d.cr = d.length+len(p)-at, p[len(p)-1] == '\r'
			at = len(p)
			break
		}
		ended := i > 0 && p[at+i-1] == '\r' || i == 0 && d.cr
		blank := d.length+i == 0 || d.length+i == 1 && ended
		if !ended {
			d.w.Write(p[from : at+i])
			d.w.WriteString("\r\n")
			from = at + i + 1
		}
		at += i + 1
		d.length, d.cr = 0, false
		d.count(blank)
	}
	_, err := d.w.Write(p[from:at])
	return err
}

// count ends TOP when it has what it wants.
func (d *dotted) count(blank bool) {
	switch {
	case d.body && d.lines > 0:
		d.lines--
	case !d.body && blank:
		d.body = true
	}
	d.enough = d.body && d.lines == 0
}

// end writes the terminating line.
func (d *dotted) end() {
	if d.length > 0 {
		if d.cr {
			d.w.WriteByte('\n')
		} else {
			d.w.WriteString("\r\n")
		}
	}
	d.w.WriteString(".\r\n")
}
