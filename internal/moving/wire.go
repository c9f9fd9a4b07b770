package moving

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxHead bounds the line before a letter; maxLetter a letter.
const (
	maxHead   = 64 << 10
	maxLetter = 1 << 30
)

// line is what stands before a letter, or in its place.
type line struct {
	*Letter
	Bad   string `json:"bad,omitempty"`
	Error string `json:"error,omitempty"`
	Done  bool   `json:"done,omitempty"`
}

// WriteLetter writes a letter: a line of JSON, then its octets.
func WriteLetter(w io.Writer, l *Letter) error {
	if err := writeLine(w, line{Letter: l}); err != nil {
		return err
	}
	_, err := w.Write(l.Text)
	return err
}

// WriteBad writes that a letter cannot be read.
func WriteBad(w io.Writer, b *Bad) error {
	return writeLine(w, line{Letter: &Letter{Name: b.Name}, Bad: b.Err.Error()})
}

// WriteEnd writes that all letters were written, or why not.
func WriteEnd(w io.Writer, err error) error {
	if err != nil {
		return writeLine(w, line{Error: err.Error()})
	}
	return writeLine(w, line{Done: true})
}

func writeLine(w io.Writer, l line) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = w.Write(append(text, '\n'))
	return err
}

// ReadLetter reads what WriteLetter wrote; a *Bad for WriteBad, io.EOF for the
// end. A stream that was cut off is io.ErrUnexpectedEOF.
func ReadLetter(r *bufio.Reader) (Letter, error) {
	head, err := r.ReadSlice('\n')
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Letter{}, fmt.Errorf("letter: %w", err)
	}
	var l line
	if err := json.Unmarshal(head, &l); err != nil {
		return Letter{}, fmt.Errorf("letter: %w", err)
	}
	switch {
	case l.Done:
		return Letter{}, io.EOF
	case l.Error != "":
		return Letter{}, errors.New(l.Error)
	case l.Letter == nil || l.Size < 0 || l.Size > maxLetter:
		return Letter{}, errors.New("letter: a size beyond all bounds")
	case l.Bad != "":
		return Letter{}, &Bad{Name: l.Name, Err: errors.New(l.Bad)}
	}
	l.Text = make([]byte, l.Size)
	if _, err := io.ReadFull(r, l.Text); err != nil {
		return Letter{}, fmt.Errorf("letter: %w", io.ErrUnexpectedEOF)
	}
	return *l.Letter, nil
}

// NewReader is a reader that ReadLetter can read from.
func NewReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, maxHead) }
