package imapd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"plic/internal/imap"
	"plic/internal/store"
)

// append is APPEND, RFC 9051 section 6.3.12. The message goes from the
// connection to the store as it comes.
func (c *conn) append(ctx context.Context, cmd *imap.Command) (reply, error) {
	s := cmd.Args
	s.SP()
	name := s.Mailbox()
	s.SP()
	in, names := store.Incoming{}, []string(nil)
	if s.Peek() == '(' {
		names = s.Flags()
		s.SP()
	}
	if s.Peek() == '"' {
		in.Internal = s.DateTime()
		s.SP()
	}
	if err := s.End(); err != nil {
		return reply{}, bad(err)
	}
	if cmd.Message == nil {
		return reply{}, bad(errors.New("APPEND ends with the message as a literal"))
	}
	var err error
	if in.Flags, err = flagsOf(names); err != nil {
		return reply{}, err
	}
	mb, err := c.target(name)
	if err != nil {
		return reply{}, err
	}
	if size := cmd.Message.Size; size > c.server.o.MaxMessage {
		return reply{}, no("TOOBIG", "a message may have %d octets", c.server.o.MaxMessage)
	} else if err := c.server.o.Store.Room(size); err != nil {
		return reply{}, err
	}
	if in.Draft, err = c.server.o.Store.NewDraft(ctx); err != nil {
		return reply{}, err
	}
	defer in.Draft.Discard()
	if err := c.receive(in.Draft, cmd.Message); err != nil {
		return reply{}, err
	}
	placed, err := mb.Append(ctx, in)
	if err != nil {
		return reply{}, err
	}
	code := "APPENDUID " + strconv.FormatUint(uint64(placed[0].UIDValidity), 10) +
		" " + strconv.FormatUint(uint64(placed[0].UID), 10)
	return reply{code, "the message is kept"}, nil
}

// target finds the mailbox that messages shall go to; if it is missing the
// client may make it and try again.
func (c *conn) target(name string) (*store.Mailbox, error) {
	mb, err := c.account.Mailbox(name)
	if errors.Is(err, store.ErrNoMailbox) && imap.ValidMailboxName(name) == nil {
		return nil, no("TRYCREATE", "there is no such mailbox")
	}
	return mb, err
}

// receive reads the literal into the draft and what follows it on its line. If
// the draft fails the rest is read nevertheless, to stay in step.
func (c *conn) receive(draft io.Writer, l *imap.Literal) error {
	if !l.NonSync {
		if err := c.Continue(); err != nil {
			return err
		}
	}
	c.taken = true
	page := c.server.pages.Get().(*[]byte)
	defer c.server.pages.Put(page)
	buf := (*page)[:cap(*page)]
	var failed error
	for left := l.Size; left > 0; {
		c.in.deadline(time.Now().Add(c.server.o.WriteTimeout))
		n, err := c.in.Read(buf[:min(left, int64(len(buf)))])
		if err != nil {
			return fmt.Errorf("%w: %w", imap.ErrLost, err)
		}
		left -= int64(n)
		if failed == nil {
			_, failed = draft.Write(buf[:n])
		}
	}
	rest, err := c.in.readLine(nil, imap.Authenticated.Line)
	if err != nil {
		return fmt.Errorf("%w: %w", imap.ErrLost, err)
	}
	if failed == nil && len(rest) > 0 {
		failed = bad(errors.New("one message for each APPEND"))
		if err := imap.RefuseRest(c, rest, c.server.o.MaxMessage); err != nil {
			return err
		}
	}
	return failed
}
