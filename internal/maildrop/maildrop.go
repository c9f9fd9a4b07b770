// Package maildrop is how programs of this host hand mail in without SMTP: the
// sendmail command sends a letter through a socket, or leaves it in a directory
// while no server runs. Anybody may do either; nobody can read, list or change
// what others have left, and no program needs more rights than its user has.
//
// A letter is taken once: it has a token that the server remembers together with
// the message, so that one that was sent and, for want of an answer, left too, is
// known again.
package maildrop

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"plic/internal/mail"
)

// Names in the directory.
const (
	SocketName = "submit.sock"
	folder     = "new" // of letters that were left
)

// Letter is a message with what goes with it.
type Letter struct {
	Token      mail.ID          `json:"token"`
	From       mail.Address     `json:"from"`
	To         []mail.Recipient `json:"to"`
	Kind       mail.BodyKind    `json:"kind,omitempty"`
	UTF8       bool             `json:"utf8,omitempty"`
	Ret        string           `json:"ret,omitempty"`
	EnvelopeID string           `json:"envid,omitempty"`
	Size       int64            `json:"size"` // of the message
}

// Limits of what a letter may be. The server has its own for the message.
const (
	maxHead = 4 << 20
	maxTo   = 50000
)

var errNoLetter = errors.New("this is no letter")

// write writes a letter: a line of JSON, then the message.
func write(w io.Writer, l *Letter, message []byte) error {
	l.Size = int64(len(message))
	head, err := json.Marshal(l)
	if err != nil {
		return err
	}
	if len(head) >= maxHead {
		return fmt.Errorf("the envelope has more than %d octets", maxHead)
	}
	if _, err := w.Write(append(head, '\n')); err != nil {
		return err
	}
	_, err = w.Write(message)
	return err
}

// read reads the head of a letter; what is left of r, by as much as it says, is
// the message.
func read(r io.Reader) (*Letter, io.Reader, error) {
	b := bufio.NewReader(io.LimitReader(r, maxHead))
	line, err := b.ReadSlice('\n')
	var head []byte
	for errors.Is(err, bufio.ErrBufferFull) {
		head = append(head, line...)
		line, err = b.ReadSlice('\n')
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errNoLetter, err)
	}
	head = append(head, line...)
	l := new(Letter)
	if err := json.Unmarshal(head, l); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", errNoLetter, err)
	}
	if l.Token.IsZero() || len(l.To) == 0 || len(l.To) > maxTo || l.Size < 0 {
		return nil, nil, errNoLetter
	}
	rest := io.LimitReader(io.MultiReader(&drain{b}, r), l.Size)
	return l, rest, nil
}

// drain gives what a buffered reader holds, and no more.
type drain struct{ b *bufio.Reader }

// Read reads from the buffer.
func (d *drain) Read(p []byte) (int, error) {
	if d.b.Buffered() == 0 {
		return 0, io.EOF
	}
	return d.b.Read(p[:min(len(p), d.b.Buffered())])
}
