package imapd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"plic/internal/imap"
	"plic/internal/store"
)

// The bounds of the messages that one command brings. Small ones are in memory
// until all are there.
const (
	maxMessages = 8192
	maxTogether = 64 << 20 // octets of all but the first
)

// append is APPEND, RFC 9051 section 6.3.12, of any number of messages, all or
// none, RFC 3502.
func (c *conn) append(ctx context.Context, cmd *imap.Command) (reply, error) {
	cmd.Args.SP()
	name := cmd.Args.Mailbox()
	if err := cmd.Args.Err(); err != nil {
		return reply{}, bad(err)
	}
	a := arrivals{c: c, s: cmd.Args}
	defer a.discard()
	find := func() error {
		if a.to == nil {
			var err error
			a.to, err = c.target(ctx, name)
			return err
		}
		return nil
	}
	for more := true; more; {
		if err := a.message(ctx, find); err != nil {
			return reply{}, err
		}
		if more = !a.s.Done() || c.unread != nil; more {
			a.in[len(a.in)-1].Draft.Written()
		}
	}
	for i := range a.in {
		a.in[i].Flags = c.permitted(a.to, a.in[i].Flags)
	}
	placed, err := a.to.Append(ctx, a.in...)
	if err != nil {
		return reply{}, err
	}
	c.happened(ctx, a.to, "APPEND", placedUIDs(placed), nil)
	return reply{appendUID(placed), "kept"}, nil
}

// appendUID writes the code of RFC 4315 section 3.
func appendUID(placed []store.Placed) string {
	b := fmt.Appendf(nil, "APPENDUID %d ", placed[0].UIDValidity)
	b = imap.AppendNumbers(b, func(yield func(uint32) bool) {
		for i := range placed {
			if !yield(uint32(placed[i].UID)) {
				return
			}
		}
	})
	return string(b)
}

// target finds the mailbox that messages shall go to; if it is missing the
// client may make it and try again.
func (c *conn) target(ctx context.Context, name string) (*store.Mailbox, error) {
	p, err := c.place(ctx, name)
	if err != nil {
		return nil, err
	}
	mb, err := c.at(p, store.MayInsert)
	if errors.Is(err, store.ErrNoMailbox) && p.own() && imap.ValidMailboxName(name) == nil {
		return nil, no("TRYCREATE", "there is no such mailbox")
	}
	return mb, err
}

// arrivals are the messages that a command brings. The text of the command
// comes in pieces: each but the last ends where a literal, c.unread, begins.
type arrivals struct {
	c      *conn
	s      *imap.Scanner // of the piece at hand
	to     *store.Mailbox
	in     []store.Incoming
	octets int64 // of all that was taken
	urls   int   // of CATENATE

	replaces bool // what goes makes room for what comes
}

func (a *arrivals) discard() {
	for i := range a.in {
		a.in[i].Draft.Discard()
	}
}

// message reads one message with its flags and date. The mailbox is looked for
// when the form is right, and before the client is asked for any octets.
func (a *arrivals) message(ctx context.Context, find func() error) error {
	var in store.Incoming
	var err error
	s := a.s
	s.SP()
	if len(a.in) > 0 {
		s.Take(' ') // IMAPClient writes two between literals
	}
	if s.Peek() == '(' {
		names := s.Flags()
		s.SP()
		if s.Err() == nil {
			if in.Flags, err = flagsOf(names); err != nil {
				return err
			}
		}
	}
	if s.Peek() == '"' {
		if in.Internal = s.DateTime(); in.Internal.IsZero() {
			in.Internal = in.Internal.Add(1) // the first of all seconds is a date, too
		}
		s.SP()
	}
	form := "" // a literal alone
	if !s.Done() {
		form = s.Word()
		s.SP()
		s.Need('(')
	}
	switch {
	case s.Err() != nil:
		return bad(s.Err())
	case form == "" && a.c.unread == nil:
		return bad(errors.New("the message is missing: a literal, or CATENATE with parts"))
	case form != "" && form != "CATENATE" && (form != "UTF8" || !a.c.utf8):
		return bad(fmt.Errorf("a message is a literal or CATENATE, not %.40s", form))
	case len(a.in) == a.c.server.o.SaveLimit:
		return errTooMany(a.c.server.o.SaveLimit, 0)
	case len(a.in) == maxMessages:
		return no("LIMIT", "%d messages at a time are enough", maxMessages)
	}
	if err := find(); err != nil {
		return err
	}
	if in.Draft, err = a.c.server.o.Store.NewDraft(ctx); err != nil {
		return err
	}
	a.in = append(a.in, in)
	return a.content(ctx, form, in.Draft)
}

// content reads a message's octets in one of their forms.
func (a *arrivals) content(ctx context.Context, form string, draft *store.Draft) error {
	switch form {
	case "":
		if err := a.literal(draft); err != nil {
			return err
		}
	case "UTF8": // RFC 6855 section 4
		if !a.s.Done() || a.c.unread == nil || !a.c.unread.Binary {
			return bad(errors.New("UTF8 takes a literal8"))
		}
		if err := a.literal(draft); err != nil {
			return err
		}
		a.s.Need(')')
	default:
		if err := a.catenate(ctx, draft); err != nil {
			return err
		}
	}
	if err := a.s.Err(); err != nil {
		return bad(err)
	}
	if draft.Size() == 0 { // RFC 3502 section 6.3.11: so a client takes it back
		return no("", "a message without any octet is not kept, and nothing with it")
	}
	return nil
}

// literal takes c.unread into the draft and reads on to the next piece. If
// anything fails the rest is read nevertheless, to stay in step.
func (a *arrivals) literal(draft *store.Draft) error {
	c, l := a.c, *a.c.unread
	if err := a.room(draft, l.Size); err != nil {
		return err
	}
	if err := c.accept(l); err != nil {
		return err
	}
	var failed error
	for left := l.Size; left > 0; {
		if c.in.buffered() == 0 {
			c.in.deadline(time.Now().Add(c.server.o.WriteTimeout))
		}
		part, err := c.in.take(left)
		if err != nil {
			return fmt.Errorf("%w: %w", imap.ErrLost, err)
		}
		left -= int64(len(part))
		switch {
		case failed != nil:
		case !l.Binary && bytes.IndexByte(part, 0) >= 0: // RFC 9051 section 4.3
			failed = no("", "a message with NUL is taken as a literal8 only")
		default:
			_, failed = draft.Write(part)
		}
	}
	if err := a.piece(); err != nil {
		return err
	}
	return failed
}

// room says whether so many octets more may come.
func (a *arrivals) room(draft *store.Draft, n int64) error {
	o := &a.c.server.o
	if n > o.MaxMessage-draft.Size() {
		return no("TOOBIG", "a message may have %d octets", o.MaxMessage)
	}
	if a.octets += n; len(a.in) > 1 && a.octets > o.MaxMessage+maxTogether {
		return no("TOOBIG", "the messages are too big for one command")
	}
	if err := a.to.Account().Fits(int64(len(a.in)), a.octets); err != nil && !a.replaces {
		return err
	}
	return o.Store.Room(a.octets)
}

// accept tells a client that waits for it to send its literal.
func (c *conn) accept(l imap.Literal) error {
	c.unread = nil
	if l.NonSync {
		return nil
	}
	return c.Continue()
}

// piece reads what follows a literal, to the next literal or the end.
func (a *arrivals) piece() error {
	c := a.c
	line, err := c.in.readLine(nil, imap.Authenticated.Line)
	if err != nil {
		return fmt.Errorf("%w: %w", imap.ErrLost, err)
	}
	if l, ok := imap.LiteralAt(line); ok {
		line, c.unread = imap.BeforeLiteral(line, l), &l
	}
	a.s = imap.NewScanner(line, c.utf8Names())
	return nil
}
