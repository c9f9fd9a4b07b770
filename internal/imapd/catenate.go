package imapd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"plic/internal/imap"
	"plic/internal/store"
	"plic/internal/store/engine"
)

// The bounds of CATENATE.
const (
	maxURLs   = 1000    // parts that are read from other messages, in one command
	maxURLLit = 4 << 10 // octets of a URL that comes as a literal
)

// catenate reads the parts of a message, RFC 4469 section 3: text that the
// client sends, and parts of messages that are here already.
func (a *arrivals) catenate(ctx context.Context, draft *store.Draft) error {
	for {
		word := a.s.Word()
		switch {
		case a.s.Err() != nil:
			return bad(a.s.Err())
		case word == "TEXT":
			if a.s.SP(); !a.s.Done() || a.s.Err() != nil || a.c.unread == nil {
				return bad(errors.New("TEXT takes a literal"))
			}
			if err := a.literal(draft); err != nil {
				return err
			}
		case word == "URL":
			a.s.SP()
			text, err := a.url()
			if err != nil {
				return err
			}
			if err := a.include(ctx, draft, text); err != nil {
				return err
			}
		default:
			return bad(fmt.Errorf("TEXT or URL expected, not %.40s", word))
		}
		if a.s.Take(')') {
			return nil
		}
		a.s.SP()
	}
}

// url reads an astring, which may be a literal.
func (a *arrivals) url() (string, error) {
	c := a.c
	if !a.s.Done() || c.unread == nil {
		text := a.s.AString()
		return text, badIf(a.s.Err())
	}
	l := *c.unread
	if l.Size > maxURLLit {
		return "", bad(errors.New("the URL is too long"))
	}
	if err := c.accept(l); err != nil {
		return "", err
	}
	text := make([]byte, l.Size)
	if _, err := io.ReadFull(c, text); err != nil {
		return "", fmt.Errorf("%w: %w", imap.ErrLost, err)
	}
	return string(text), a.piece()
}

func badIf(err error) error {
	if err == nil {
		return nil
	}
	return bad(err)
}

// include adds what a URL names to the draft. A URL that names nothing is
// given back, RFC 4469 section 5.
func (a *arrivals) include(ctx context.Context, draft *store.Draft, text string) error {
	if a.urls++; a.urls > maxURLs {
		return no("LIMIT", "more than %d URLs", maxURLs)
	}
	u, err := imap.ParseURL(text)
	if err != nil {
		return badURL(text, err.Error())
	}
	if u.Access != "" || u.Host != "" && u.User != a.c.account.Name() {
		return badURL(text, "only messages of this user can be taken")
	}
	mb, err := a.c.mailboxOf(ctx, &u)
	if err != nil {
		return badURL(text, "there is no such mailbox")
	}
	m := reading{server: a.c.server}
	defer m.close()
	p, err := m.byURL(ctx, mb, u)
	switch {
	case errors.Is(err, errNoPart):
		return badURL(text, err.Error())
	case err != nil:
		return err
	}
	if err := a.room(draft, p.n); err != nil {
		return err
	}
	if _, err := io.Copy(draft, io.NewSectionReader(p.r, p.off, p.n)); err != nil {
		return fmt.Errorf("take a part of another message: %w", err)
	}
	return nil
}

// mailboxOf finds the mailbox that a URL names, or is relative to.
func (c *conn) mailboxOf(ctx context.Context, u *imap.URL) (*store.Mailbox, error) {
	switch {
	case u.Mailbox != "":
		return c.mailbox(ctx, u.Mailbox, store.MayRead)
	case c.view == nil:
		return nil, store.ErrNoMailbox
	}
	u.UIDValidity = c.view.seq.UIDValidity()
	return c.view.mb, nil
}

// errNoPart is the error of a URL that names nothing that is there.
var errNoPart = errors.New("there is no such message or part")

// byURL opens the message that a URL names in a mailbox and finds the part.
func (m *reading) byURL(ctx context.Context, mb *store.Mailbox, u imap.URL) (piece, error) {
	snap, err := mb.Snapshot(ctx)
	if err != nil {
		return piece{}, missing(err, engine.ErrNotFound)
	}
	e, ok := snap.Get(store.UID(u.UID))
	if !ok || u.UIDValidity != 0 && u.UIDValidity != snap.UIDValidity() {
		return piece{}, errNoPart
	}
	if err := m.openIn(ctx, mb, e); err != nil {
		return piece{}, missing(err, engine.ErrNotFound)
	}
	p, err := m.piece(u.Item())
	if err == nil && p.none {
		err = errNoPart
	}
	return p, missing(err, engine.ErrNotFound)
}

// badURL is the refusal of RFC 4469 section 4.1: with the URL, but for octets
// that cannot stand there.
func badURL(text, why string) error {
	safe := strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f || r == ']' || r == '\\' {
			return '?'
		}
		return r
	}, text[:min(len(text), 1000)])
	return no("BADURL "+safe, "%s", why)
}
