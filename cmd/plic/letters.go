package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// maxTaught is how much of a message is looked at by what learns: control takes no
// more, and words further behind do not count.
const maxTaught = 640 << 10

// letters gives the messages in files, mboxes, Maildirs and directories of files, with
// CRLF line ends; "-" is standard input.
func (a *app) letters(names []string, do func(text []byte) error) error {
	for _, name := range names {
		if name == "-" {
			text, err := io.ReadAll(io.LimitReader(a.in, maxTaught))
			if err == nil {
				err = do(crlf(text))
			}
			if err != nil {
				return fmt.Errorf("standard input: %w", err)
			}
			continue
		}
		err := filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && d.Name() == "tmp" && path != name: // of a Maildir
				return fs.SkipDir
			case !d.Type().IsRegular() || path != name && slices.Contains([]string{"maildirfolder", "dovecot-uidlist", "subscriptions"}, d.Name()):
				return nil
			}
			return lettersIn(path, do)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// lettersIn gives the messages of one file, read bit by bit: an mbox may be large.
func lettersIn(path string, do func(text []byte) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	m := mboxReader{r: f, do: do}
	if err := m.run(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// mboxReader cuts a file where a line begins with "From " behind an empty one, if it
// begins so itself; else it is one message.
type mboxReader struct {
	r    io.Reader
	do   func([]byte) error
	text []byte
	mbox bool
	any  bool // the first line was seen
	bare bool // the line before was empty
}

func (m *mboxReader) run() error {
	var rest []byte
	buf := make([]byte, 64<<10)
	for {
		n, err := m.r.Read(buf)
		rest = append(rest, buf[:n]...)
		for {
			i := bytes.IndexByte(rest, '\n')
			if i < 0 {
				break
			}
			if err := m.line(rest[:i+1]); err != nil {
				return err
			}
			rest = rest[i+1:]
		}
		if errors.Is(err, io.EOF) {
			if len(rest) > 0 {
				if err := m.line(rest); err != nil {
					return err
				}
			}
			return m.end()
		}
		if err != nil {
			return err
		}
	}
}

func (m *mboxReader) line(line []byte) error {
	from := bytes.HasPrefix(line, []byte("From "))
	switch {
	case !m.any:
		m.any, m.mbox = true, from
		if from {
			return nil
		}
	case m.mbox && from && m.bare:
		m.bare = false
		return m.end()
	}
	m.bare = len(bytes.TrimRight(line, "\r\n")) == 0
	if m.mbox && line[0] == '>' && bytes.HasPrefix(bytes.TrimLeft(line, ">"), []byte("From ")) {
		line = line[1:]
	}
	if len(m.text) < maxTaught {
		m.text = append(m.text, line[:min(len(line), maxTaught)]...)
	}
	return nil
}

func (m *mboxReader) end() error {
	if len(bytes.TrimSpace(m.text)) == 0 {
		m.text = m.text[:0]
		return nil
	}
	err := m.do(crlf(m.text))
	m.text = m.text[:0]
	return err
}

// crlf gives a text the line ends of mail.
func crlf(text []byte) []byte {
	return bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
}
