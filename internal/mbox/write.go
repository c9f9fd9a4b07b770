package mbox

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"time"
)

// Outgoing is a message to be written.
type Outgoing struct {
	Sender string // of the From_ line
	Date   time.Time
	Status
	Text io.ReaderAt // with CRLF line ends
	Size int64
	// Padded leaves room for other flags, and says how long the body is, so that a
	// message whose end is missing is known.
	Padded bool
}

// Write writes a message, with the empty line that parts it from the next. A
// From_ line must follow, or the end.
func Write(w io.Writer, o *Outgoing) error {
	look, err := survey(o)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 64<<10)
	out.WriteString(fromLine(o.Sender, o.Date))
	out.Write(o.fields(nil, look.length, look.collides, o.Padded))
	if err := eachLine(o, func(line []byte, first bool) error {
		if first {
			if _, ok := quoted(line); ok {
				out.WriteByte('>')
			}
		}
		out.Write(lean(line))
		return nil
	}); err != nil {
		return err
	}
	if look.open {
		out.WriteByte('\n') // ends the last line
	}
	out.WriteByte('\n')
	return out.Flush()
}

// lean is a line as it is in the file: ended by LF alone, unless a CR before the
// CRLF would then be taken for a part of it.
func lean(line []byte) []byte {
	n := len(line)
	if n < 2 || line[n-1] != '\n' || line[n-2] != '\r' || n > 2 && line[n-3] == '\r' {
		return line
	}
	line[n-2] = '\n'
	return line[:n-1]
}

// seen is what must be known of a message before it is written.
type seen struct {
	length   int64 // of the body in the file if it does not end in a line end; else -1
	open     bool  // its last line has no end
	collides bool  // it has fields of the same names as those of the mailbox, or would go on with them
}

func survey(o *Outgoing) (seen, error) {
	s := seen{length: -1}
	var body int64
	read := 0
	inBody, ended := false, true
	err := eachLine(o, func(line []byte, first bool) error {
		if first && !inBody && (ofMailbox(fieldName(line)) || read == 0 && (line[0] == ' ' || line[0] == '\t')) {
			s.collides = true
		}
		read++
		n := int64(0)
		if first {
			if _, ok := quoted(line); ok {
				n = 1
			}
		}
		wasBlank := first && blank(line)
		ended = line[len(line)-1] == '\n'
		n += int64(len(lean(line)))
		if inBody {
			body += n
		}
		inBody = inBody || wasBlank
		return nil
	})
	if s.open = !ended; s.open && inBody || o.Padded {
		s.length = body
	}
	return s, err
}

// eachLine gives the lines of a message, in pieces if they are long. They are
// the callee's.
func eachLine(o *Outgoing, do func(line []byte, first bool) error) error {
	in := bufio.NewReaderSize(io.NewSectionReader(o.Text, 0, o.Size), maxLine)
	first := true
	for {
		line, err := in.ReadSlice('\n')
		if len(line) > 0 {
			// A CR at the end of a piece belongs to the line end that may follow.
			if errors.Is(err, bufio.ErrBufferFull) && line[len(line)-1] == '\r' {
				line = line[:len(line)-1]
				line = bytes.Clone(line)
				if err := do(line, first); err != nil {
					return err
				}
				if uerr := in.UnreadByte(); uerr != nil {
					return uerr
				}
				first = false
				continue
			}
			if derr := do(line, first); derr != nil {
				return derr
			}
			first = line[len(line)-1] == '\n'
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

// SenderOf finds the sender for a From_ line in the first lines of a message:
// that of Return-Path.
func SenderOf(text io.ReaderAt, size int64) string {
	head := make([]byte, min(size, 16<<10))
	n, err := text.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return ""
	}
	for line := range bytes.Lines(head[:n]) {
		if blank(line) {
			return ""
		}
		if name, value, ok := bytes.Cut(line, []byte{':'}); ok && strings.EqualFold(string(name), "return-path") {
			return strings.Trim(strings.TrimSpace(string(value)), "<>")
		}
	}
	return ""
}
