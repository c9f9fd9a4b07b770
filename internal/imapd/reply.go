package imapd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"plic/internal/deflate"
	"plic/internal/imap"
	"plic/internal/journal"
	"plic/internal/store"
	"plic/internal/store/engine"
)

// reply is the OK of a command: a response code without its brackets, and text;
// both may be empty.
type reply struct{ code, text string }

func (r reply) line() string {
	if r.code == "" {
		return r.text
	}
	return "[" + r.code + "] " + r.text
}

// refusal is the NO or BAD of a command, or the BYE of a session.
type refusal struct{ kind, code, text string }

func (r *refusal) Error() string { return r.kind + " " + r.line() }

func (r *refusal) line() string {
	text := string(imap.AppendText(nil, r.text))
	if r.code == "" {
		return text
	}
	return "[" + r.code + "] " + text
}

// The errors of commands that have answered for themselves.
var (
	errAnswered = errors.New("answered")              // and the session goes on
	errLeave    = errors.New("answered, and the end") // and the session ends
)

// bad is the answer to what the grammar does not know.
func bad(err error) error {
	if imap.IsNameError(err) {
		return no("CANNOT", "%v", err)
	}
	return &refusal{"BAD", "", err.Error()}
}

// no refuses with a response code of RFC 9051 section 7.1 or RFC 5530; "" is
// none.
func no(code, format string, args ...any) error {
	return &phrase{&refusal{"NO", code, fmt.Sprintf(format, args...)}, format, args}
}

// isFatal says that the session ends with the error.
func isFatal(err error) bool {
	var r *refusal
	if errors.As(err, &r) {
		return r.kind == "BYE"
	}
	return isLost(err) || errors.Is(err, errLeave)
}

// isLost says that the client is gone, or must go. Trouble with a file is none with
// the connection, though errors of the system are net.Errors, too.
func isLost(err error) bool {
	var ne *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe) ||
		errors.Is(err, net.ErrClosed) || isTimeout(err) || errors.Is(err, context.Canceled) ||
		errors.Is(err, imap.ErrLost) || errors.Is(err, deflate.ErrCorrupt) || errors.Is(err, errInterrupted) || errors.As(err, &ne)
}

// isTimeout says that a read was ended by its deadline.
func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// refusalOf says to the client what an error means for it. Only what it can
// know is said; what else there is goes to the log.
func (c *conn) refusalOf(err error) refusal {
	var r *refusal
	if errors.As(err, &r) {
		return *r
	}
	for _, known := range [...]struct {
		err        error
		code, text string
	}{
		{store.ErrNoMailbox, "NONEXISTENT", "there is no such mailbox"},
		{store.ErrNoSelect, "NONEXISTENT", "the name has mailboxes below it but is none itself"},
		{store.ErrMoved, "UNAVAILABLE", "the account is being moved, try again"},
		{store.ErrGone, "NONEXISTENT", "the mailbox was removed meanwhile"},
		{store.ErrNoAccount, "NONEXISTENT", "the account was removed meanwhile"},
		{store.ErrExists, "ALREADYEXISTS", "there is a mailbox of that name"},
		{store.ErrBadName, "CANNOT", "no mailbox can have that name"},
		{store.ErrHasChildren, "HASCHILDREN", "there are mailboxes below it"},
		{store.ErrInbox, "CANNOT", "INBOX cannot be deleted"},
		{store.ErrSpecialUse, "USEATTR", "the special use is not known, or another mailbox has it"},
		{store.ErrQuota, "OVERQUOTA", "the quota is full"}, // RFC 9208 section 4.3.1
		{store.ErrLimit, "LIMIT", "there are too many mailboxes"},
		{store.ErrTooManyKeywords, "LIMIT", "the mailbox has too many keywords"},
		{store.ErrBadIdentifier, "CANNOT", "not an identifier that rights can be given to"},
		{store.ErrBadNote, "TOOBIG", "what is to be kept is too big"},
		{store.ErrBadKeyword, "CANNOT", "not a keyword"},
		{engine.ErrLocked, "INUSE", "another program has locked the mailbox, try again later"}, // RFC 5530 section 3
	} {
		if errors.Is(err, known.err) {
			return refusal{"NO", known.code, known.text}
		}
	}
	if isFatal(err) {
		return refusal{}
	}
	c.server.o.Log.Error("imap: command failed", "conn", c.id, "err", err)
	c.record(errorEvent(err))
	switch {
	case errors.Is(err, engine.ErrFull):
		return refusal{"NO", "UNAVAILABLE", "there is no space left for mail at present"}
	case errors.Is(err, engine.ErrFailed), errors.Is(err, engine.ErrClosed), errors.As(err, new(syscall.Errno)):
		return refusal{"NO", "UNAVAILABLE", "the mail store does not work at present"}
	case errors.Is(err, engine.ErrNotFound), errors.Is(err, engine.ErrDamaged):
		return refusal{"NO", "CORRUPTION", "a message cannot be read"}
	}
	return refusal{"NO", "SERVERBUG", "internal error"}
}

// said is the line of a refusal in the language of the session.
func (c *conn) said(r refusal, err error) string {
	if c.speaks.IsASCII() {
		return r.line()
	}
	text := c.speaks.Text(r.text)
	var p *phrase
	if errors.As(err, &p) {
		text = fmt.Sprintf(c.speaks.Text(p.format), p.args...)
	}
	return reply{r.code, string(imap.AppendUTF8Text(nil, text))}.line()
}

func errorEvent(err error) journal.Event {
	return journal.Event{Kind: journal.Error, Reason: err.Error()}
}
